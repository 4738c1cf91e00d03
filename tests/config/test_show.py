# SPDX-License-Identifier: Apache-2.0
"""`panorama config`: what it shows is what holds, and what it says of a file is all that is wrong with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from panorama.config.load import defaults, load_config
from panorama.config.show import shown_json, shown_yaml
from panorama.sinks import SinkType

TEXT = """\
behaviors: {enable: [exec]}
long_open: 90s
limits: {process: 7}
sinks:
  bird:
    type: pigeon
    loft: "[::1]:7"
    ring: name
    name: "\\"a: #b\\" \\u00e9"
    rest: 1500ms
    flock: [a.example:1]
    secret: %s
    filter: {layer: operation, behavior: ["f*", exec]}
  log: {type: file, path: "/var/log/a b.log", limit: 100KiB}
"""


def panorama(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "panorama", "config", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "LC_ALL": "C.UTF-8"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("hunter2")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "panorama.yaml").write_text(TEXT % (tmp_path / "secret"))
    return tmp_path / "panorama.yaml"


def test_what_is_shown_says_the_same_when_it_is_read(path: Path, pigeon: SinkType) -> None:
    """Every value of the configuration is in it, so nothing of it comes from a default any more."""
    config = load_config(path)
    path.write_text(shown_yaml(config))
    again = load_config(path)
    assert (again.sinks, again.behaviors_enable, again.long_open) == (config.sinks, ("exec",), 90.0)
    assert [line for line in shown_yaml(again).splitlines() if line.endswith("# default")] == []


def test_every_value_is_shown_with_its_origin(path: Path, pigeon: SinkType) -> None:
    text = shown_yaml(load_config(path))
    lines = {line.strip().partition("  ")[0]: line.partition("  # ")[2] for line in text.splitlines()}
    assert lines["long_open: 90s"] == f"{path}:2"
    assert lines["process: 7"] == f"{path}:3"
    assert lines["global: 0"] == lines["ring: name"].replace(f"{path}:8", "default") == "default"
    assert lines['flock: ["a.example:1"]'] == f"{path}:11"
    assert lines["limit: 100KiB"] == f"{path}:14"
    assert "hunter2" not in text


def test_json_has_the_shape_of_the_file(path: Path, pigeon: SinkType) -> None:
    """With a value, written as in the file, and its origin in place of each value."""
    config = load_config(path)
    shown = json.loads(shown_json(config))
    assert shown["file"] == str(path)
    assert shown["limits"]["process"] == {"value": 7, "from": f"{path}:3"}
    assert shown["spool"]["limit"] == {"value": "256MiB", "from": "default"}
    assert shown["sinks"]["bird"]["loft"] == {"value": "[::1]:7", "from": f"{path}:7"}
    assert shown["sinks"]["bird"]["filter"]["behavior"] == {"value": ["f*", "exec"], "from": f"{path}:13"}
    assert "home" not in shown["sinks"]["bird"]  # not set, and without a default
    assert json.loads(shown_json(defaults()))["file"] is None


def test_the_command_tells_what_would_run(tmp_path: Path) -> None:
    (tmp_path / "panorama.yaml").write_text(
        "behaviors: {enable: [exec], disable: [size]}\n"
        f"sinks: {{log: {{type: file, path: {tmp_path}/log, format: json}}, local: {{type: syslog}}}}\n"
    )
    told = panorama("--check", f"{tmp_path}/panorama.yaml")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith(f"{tmp_path}/panorama.yaml: fine; ")
    assert ", exec, " in told.stdout
    assert " size" not in told.stdout
    assert told.stdout.endswith(" ignore rules, sinks log (file, json, drop), local (syslog, text, drop)\n")
    assert not (tmp_path / "log").exists()


def test_the_command_tells_all_that_is_wrong(tmp_path: Path) -> None:
    """To standard error, with status 2, whether to check or to show."""
    path = tmp_path / "panorama.yaml"
    path.write_text("fold: 1\nbehaviors: {disable: [exek]}\n")
    told = panorama("--check", str(path))
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.splitlines() == [
        f"panorama: {path}:1:7: 'fold' cannot be '1'; it takes true or false",
        f"panorama: {path}:2:23: there is no behavior 'exek'; did you mean 'exec'?",
    ]
    assert panorama("--show", str(path)).returncode == 2
    path.write_text("behaviors: {disable: [exek]}\n")
    assert panorama("--check", str(path)).returncode == 2


def test_the_command_shows_what_holds(tmp_path: Path) -> None:
    """YAML or JSON; --format is nothing for --check."""
    (tmp_path / "panorama.yaml").write_text("fold: false\n")
    shown = panorama("--show", f"{tmp_path}/panorama.yaml").stdout
    [line] = [line for line in shown.splitlines() if "default" not in line and "# " in line]
    assert line.split() == ["fold:", "false", "#", f"{tmp_path}/panorama.yaml:1"]
    shown = panorama("--show", "--format=json", f"{tmp_path}/panorama.yaml").stdout
    assert json.loads(shown)["fold"] == {"value": False, "from": f"{tmp_path}/panorama.yaml:1"}
    told = panorama("--check", "--format=json")
    assert (told.returncode, told.stderr) == (2, "panorama: --format is for --show\n")
    assert "one of the arguments --check --show is required" in panorama().stderr
