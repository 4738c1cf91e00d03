# SPDX-License-Identifier: Apache-2.0
"""`panorama explain`: how lines came about, and what kept a behavior from writing one."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from event_samples import SHELL, child_of, connection, point, session, time_at

from panorama.cli import main
from panorama.event import Event, Loss
from panorama.paths import BEHAVIORS
from panorama.trace import TraceHeader, TraceWriter

TRACES = Path(__file__).parent.parent / "traces"
OPERATIONS = [path for path in sorted(BEHAVIORS.glob("*.yaml")) if path.name != "ignore.yaml"]
Explain = Callable[..., str]

PACK = """\
behavior: pack
summary: A file replaced by its packed self.
layer: activity
per: process
match: {command: [gzip, "a b"]}
initial: idle
states: {written: {timeout: 5s}}
transitions:
- {trigger: read, source: idle, dest: reading, save: {plain: file}}
- {trigger: create, source: reading, dest: written, conditions: {name: ["*.gz", "*.xz"]}, gather: {packed: file}}
- {trigger: child.connect, source: written, conditions: {remote: 10.0.0.0/8, port: ">1000"}}
- {trigger: remove, source: written, conditions: {file: plain, uid: 1000}, emit: "pack {plain} -> {packed}"}
- {trigger: timeout, source: written}
"""

GZIP = child_of(SHELL, 200, "gzip")
ODD = child_of(SHELL, 300, "a b")
EVENTS = [
    session(GZIP, "open read close", "/d/g", 1, cpu=0, sequence=0),
    session(GZIP, "open write close", "/d/g.gz", 1.5, cpu=1, sequence=0, created=True),
    point(GZIP, "unlink", "/d/g", 2, cpu=0, sequence=1),
    session(ODD, "open read close", "/d/\x1b[1m h", 3, cpu=0, sequence=2),
    session(ODD, "open write close", "/d/h.zip", 3.5, cpu=0, sequence=3, created=True),
    session(ODD, "open write close", "/d/h.xz", 4, cpu=0, sequence=4, created=True),
    connection(child_of(ODD, 400, "ssh"), "connect", "10.0.0.9:22", 4.5, cpu=0, sequence=5),
    point(ODD, "unlink", "/d/other", 5, cpu=0, sequence=6),
    point(ODD, "unlink", "/d/more", 5.5, cpu=0, sequence=7),
]


@pytest.fixture
def explain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Explain:
    """Runs the command on a trace of EVENTS, with PACK and the shipped operations; what it printed."""
    monkeypatch.setenv("TZ", "UTC")
    (tmp_path / "pack.yaml").write_text(PACK)

    def run(*words: str, events: list[Event | Loss] | None = None, trace: Path | None = None, status: int = 0) -> str:
        if trace is None:
            trace = tmp_path / "t.jsonl"
            with trace.open("w") as stream:
                writer = TraceWriter(stream, TraceHeader())
                for event in events or EVENTS:
                    writer.write(event)
                writer.end({"time": time_at(6)})
        paths = [*OPERATIONS, tmp_path / "pack.yaml"]
        behaviors = [word for path in paths for word in ("-b", str(path))]
        assert main(["explain", *behaviors, *words, str(trace)]) == status
        found = capsys.readouterr()
        return found.out or found.err

    return run


def shown(text: str) -> str:
    """Without the margin of this file."""
    return textwrap.dedent(text).lstrip("\n")


def test_a_line_is_explained_by_its_events_transitions_and_what_was_kept(explain: Explain) -> None:
    """Time, cpu and sequence, trigger and file; the states; where the transition is; what it saved or gathered."""
    assert explain("--line", "4") == shown(
        """
        4  2026-04-02 16:52:29.000000 100 200 alice gzip pack g:297 -> g.gz:568
          16:52:28.000000  0:0    read    /d/g     idle -> reading     pack.yaml:9
                           plain = /d/g
          16:52:28.500000  1:0    create  /d/g.gz  reading -> written  pack.yaml:10
                           packed = /d/g.gz
          16:52:29.000000  0:1    remove  /d/g     written -> end      pack.yaml:12

        """
    )


def test_names_are_quoted(explain: Explain) -> None:
    """What a process chose reaches no terminal."""
    assert explain("--line", "5") == shown(
        r"""
        5  2026-04-02 16:52:30.000000 100 300 alice "a b" read "\x1b[1m h":606
          16:52:30.000000  0:2    open    "/d/\x1b[1m h"  new -> opened   file.yaml:10
          16:52:30.000000  0:2    read    "/d/\x1b[1m h"  opened -> read  file.yaml:11
          16:52:30.000000  0:2    close   "/d/\x1b[1m h"  read -> end     file.yaml:15

        """
    )
    assert all(line.isprintable() for line in explain().splitlines())


def test_what_stopped_a_machine_is_said(explain: Explain) -> None:
    """How far it came, what it waited for, and of each transition the event that was nearest to fit."""
    assert explain("--behavior", "pack").partition("\n\n")[2] == shown(
        r"""
        "a b"[300]  idle -> reading -> written
          16:52:30.000000  0:2    read    "/d/\x1b[1m h"  idle -> reading     pack.yaml:9
                           plain = "/d/\x1b[1m h"
          16:52:31.000000  0:4    create  /d/h.xz         reading -> written  pack.yaml:10
                           packed = /d/h.xz
          it waited in written for child.connect (pack.yaml:11), remove (pack.yaml:12), timeout (pack.yaml:13)
          16:52:31.500000  0:5    child.connect 10.0.0.9:22 by ssh[400]
                           pack.yaml:11 wants port: >1000; found 22
          16:52:32.000000  0:6    remove  /d/other
                           pack.yaml:12 wants file: plain, which is "/d/\x1b[1m h"; found /d/other (and 1 more that did not fit)

        """
    )


def test_the_machine_that_came_furthest_is_first(explain: Explain, tmp_path: Path) -> None:
    """And those that wrote a line are not there."""
    other = child_of(SHELL, 500, "gzip")
    events = [session(other, "open read close", "/d/x", 0.5), *EVENTS, session(other, "open read close", "/d/y", 5.9)]
    said, *machines = explain("--behavior", "pack", events=events).split("\n\n")
    assert said == f"pack: 1 line, 2 machines without one  ({tmp_path}/pack.yaml)"
    assert [text.split("  ")[0] for text in machines if text] == ['"a b"[300]', "gzip[500]"]


def test_why_none_began_is_said(explain: Explain, tmp_path: Path) -> None:
    """Whom it is for, with what it begins, and what events wanted that might have begun it."""
    (tmp_path / "pack.yaml").write_text(PACK.replace("dest: reading,", "dest: reading, conditions: {kind: fifo},"))
    assert explain("--behavior", "pack") == shown(
        f"""
        pack: 0 lines, 0 machines without one  ({tmp_path}/pack.yaml)
          it is for processes with command: gzip or "a b"
          of 3 processes 2 are such
          it begins with read (pack.yaml:9)
          16:52:28.000000  0:0    read    /d/g
                           pack.yaml:9 wants kind: fifo; found file (and 1 more that did not fit)

        """
    )


def test_every_line_of_every_trace_has_its_way(capfd: pytest.CaptureFixture[str]) -> None:
    """The lines are those of a replay; each way begins in the first state, has no gap, and is in the behavior's file."""

    def printed(*words: str) -> list[str]:
        assert main([words[0], "-b", str(BEHAVIORS), *words[1:]]) == 0
        return capfd.readouterr().out.splitlines()

    for trace in sorted(TRACES.glob("*.jsonl*")):
        told = [json.loads(line) for line in printed("explain", "--format", "json", str(trace))]
        assert [each["said"] for each in told] == printed("replay", str(trace))
        assert [each["line"] for each in told] == list(range(1, len(told) + 1))
        for each in told:
            if each["behavior"] == "panorama":
                continue
            assert each["steps"][0]["source"] == each["states"][0] or each["steps"][0]["anew"]
            for step, following in pairwise(each["steps"]):
                assert step["dest"] == following["source"]
            for step in each["steps"]:
                path, _, number = step["at"].rpartition(":")
                assert Path(path).read_text().splitlines()[int(number) - 1].lstrip().startswith("- ")


