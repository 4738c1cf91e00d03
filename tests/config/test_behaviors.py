# SPDX-License-Identifier: Apache-2.0
"""What a site says goes over what is shipped: behaviors and ignore rules of the same name, and which are on."""

from __future__ import annotations

from pathlib import Path

import pytest

from panorama.config.behaviors import Loaded, loaded
from panorama.config.load import defaults, load_config
from panorama.config.model import Config
from panorama.errors import InputError, UsageError

OPERATION = "layer: operation\nper: file\ninitial: new\ntransitions:\n- {trigger: %s, source: new, emit: %s}\n"
ACTIVITY = "layer: activity\nper: process\ninitial: new\ntransitions:\n- {trigger: %s, source: new, emit: %s}\n"
RULES = """\
ignore:
- {rule: nulls, summary: Nothing., path: /dev/null}
- {rule: libraries, summary: Code., path: /usr/lib/}
"""


def behavior(folder: Path, name: str, trigger: str, verb: str, more: str = "", body: str = OPERATION) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(f"behavior: {name}\nsummary: Of {folder.name}.\n{more}{body % (trigger, verb)}")
    return path


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    folder = tmp_path / "shipped"
    behavior(folder, "reading", "read", "read")
    behavior(folder, "removal", "unlink", "remove")
    behavior(folder, "starting", "mkdir", "mkdir", "enabled: false\n")
    (folder / "ignore.yaml").write_text(RULES)
    return folder


def configured(tmp_path: Path, text: str = "", more: str = "") -> Config:
    folders = f"folders: [{tmp_path}/shipped, {tmp_path}/site]"
    (tmp_path / "panorama.yaml").write_text(f"behaviors: {{{folders}{text}}}\n{more}")
    (tmp_path / "site").mkdir(exist_ok=True)
    return load_config(tmp_path / "panorama.yaml")


def on(ready: Loaded) -> dict[str, str]:
    """The behaviors that are on, each with the folder it is from."""
    return {each.name: each.summary for each in ready.program.behaviors if each.enabled}


def refused(config: Config) -> list[str]:
    with pytest.raises(InputError) as caught:
        loaded(config)
    return str(caught.value).splitlines()


def test_a_site_replaces_behaviors_of_the_same_name(tmp_path: Path, shipped: Path) -> None:
    """The replaced one is not read; within a folder a name is there once."""
    site = tmp_path / "site"
    behavior(site, "reading", "read", "peek")
    behavior(site, "sizing", "truncate", "resize")
    (shipped / "reading.yaml").write_text("not even YAML: {")
    config = configured(tmp_path)
    assert on(loaded(config)) == {"reading": "Of site.", "removal": "Of shipped.", "sizing": "Of site."}
    (site / "more").mkdir()
    first = behavior(site / "more", "sizing", "truncate", "resize")
    assert refused(config) == [f"{site}/sizing.yaml:1:11: behavior 'sizing' is already defined in {first}"]


def test_a_site_that_says_nothing_changes_nothing(tmp_path: Path, shipped: Path) -> None:
    """An empty folder of the site is no mistake; neither is there being none where the defaults look for it."""
    assert on(loaded(configured(tmp_path))) == {"reading": "Of shipped.", "removal": "Of shipped."}
    assert "file" in on(loaded(defaults()))


def test_behaviors_are_switched_before_their_verbs_are_looked_at(tmp_path: Path, shipped: Path) -> None:
    """An activity has the verbs of what is switched on, and misses those of what is switched off."""
    path = behavior(tmp_path / "site", "building", "mkdir", "build", body=ACTIVITY)
    assert refused(configured(tmp_path)) == [
        f"{path}:7:13: the verb 'mkdir' comes only from 'starting', which is not enabled"
    ]
    ready = loaded(configured(tmp_path, ", enable: [starting], disable: removal"))
    assert sorted(on(ready)) == ["building", "reading", "starting"]


def test_a_sink_for_activities_gets_nothing_where_none_are_written(tmp_path: Path, shipped: Path) -> None:
    behavior(tmp_path / "site", "clearing", "remove", "clear", body=ACTIVITY)
    sinks = "sinks: {a: {type: syslog, filter: {layer: activity}}}\n"
    assert "clearing" in on(loaded(configured(tmp_path, more=sinks)))
    assert refused(configured(tmp_path, more=f"log: operations\n{sinks}")) == [
        f"{tmp_path}/panorama.yaml:3:43: the filter of 'a' lets nothing through: no behavior that is on fits it;"
        " log: operations leaves activities out"
    ]


