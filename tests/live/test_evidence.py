# SPDX-License-Identifier: Apache-2.0
"""A real activity: which lines are written of it, how the one line shows what it stands for, and a login in records."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from panorama.paths import BEHAVIORS

# these are fixtures: running, sshd
from .test_commands import Running, panorama, running, until, words  # noqa: F401
from .test_logins import logged_in
from .test_network import Sshd, sshd  # noqa: F401

pytestmark = pytest.mark.live

PACK = """\
behavior: pack
summary: A file replaced by its compressed self.
layer: activity
match: {command: gzip}
per: process
initial: idle
transitions:
- {trigger: read,   source: idle,    dest: reading, save: {plain: file}}
- {trigger: create, source: reading, dest: written, save: {packed: file}}
- {trigger: remove, source: written, conditions: {file: plain}, emit: "compress {plain} -> {packed}"}
"""

# the second gzip has nothing to remove: what it did comes late, but comes
SCRIPT = "echo 1 > g; echo 2 > h; gzip g; gzip -k h"
OPERATIONS = [
    *("sh create g", "sh create h", "gzip read g", "gzip create g.gz", "gzip remove g"),
    *("gzip read h", "gzip create h.gz"),
]
ACTIVITY = "gzip compress g -> g.gz"


@pytest.fixture
def options(tmp_path: Path) -> tuple[str, ...]:
    """The shipped operations and one activity."""
    specs = tmp_path / "specs"
    specs.mkdir(mode=0o755)
    for behavior in BEHAVIORS.glob("*.yaml"):
        (specs / behavior.name).write_bytes(behavior.read_bytes())
    (specs / "pack.yaml").write_text(PACK)
    return ("-b", str(specs))


@pytest.mark.parametrize(
    ("log", "lines"),
    [
        ("operations", OPERATIONS),
        ("activities", [line for line in OPERATIONS if line not in OPERATIONS[2:5]] + [ACTIVITY]),
        ("all", [*OPERATIONS, ACTIVITY]),
    ],
)
def test_log_says_which_lines_are_written(tmp_path: Path, options: tuple[str, ...], log: str, lines: list[str]) -> None:
    """Of a program that is watched, by option or configuration; and of a trace, which has everything in any case."""
    watched = panorama(tmp_path, "watch", "--log", log, *options, "--", "sh", "-c", SCRIPT)
    assert sorted(words(watched.stderr)) == sorted(lines)
    for made in ("g.gz", "h", "h.gz"):
        (tmp_path / made).unlink()
    panorama(tmp_path, "record", "-o", "t", *options, "--", "sh", "-c", SCRIPT)
    assert sorted(words(panorama(tmp_path, "replay", "--log", log, *options, "t").stdout)) == sorted(lines)
    for made in ("g.gz", "h", "h.gz"):
        (tmp_path / made).unlink()
    (tmp_path / "panorama.yaml").write_text(f"log: {log}\n")
    watched = panorama(tmp_path, "watch", "--config", "panorama.yaml", *options, "--", "sh", "-c", SCRIPT)
    assert sorted(words(watched.stderr)) == sorted(lines)


def test_the_line_shows_what_it_stands_for(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Below it with -d, in json with the events, which are those that the trace has under these numbers."""
    (tmp_path / "g").write_text("1")
    panorama(tmp_path, "record", "-o", "t", *options, "--", "gzip", "g")
    shown = panorama(tmp_path, "replay", "-d", "--log", "activities", *options, "t").stdout
    _, line, *below = shown.splitlines()
    assert words(line) == [f"{ACTIVITY} fd=5 read=1 written=23 states=idle>reading>written>"]
    found = [re.fullmatch(r"  [-\d]+ [\d:.]+ (\d+) (gzip .*) fd=(-|\d+) (\d+):(\d+)", each) for each in below]
    assert [match and re.sub(r":\d+$", "", match[2]) for match in found] == OPERATIONS[2:5]

    trace = (tmp_path / "t").read_text().splitlines()
    told = panorama(tmp_path, "replay", "--format", "json", "--log", "activities", *options, "t").stdout
    record = json.loads(told)
    assert record["operation_count"] == 3
    ids = [(event["cpu"], event["sequence"]) for each in record["operations"] for event in each["events"]]
    assert ids == [(int(match[4]), int(match[5])) for match in found if match]
    assert ids == [(event["cpu"], event["sequence"]) for event in record["events"]]
    events = {
        (each.get("cpu", 0), each.get("sequence", 0)): each["event"]
        for each in map(json.loads, trace)
        if "event" in each
    }
    assert [events[cpu, sequence][-1] for cpu, sequence in ids] == ["close", "close", "unlink"]


def test_a_record_has_the_login_that_it_was_done_in(
    sshd: Sshd,  # noqa: F811
    tmp_path: Path,
    options: tuple[str, ...],
    running: Callable[..., Running],  # noqa: F811
) -> None:
    """One that had begun before: what its shell does is from there, and is root's; what is done here is of no login."""
    work = tmp_path / "work"
    work.mkdir()
    log = tmp_path / "log"
    with logged_in(sshd, work) as session:
        run = running("run", *options, "--format", "json", "-s", f"file:{log}")
        subprocess.run(["mkdir", tmp_path / "outside"], check=True)
        session.go_on()
        until(lambda: f"{work}/done" in log.read_text(), "the line")
    assert run.stop(signal.SIGTERM) == 0
    records = [json.loads(text) for text in log.read_text().splitlines()]
    made = {each["file"]["path"]: each.get("session") for each in records if each["verb"] == "mkdir"}
    remote = {"host": session.remote.host, "port": session.remote.port}
    assert made[f"{work}/done"] == {"remote": remote, "user": "root"}
    assert made[f"{tmp_path}/outside"] is None