def test_what_panorama_says_of_itself_has_no_way(explain: Explain) -> None:
    """It is counted as a line all the same."""
    told = explain("--line", "2", events=[EVENTS[0], Loss(time_at(1.2), 1, 0, 3)])
    assert told.splitlines()[1:] == ["  Panorama says this of itself", ""]


def test_the_numbers_are_those_of_the_lines_that_are_asked_for(explain: Explain) -> None:
    """With --log as with replay's."""
    assert explain("--log", "operations", "--line", "4").startswith("4  2026-04-02 16:52:30.000000 100 300 alice")
    first = json.loads(explain("--log", "activities", "--line", "1", "--format", "json"))
    assert (first["behavior"], first["said"].split(" alice ")[1]) == ("pack", "gzip pack g:297 -> g.gz:568")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--behavior", "pak"], "there is no behavior 'pak'; did you mean 'pack'?"),
        (["--behavior", "exec"], "the behavior 'exec' is off; switch it on with --enable exec"),
        (["--line", "11"], "--line 11: the lines of TRACE are only 10"),
        (
            ["--line", "0"],
            "argument --line: '0' is no number of a line; they count from 1; see: panorama explain --help",
        ),
        (
            ["--line", "²"],
            "argument --line: '²' is no number of a line; they count from 1; see: panorama explain --help",
        ),
        (
            ["--log", "none"],
            "argument --log: there is no kind of line 'none'; there are operations, activities, all; see: panorama explain --help",
        ),
    ],
)
def test_what_is_not_there_is_told_in_one_line(explain: Explain, tmp_path: Path, words: list[str], said: str) -> None:
    told = explain(*words, status=2).replace(str(tmp_path / "t.jsonl"), "TRACE")
    assert told.startswith(f"panorama: {said}")
    assert told.count("\n") == 1


def test_a_trace_with_holes_is_told(explain: Explain, tmp_path: Path) -> None:
    """As by replay: what is missing on stderr, exit status 1."""
    explain()
    lines = (tmp_path / "t.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "holes.jsonl").write_text("".join([*lines[:3], *lines[4:]]))
    told = explain("--line", "1", trace=tmp_path / "holes.jsonl", status=1)
    assert told.startswith("1  2026-04-02")