def test_activities_that_are_not_written_need_no_verbs(tmp_path: Path, shipped: Path) -> None:
    """A site that has other words for what is done can do without the shipped activities."""
    path = behavior(tmp_path / "site", "clearing", "remove", "clear", body=ACTIVITY)
    behavior(tmp_path / "site", "removal", "unlink", "erase")
    assert refused(configured(tmp_path)) == [
        f"{path}:7:13: no operation emits the verb 'remove'; there are erase, exec, exit, read, timeout"
    ]
    assert sorted(on(loaded(configured(tmp_path, more="log: operations\n")))) == ["reading", "removal"]


def test_what_the_command_line_names_has_to_be_there(tmp_path: Path, shipped: Path) -> None:
    """What the file names was meant for its own folders."""
    config = configured(tmp_path, ", enable: [starting]", "sinks: {a: {type: syslog, filter: {behavior: removal}}}\n")
    other = behavior(tmp_path / "other", "sizing", "truncate", "resize")
    config = config.with_settings({"behaviors.folders": (str(other),)})
    assert on(loaded(config)) == {"sizing": "Of other."}
    with pytest.raises(UsageError, match=r"^--enable: there is no behavior 'sizeing'; did you mean 'sizing'\?"):
        loaded(config.with_settings({"behaviors.enable": ("sizeing",)}))
    gone = config.with_settings({"behaviors.folders": ("/gone",)})
    assert refused(gone) == ["/gone:1:1: cannot be read: No such file or directory"]


def test_rules_of_a_later_file_replace_those_of_the_same_name(tmp_path: Path, shipped: Path) -> None:
    """In their place, so that the order in which rules are asked stays; `enabled: false` switches one off."""
    (tmp_path / "site" / "more").mkdir(parents=True)
    site = tmp_path / "site" / "ignore.yaml"
    site.write_text(
        "ignore:\n"
        "- {rule: own, path: /srv/cache/}\n"
        "- {rule: nulls, path: [/dev/null, /dev/zero]}\n"
        "- {rule: libraries, enabled: false}\n"
        "- {rule: later, path: /tmp/, enabled: false}\n"
    )
    rules = loaded(configured(tmp_path)).rules.rules
    assert [(rule.name, rule.paths) for rule in rules] == [
        ("nulls", ("/dev/null", "/dev/zero")),
        ("own", ("/srv/cache/",)),
    ]


def test_a_rule_that_is_not_there_cannot_be_switched_off(tmp_path: Path, shipped: Path) -> None:
    """All that is wrong with all files is told at once."""
    (tmp_path / "site").mkdir()
    site = tmp_path / "site" / "ignore.yaml"
    site.write_text(
        "ignore:\n"
        "- {rule: librarys, enabled: false}\n"
        "- {rule: own, path: srv, enabled: maybe}\n"
        "- {rule: own}\n"
        "- {path: /x}\n"
        "- {rule: mixed, kind: [pipe, pip], path: /x}\n"
        "- x\n"
    )
    (shipped / "ignore.yaml").write_text(RULES + "- {rule: nulls, path: /x, exes: /y}\n- {rule: nulls, path: /x}\n")
    assert [line.removeprefix(f"{tmp_path}/") for line in refused(configured(tmp_path))] == [
        "shipped/ignore.yaml:4:27: unknown key 'exes'; did you mean 'exe'?",
        "shipped/ignore.yaml:5:3: a second rule 'nulls'",
        "site/ignore.yaml:2:10: there is no rule 'librarys' to switch off in an earlier file; did you mean 'libraries'?",
        "site/ignore.yaml:3:21: 'srv' is no absolute path",
        "site/ignore.yaml:3:35: 'enabled' cannot be 'maybe'; it takes true or false",
        "site/ignore.yaml:4:3: a rule that ignores everything; add one of path, filesystem, kind, exe",
        "site/ignore.yaml:5:3: a rule without a name; begin it with 'rule: NAME'",
        "site/ignore.yaml:6:3: 'kind' and 'filesystem' stand alone in a rule; make two rules of it",
        "site/ignore.yaml:6:30: unknown kind 'pip'; did you mean 'pipe'?",
        "site/ignore.yaml:7:3: a rule is a mapping, not 'x'",
    ]


def test_what_is_wrong_with_the_behaviors_is_told_with_what_is_wrong_with_the_file(
    tmp_path: Path, shipped: Path
) -> None:
    behavior(tmp_path / "site", "sizing", "truncat", "resize")
    (tmp_path / "site" / "ignore.yaml").write_text("x\n")
    with pytest.raises(InputError) as caught:
        configured(tmp_path, ", enable: [startin]", "fold: 5\n")
    assert [(Path(problem.path).name, problem.line, problem.what) for problem in caught.value.problems] == [
        ("panorama.yaml", 1, "there is no behavior 'startin'"),
        ("panorama.yaml", 2, "'fold' cannot be '5'"),
        ("ignore.yaml", 1, "the one key here is 'ignore', a list of rules"),
        ("sizing.yaml", 7, "unknown trigger 'truncat'"),
    ]
