# SPDX-License-Identifier: Apache-2.0
"""panorama.yaml becomes a Config: every value, its default, and where it comes from."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import pytest
from output_samples import read_line

from panorama.commands import watch
from panorama.commands.options import configured
from panorama.config import load
from panorama.config.load import defaults, load_config
from panorama.config.model import COMMAND_LINE, Config
from panorama.config.settings import SETTINGS
from panorama.errors import InputError, UsageError
from panorama.output.notice import notice
from panorama.sinks import SinkType


def config_of(folder: Path, text: str) -> Config:
    path = folder / "panorama.yaml"
    path.write_text(text)
    return load_config(path)


def refused(folder: Path, text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        config_of(folder, text)
    return [str(problem).removeprefix(f"{folder}/panorama.yaml:") for problem in caught.value.problems]


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n", "limits:\nsinks:\nfold:\nspool: {folder: }\n"])
def test_what_says_nothing_is_the_defaults(tmp_path: Path, text: str) -> None:
    """A key with nothing behind it counts as left out, as if it had been commented out with what was under it."""
    config = config_of(tmp_path, text)
    assert config.path == f"{tmp_path}/panorama.yaml"
    assert (config.sinks, config.fold) == (defaults().sinks, True)
    assert replace(config, path="") == defaults()
    [sink] = config.sinks
    assert (sink.name, sink.type, sink.format, sink.policy) == ("local", "syslog", "text", "drop")


def test_every_value_is_taken_and_knows_its_place(tmp_path: Path) -> None:
    """Sizes become bytes, times seconds, one word a list; the place is that of the value."""
    config = config_of(
        tmp_path,
        "behaviors:\n"
        "  enable: exec\n"
        "  disable: [size, name]\n"
        "log: activities\n"
        "long_open: 1500ms\n"
        "ring_buffer: 512KiB\n"
        "limits: {process: 0, global: 70}\n"
        "fold: false\n"
        "spool: {folder: /srv/spool, limit: 2 GiB}\n"
        "sinks:\n"
        "  log:\n"
        "    type: file\n"
        "    path: /var/log/p.log\n"
        "    format: json\n"
        "    policy: full\n"
        "    filter: {severity: notice, behavior: f*}\n",
    )
    assert (config.behaviors_enable, config.behaviors_disable) == (("exec",), ("size", "name"))
    assert config.log == "activities"
    assert (config.long_open, config.ring_buffer, config.fold) == (1.5, 512 << 10, False)
    assert (config.limits_process, config.limits_global) == (0, 70)
    assert (config.spool_folder, config.spool_limit) == ("/srv/spool", 2 << 30)
    [sink] = config.sinks
    assert (sink.name, sink.type, sink.format, sink.policy, sink.limit) == ("log", "file", "json", "full", 2 << 30)
    assert sink.values == {"path": "/var/log/p.log"}
    assert (sink.filter.layer, sink.filter.severity, sink.filter.behavior) == (
        ("operation", "activity"),
        "notice",
        ("f*",),
    )
    for key, place in {
        "behaviors.enable": (2, 11),
        "behaviors.enable[0]": (2, 11),
        "behaviors.disable[1]": (3, 19),
        "limits.global": (7, 30),
        "sinks.log": (11, 3),
        "sinks.log.path": (13, 11),
        "sinks.log.filter.behavior[0]": (16, 42),
        "sinks.log.limit": (9, 36),  # that of spool.limit, which it follows
    }.items():
        assert (config.origin(key).line, config.origin(key).column) == place, key
    assert str(config.origin("long_open")) == f"{tmp_path}/panorama.yaml:5"
    assert str(config.origin("chain")) == str(config.origin("sinks.log.filter.layer")) == "default"


def test_ignore_rules_are_beside_the_behaviors_unless_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    config = config_of(tmp_path, f"behaviors: {{folders: [{tmp_path}/b]}}\n")
    assert config.ignore == (f"{tmp_path}/b/ignore.yaml",)
    (tmp_path / "i.yaml").write_text("ignore: []\n")
    config = config_of(tmp_path, f"behaviors: {{folders: [{tmp_path}/b]}}\nignore: {tmp_path}/i.yaml\n")
    assert config.ignore == (f"{tmp_path}/i.yaml",)


def test_a_sink_that_leaves_the_machine_keeps_its_lines(tmp_path: Path, pigeon: SinkType) -> None:
    """Unless it says otherwise; values of its type come out as its keys say."""
    full, drop = config_of(
        tmp_path,
        "spool: {limit: 3MiB}\n"
        "sinks:\n"
        "  a: {type: pigeon, loft: '[2001:db8::1]:70', flock: [a.example:1, 'b.example:2']}\n"
        "  b: {type: pigeon, loft: c.example:65535, policy: drop, rest: 1m, home: 'https://d.example:8088/x'}\n",
    ).sinks
    assert (full.policy, full.limit, full.format) == ("full", 3 << 20, "json")
    assert (drop.policy, drop.limit) == ("drop", 4 << 20)
    assert full.values["loft"] == ("2001:db8::1", 70)
    assert full.values["flock"] == (("a.example", 1), ("b.example", 2))
    assert (drop.values["rest"], drop.values["home"]) == (60.0, "https://d.example:8088/x")
    assert full.values["secret"] is None


def test_keys_of_a_type_are_held_against_each_other(tmp_path: Path, pigeon: SinkType) -> None:
    """One that is needed, one that makes sense only with another, one out of bounds, a format it cannot carry."""
    assert refused(
        tmp_path,
        "sinks:\n"
        "  a: {type: pigeon, name: Emil}\n"
        "  b: {type: pigeon, loft: x.example:1, ring: name, name: Emil, rest: 90s}\n"
        "  c: {type: pigeon, loft: x.example, format: v6}\n"
        "  d: {type: pigeon, loft: x.example:0, home: 'https://me:pw@x.example'}\n"
        "  e: {type: pigeon, loft: 'x:1', fast: true, pay: corn, tip: pea}\n"
        "  f: {type: pigeon, loft: 'x:1', tip: pea}\n"
        "  g: {type: pigeon, loft: 'x:1', fast: 1, pay: corn}\n",
    ) == [
        "2:3: the key 'loft' is missing; it is where it flies to",
        "2:27: 'name' makes sense only with ring: name",
        "3:70: 'rest' is 90s; it can be 1m at most",
        "4:27: 'loft' cannot be 'x.example'; it takes host:port, or [v6]:port",
        "4:46: a sink of type 'pigeon' cannot carry 'v6'; it takes json, text",
        "5:27: 'loft' cannot be 'x.example:0'; it takes host:port, or [v6]:port",
        "5:46: 'home' has a user or password in it; secrets belong in files that only root can read",
        "7:39: 'tip' makes sense only with pay",
        "8:40: 'fast' cannot be '1'; it takes true or false",
    ]


def test_files_that_a_sink_needs_are_looked_at(
    tmp_path: Path, pigeon: SinkType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are there; others cannot write them, nor read those with a secret."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", str(os.getuid()))
    secret, way = tmp_path / "secret", tmp_path / "map"
    text = f"sinks: {{a: {{type: pigeon, loft: 'x:1', secret: {secret}, map: {way}}}}}\n"
    assert [problem.partition(": ")[2] for problem in refused(tmp_path, text)] == [
        f"'secret' cannot be used: {secret}: No such file or directory",
        f"'map' cannot be used: {way}: No such file or directory",
    ]
    secret.write_text("x")
    secret.chmod(0o604)
    way.write_text("x")
    way.chmod(0o646)
    assert [problem.partition(": ")[2] for problem in refused(tmp_path, text)] == [
        f"'secret' is no secret: others than root can read {secret}, mode 0604; chmod 0600 {secret}",
        f"'map' is not safe: others than root can write it, mode 0646; chmod 0644 {way}",
    ]
    secret.chmod(0o600)
    way.chmod(0o644)
    assert config_of(tmp_path, text).sinks[0].values["secret"] == str(secret)


def test_a_chain_needs_a_place_in_every_sinks_lines(tmp_path: Path, pigeon: SinkType) -> None:
    """Beside the text, where the type has that; else in the format."""
    sinks = "sinks: {a: {type: pigeon, loft: 'x:1', format: text}, b: {type: syslog, format: %s}}\nchain: true\n"
    assert config_of(tmp_path, sinks % "json").chain
    [problem] = refused(tmp_path, sinks % "v7")
    assert problem == (
        "1:81: with chain: true the format of 'b' needs a place for the hash, 'v7' has none; try format: json"
    )
    [problem] = refused(tmp_path, "\nchain: true\n")
    assert problem.startswith("2:8: with chain: true the format of 'local'")


def test_a_file_that_is_named_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the machine need not, but counts if it is."""
    with pytest.raises(InputError, match="/gone:1:1: cannot be read: No such file or directory"):
        load_config(tmp_path / "gone")
    monkeypatch.setattr(load, "CONFIG", tmp_path / "panorama.yaml")
    assert load_config() == defaults()
    (tmp_path / "panorama.yaml").write_text("fold: false\n")
    assert not load_config().fold


