# SPDX-License-Identifier: Apache-2.0
"""A real activity: which lines are written of it, and how the one line shows what it stands for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from panorama.paths import BEHAVIORS

from .test_commands import panorama, words

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
        (each.get("cpu", 0), each["sequence"]): each["event"] for each in map(json.loads, trace) if "sequence" in each
    }
    assert [events[cpu, sequence][-1] for cpu, sequence in ids] == ["close", "close", "unlink"]
