# SPDX-License-Identifier: Apache-2.0
"""Recorded traces with records missing, moved, doubled, and with pids used again: nothing certain is said that is wrong.

With all behaviors that come with Panorama, and with some that are easily fooled. Each seed is a damage of its own.
"""

from __future__ import annotations

import gzip
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from panorama.event import Event, Item, ProcessKey
from panorama.ignore import load_ignore
from panorama.machines.compiler import Program, compile_behaviors
from panorama.machines.spec import load_behaviors
from panorama.output.line import Line, Part
from panorama.paths import BEHAVIORS
from panorama.pipeline import Pipeline, sums_of
from panorama.tally import Tally, added
from panorama.trace import Trace, TraceWriter, read_trace

TRACES = Path(__file__).parent.parent / "traces"
PATHS = {path.name.split(".")[0]: path for path in sorted(TRACES.glob("*.jsonl*"))}
EVENTS_IN_ALL = 700  # about, of the damaged traces that are made of one

JsonLine = dict[str, Any]
Said = tuple[str, int, ProcessKey, str, tuple[str | Part, ...]]  # behavior, when, who, verb, object
Damage = Callable[[list[JsonLine], random.Random], list[JsonLine]]
every_trace = pytest.mark.parametrize("name", PATHS)

# Each says something of what did not happen in between, or of what came first, so a record less or moved can fool it.
GULLIBLE = {
    "order": """
        - {trigger: read, source: idle, dest: was_read, save: {first: file}}
        - {trigger: [create, cover, write], source: was_read, emit: "order {first} {file}"}
        - {trigger: [remove, rename, chmod], source: was_read}
        """,
    "silence": """
        - {trigger: [create, cover, write], source: idle, dest: made, save: {made: file}}
        - {trigger: [create, remove, rename, read], source: made}
        - {trigger: timeout, source: made, emit: "silence {made}"}
        """,
    "parent": """
        - {trigger: child.exec, source: idle, dest: began}
        - {trigger: [child.create, child.write], source: began, emit: "parent {file}"}
        - {trigger: [child.read, child.remove], source: began}
        """,
    "pair": """
        - {trigger: [mkdir, create, link, read, exec], source: idle, dest: half}
        - {trigger: [mkdir, create, link, read, chmod], source: half, emit: "pair {file}"}
        """,
    "path": """
        - {trigger: [create, cover, write, read], source: idle, dest: used, save: {first: command}}
        - {trigger: [read, rename, chmod, remove], source: used, emit: "path {file} {first} {command}"}
        """,
    "count": """
        - {trigger: exec, source: idle, dest: counting, gather: {names: file}}
        - {trigger: [create, cover, read], source: counting, dest: counting, gather: {names: file}}
        - {trigger: [rename, chmod, connect], source: counting, dest: counting, anew: true, gather: {names: file}}
        - {trigger: exit, source: counting, emit: "count {names} {names.count}"}
        """,
    "login": """
        - {trigger: accept, source: idle, login: remote}
        - {trigger: [create, read, exec], source: idle, conditions: {origin: "0.0.0.0/0"}, emit: "login {file} {origin}"}
        """,
    "peer": """
        - {trigger: [create, read], source: idle, conditions: {peer: "0.0.0.0/0"}, emit: "peer {file} {peer}"}
        """,
}


@cache
def program(folder: Path) -> Program:
    """Panorama's own behaviors and those of a folder."""
    return compile_behaviors(load_behaviors([BEHAVIORS, folder], switched={"exec": True}))