def test_a_configuration_that_others_could_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, and the folder it is in."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", str(os.getuid()))
    path = tmp_path / "panorama.yaml"
    path.write_text("")
    path.chmod(0o666)
    tmp_path.chmod(0o757)
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert str(caught.value).splitlines() == [
        f"{path}:1:1: others than root can write it, mode 0666; chmod 0644 {path}",
        f"{path}:1:1: its folder is not safe: others than root can write it, mode 0757; chmod 0755 {tmp_path}",
    ]


def test_a_spool_that_others_could_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file as well, where its place is that of the file there could be."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", str(os.getuid()))
    spool = tmp_path / "spool"
    spool.mkdir()
    spool.chmod(0o707)
    what = f"'spool.folder', {spool}: others than root can write it, mode 0707; chmod 0705 {spool}"
    assert refused(tmp_path, f"spool: {{folder: {spool}}}\n") == [f"1:17: {what}"]
    monkeypatch.setitem(SETTINGS, "spool.folder", replace(SETTINGS["spool.folder"], default=str(spool)))
    with pytest.raises(InputError) as caught:
        load_config()
    assert str(caught.value) == f"/etc/panorama/panorama.yaml:1:1: {what}"


def test_the_command_line_goes_over_the_file(tmp_path: Path) -> None:
    """Names to switch on are added; ignore.yaml of the behaviors that were named counts; names of the file that are
    meant for other behaviors do no harm."""
    (tmp_path / "panorama.yaml").write_text(
        "behaviors: {enable: [exec, nothing]}\nlong_open: 5s\nfold: false\nlog: all\n"
    )
    (tmp_path / "ignore.yaml").write_text("ignore: []\n")
    parser = argparse.ArgumentParser()
    watch.add(parser)
    config = configured(
        parser.parse_args(
            [
                *(f"--config={tmp_path}/panorama.yaml", "--long-open=7", "--log=activities"),
                *(f"-b={tmp_path}", "--enable=gzip", "--", "true"),
            ]
        )
    )
    assert (config.long_open, config.log, config.fold) == (7.0, "activities", False)
    assert config.behaviors_folders == (str(tmp_path),)
    assert config.ignore == (f"{tmp_path}/ignore.yaml",)
    assert config.behaviors_enable == ("exec", "nothing", "gzip")
    for key in ("long_open", "log", "behaviors.folders", "ignore", "behaviors.enable"):
        assert config.origin(key) == COMMAND_LINE
    with pytest.raises(UsageError, match="--ignore: there is no file /gone"):
        configured(parser.parse_args(["--ignore=/gone"]))


def test_a_filter_lets_through_what_fits_all_of_it(tmp_path: Path) -> None:
    """Layer, severity and behavior; and always what Panorama says of itself."""
    line = read_line()
    told = notice(0, "lost", "2 events")
    for text, passes in {
        "{}": True,
        "{layer: operation, severity: info, behavior: [x, f?le]}": True,
        "{layer: activity}": False,
        "{severity: notice}": False,
        "{behavior: [x, fil]}": False,
    }.items():
        (tmp_path / "panorama.yaml").write_text(f"sinks: {{a: {{type: syslog, filter: {text}}}}}\n")
        [sink] = load_config(tmp_path / "panorama.yaml").sinks
        assert (sink.filter.passes(line), sink.filter.passes(told)) == (passes, True), text