@pytest.fixture(scope="module")
def gullible(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """All behaviors there are, and GULLIBLE."""
    folder = tmp_path_factory.mktemp("behaviors")
    for name, transitions in GULLIBLE.items():
        states = "states: {made: {timeout: 1ms}}\n" if name == "silence" else ""
        per = "path" if name == "path" else "process"
        head = f"behavior: {name}\nsummary: For tests.\nlayer: activity\nper: {per}\ninitial: idle\n"
        (folder / f"{name}.yaml").write_text(f"{head}{states}transitions:\n{transitions}")
    return program(folder)


@cache
def lines_of(name: str) -> list[JsonLine]:
    """The lines of a trace, as data."""
    raw = PATHS[name].read_bytes()
    text = gzip.decompress(raw) if PATHS[name].suffix == ".gz" else raw
    return [json.loads(line) for line in text.splitlines()]


def seeds(name: str) -> range:
    """More for short traces."""
    return range(max(2, min(8, EVENTS_IN_ALL // len(events_of(lines_of(name))))))


def is_event(line: JsonLine) -> bool:
    return "event" in line


def events_of(lines: list[JsonLine]) -> list[int]:
    """Where the lines of events are."""
    return [at for at, line in enumerate(lines) if is_event(line)]


def drop(lines: list[JsonLine], dice: random.Random) -> list[JsonLine]:
    """Some events are gone: one, a few here and there, or many in a row."""
    places = events_of(lines)
    count = min(len(places), dice.choice((1, 1, 2, 5, len(places) // 3)))
    start = dice.randrange(len(places) - count + 1)
    gone = set(dice.choice((dice.sample(places, count), places[start : start + count])))
    return [line for at, line in enumerate(lines) if at not in gone]


def swap(lines: list[JsonLine], dice: random.Random) -> list[JsonLine]:
    """Events change places with their neighbours, or with others far away."""
    changed, places = list(lines), events_of(lines)
    for _ in range(dice.choice((1, 1, 3, 10))):
        one = dice.randrange(len(places) - 1)
        other = dice.choice((one + 1, dice.randrange(len(places))))
        here, there = places[one], places[other]
        changed[here], changed[there] = changed[there], changed[here]
    return changed


def double(lines: list[JsonLine], dice: random.Random) -> list[JsonLine]:
    """Events come again, at once or later."""
    changed = list(lines)
    for _ in range(dice.choice((1, 1, 3, 10))):
        at = dice.choice(events_of(changed))
        changed.insert(dice.choice((at + 1, dice.randrange(at + 1, len(changed) + 1))), changed[at])
    return changed


def all_at_once(lines: list[JsonLine], dice: random.Random) -> list[JsonLine]:
    """In any order."""
    for damage in dice.sample((drop, swap, double), 3):
        lines = damage(lines, dice)
    return lines


def run(lines: Iterable[JsonLine], program: Program) -> tuple[list[Line], Tally, Trace]:
    """What a replay of these lines gives."""
    text = "".join(f"{json.dumps(line)}\n" for line in lines).encode("ascii")
    trace = read_trace(io.BytesIO(text), lambda problem: None, "chaos")
    found: list[Line] = []
    pipeline = Pipeline(program, load_ignore(BEHAVIORS / "ignore.yaml"), found.append, trace.header.recorder)
    pipeline.take(trace)
    end = trace.end or {}
    pipeline.advance(end.get("time", 0))
    pipeline.finish()
    return found, sums_of(pipeline, end, trace.problems, trace.missing > 0), trace


def said(lines: Iterable[Line]) -> list[Said]:
    """What lines say, without the evidence; Panorama's own left out."""
    return [
        (line.behavior, line.time, line.process.key, line.verb, line.object)
        for line in lines
        if line.layer != "panorama"
    ]


def beyond(lines: Iterable[Line], full: Iterable[Said]) -> list[Said]:
    """What is said for certain and should not be."""
    certain = said(line for line in lines if line.certainty == "certain")
    return list(Counter(certain) - Counter(full))


@cache
def whole(name: str, program: Program) -> tuple[list[Said], Tally]:
    """What the undamaged trace gives."""
    lines, tally, trace = run(lines_of(name), program)
    assert not trace.missing
    assert not trace.problems
    return said(lines), tally


def damaged(name: str, damage: Damage) -> list[tuple[int, list[JsonLine]]]:
    """One for each seed."""
    return [(seed, damage(lines_of(name), random.Random(f"{name} {seed}"))) for seed in seeds(name)]


def test_the_gullible_ones_say_something(gullible: Program) -> None:
    """Else there would be nothing to be fooled."""
    behaviors = Counter(key[0] for name in PATHS for key in whole(name, gullible)[0])
    assert all(behaviors[name] >= 5 for name in GULLIBLE), behaviors


@every_trace
@pytest.mark.parametrize("damage", [drop, swap, double, all_at_once])
def test_nothing_certain_is_said_that_the_full_trace_does_not_give(
    name: str, damage: Damage, gullible: Program
) -> None:
    """Who did what to what, and when. And whatever came, the sums add up."""
    full, sums = whole(name, gullible)
    for seed, lines in damaged(name, damage):
        found, tally, trace = run(lines, gullible)
        assert beyond(found, full) == [], seed
        assert not tally.missing(), (seed, tally.text())
        assert trace.missing or tally.lost == sums.lost, seed


@every_trace
def test_what_was_dropped_is_counted_as_lost(name: str, gullible: Program) -> None:
    """By trigger, exactly, and one line tells of each gap."""
    _, sums = whole(name, gullible)
    for seed, lines in damaged(name, drop):
        found, tally, trace = run(lines, gullible)
        gone = [line for line in lines_of(name) if is_event(line) and line not in lines]
        assert tally.lost == added(sums.lost, *(line["calls"] for line in gone)), seed
        assert trace.missing == len(gone) > 0
        told = [line for line in found if line.verb == "lost" and "of the trace" in str(line.object)]
        assert told, seed


@every_trace
def test_what_only_came_twice_or_a_little_late_changes_nothing(name: str, gullible: Program) -> None:
    """Not one line, not their order and not one count, unless it came before the line that tells of its process."""
    full, sums = whole(name, gullible)
    for damage in (swap, double):
        for seed, lines in damaged(name, damage):
            found, tally, trace = run(lines, gullible)
            if not trace.missing:
                assert said(found) == full, (damage, seed)
                assert replace(tally, skipped=0) == sums, (damage, seed)


@every_trace
def test_a_pid_used_again_is_another_process(name: str, gullible: Program) -> None:
    """Processes have the pid of others that ended: the same is said of the same processes, or no longer for certain."""
    full, _ = whole(name, gullible)
    for seed in seeds(name):
        dice = random.Random(f"{name} {seed}")
        lines, originals = with_pids_used_again(name, dice)
        for changed in (lines, all_at_once(lines, dice)):
            found, tally, trace = run(changed, gullible)
            back = [named_back(line, originals) for line in found]
            assert beyond(back, full) == [], seed
            assert not tally.missing(), (seed, tally.text())
            assert trace.missing or changed is not lines or said(back) == full


def with_pids_used_again(name: str, dice: random.Random) -> tuple[list[JsonLine], dict[ProcessKey, int]]:
    """The trace written anew, and which pid was whose."""
    trace = read_trace(PATHS[name], lambda problem: None)
    items = list(trace)
    first: dict[ProcessKey, int] = {}
    last: dict[ProcessKey, int] = {}
    for at, item in enumerate(items):
        if isinstance(item, Event):
            first.setdefault(item.process.key, at)
            last[item.process.key] = at
    pids: dict[ProcessKey, int] = {}
    taken = {key: last[key] for key in first}
    for key in first:
        ended = [other for other in taken if taken[other] < first[key]]
        if ended and dice.random() < 0.8:
            before = dice.choice(ended)
            pids[key] = pids.get(before, before[0])
            del taken[before]
    stream = io.StringIO()
    writer = TraceWriter(stream, trace.header)
    for item in items:
        writer.write(with_pids(item, pids))
    writer.end(trace.end or {})
    originals = {(pid, start): before for (before, start), pid in pids.items()}
    return [json.loads(line) for line in stream.getvalue().splitlines()], originals


def with_pids(item: Item, pids: dict[ProcessKey, int]) -> Item:
    if not isinstance(item, Event):
        return item
    process = item.process
    parent = (process.ppid, process.parent_start)
    pid, ppid = pids.get(process.key, process.pid), pids.get(parent, process.ppid)
    return replace(item, process=replace(process, pid=pid, ppid=ppid))


def named_back(line: Line, originals: dict[ProcessKey, int]) -> Line:
    key = line.process.key
    return replace(line, process=replace(line.process, pid=originals.get(key, key[0])))


@every_trace
def test_that_something_was_lost_casts_doubt_before_it_is_known_what(name: str, gullible: Program) -> None:
    """The same lines or fewer, as who logged in is unknown now, and with it what a transfer is; what goes on over time is
    certain no longer."""
    full, _ = whole(name, gullible)
    for seed in seeds(name):
        lines = lines_of(name)
        at = random.Random(f"{name} {seed}").choice(events_of(lines))
        number, time = lines[at]["number"], lines[at]["time"]
        loss = {"loss": 0, "number": number, "cpu": -1, "first": 0, "time": time}
        found, tally, _ = run([*lines[:at], loss, *renumbered(lines[at:], 1)], gullible)
        assert {line[0] for line in (Counter(full) - Counter(said(found))).elements()} <= {"login", "transfer"}, seed
        assert not Counter(said(found)) - Counter(full), seed
        assert not tally.missing(), seed
        before = max(line["time"] for line in lines[: at + 1] if is_event(line))
        doubtful = [line for line in found if line.behavior in GULLIBLE and line.time > before]
        assert [line for line in doubtful if line.certainty == "certain"] == [], seed


@every_trace
def test_what_the_sensor_loses_and_tells_makes_nothing_certain_that_is_wrong(name: str, gullible: Program) -> None:
    """Of the processes that begin after a loss lines may be certain; none is that the full trace does not give."""
    full, sums = whole(name, gullible)
    for seed in seeds(name):
        lines, lost = sensed(lines_of(name), random.Random(f"{name} {seed}"))
        found, tally, trace = run(lines, gullible)
        assert beyond(found, full) == [], seed
        assert not trace.missing, seed
        assert tally.lost == added(sums.lost, lost), seed


def renumbered(lines: list[JsonLine], more: int) -> list[JsonLine]:
    return [line | {"number": line["number"] + more} if "number" in line else line for line in lines]


def sensed(lines: list[JsonLine], dice: random.Random) -> tuple[list[JsonLine], dict[str, int]]:
    """The trace of a sensor that lost some events: it says so at once, and which when the cpu has its next record.

    Also the calls that were lost. Events that no cpu has counted cannot get lost.
    """
    offset = boot_time(lines)
    places = [at for at in events_of(lines) if counts(lines[at])]
    gone = set(dice.sample(places, min(len(places), dice.choice((1, 2, 5, len(places) // 3)))))
    told: list[JsonLine] = []
    due: dict[int, int] = {}  # by cpu, the sequence that was lost first
    unsaid = False
    lost: dict[str, int] = {}
    for at, line in enumerate(lines):
        if at in gone:
            due.setdefault(line.get("cpu", 0), line.get("sequence", 0))
            unsaid, lost = True, added(lost, line["calls"])
            continue
        if is_event(line):
            cpu, time = line.get("cpu", 0), line["time"]
            loss = {"time": time, "since_boot": time - offset}
            if unsaid:
                told.append({"loss": 0, "number": 0, "cpu": -1, "first": 0} | loss)
                unsaid = False
            if cpu in due and counts(line):
                first = due.pop(cpu)
                told.append({"loss": line.get("sequence", 0) - first, "number": 0, "cpu": cpu, "first": first} | loss)
        if "end" in line:
            time = line["end"]["time"]
            told += [
                {"loss": 1, "number": 0, "cpu": cpu, "first": first, "time": time, "since_boot": time - offset}
                for cpu, first in due.items()
            ]
        told.append(line)
    numbered, number = [], 0
    for line in told:
        number += "number" in line
        numbered.append(line | {"number": number} if "number" in line else line)
    end = dict(numbered[-1]["end"])
    return [*numbered[:-1], numbered[-1] | {"end": end | {"lost": added(end.get("lost", {}), lost)}}], lost


def counts(line: JsonLine) -> bool:
    """Whether it is sure that a cpu has counted this event."""
    return "sequence" in line


def boot_time(lines: list[JsonLine]) -> int:
    """About when the machine was booted, not too late: some process does something within 20 ms of its beginning."""
    starts = {line["process"]: line["start"] for line in lines if "start" in line}
    return min(line["time"] - starts[line["process"]] for line in lines if is_event(line)) - 20 * 10**6
