# SPDX-License-Identifier: Apache-2.0
"""How fast one core goes through events: `panorama replay` of a big trace, and each of its stages alone.

The trace is traces/, one after the other, repeated: each time other processes, at a later time.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .bench import PYTHON, ROOT, Bench, CannotMeasure, pin, said
from .load import Load
from .modes import last_line
from .report import Row, Section
from .stats import Figure

__all__ = ["measure", "multiply"]

_WANTED = 300_000  # events a second
_PAUSE = 10**9  # ns from one trace to the next
_PIDS = 50_000  # those of one repetition
_STAGES = {
    "decode": "kernel records to events",
    "read": "trace to events",
    "rules": "ignore rules",
    "machines": "state machines",
    "format": "lines to text",
}


def measure(bench: Bench) -> Section:
    section = Section("How fast one core goes through events")
    folder = bench.folder("replay")
    trace = folder / "big.jsonl"
    records, events = multiply(trace, int(bench.pick(150_000, 20_000)))
    took = []
    for _ in range(bench.rounds):
        begin = time.perf_counter()
        done = subprocess.run(
            ["taskset", "-c", str(pin()), PYTHON, "-m", "panorama", "replay", trace],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        took.append(time.perf_counter() - begin)
        if done.returncode:
            raise CannotMeasure(f"panorama replay: {last_line(done.stderr)}")
    whole = Figure([events / seconds for seconds in took], "events/s")
    section.rows.append(
        Row("panorama replay", f"at least {_WANTED:,} events/s", whole.text(), whole.spread(), whole.median >= _WANTED)
    )
    each = Figure([records / seconds for seconds in took], "records/s")
    section.rows.append(Row("the same", "", each.text(), each.spread()))
    _stages(bench, section, trace)
    section.note(
        f"a trace of {records:,} records with {events:,} events: one event is one syscall, many are in a record"
    )
    section.note("from start to end of the process, with loading the behaviors")
    return section


def _stages(bench: Bench, section: Section, trace: Path) -> None:
    load = Load(bench.folder("replay"))
    command = load.command("files", rate=20_000, count=int(bench.pick(5_000, 1_000)))
    inside = [PYTHON, "-m", "tests.bench.inside", "stages", str(trace), *command]
    found: list[dict[str, Any]] = [json.loads(said(inside).splitlines()[-1]) for _ in range(bench.rounds)]
    section.table = [["stage alone", "records/s", "events/s"]]
    for stage, words in _STAGES.items():
        told = [each[stage] for each in found]
        if errors := [each["error"] for each in told if "error" in each]:
            section.table.append([words, f"not measured: {errors[0]}", ""])
            continue
        cells = [Figure([each[what] / each["seconds"] for each in told]) for what in ("records", "events")]
        section.table.append([words, *(cell.both() if cell.median else "" for cell in cells)])
    section.note("kernel records: those of the generator's files, 8 syscalls in 4 records")


def multiply(path: Path, wanted: int) -> tuple[int, int]:
    """Writes a trace of at least so many records; how many they are, and how many syscalls they tell of."""
    header: dict[str, Any] = {}
    scenes: list[dict[str, Any]] = []
    processes, length = 0, _PAUSE
    for source in sorted((ROOT / "traces").glob("*.jsonl*")):
        lines = list(_lines(source))
        header = header or lines[0]
        times = [line["time"] for line in lines if "time" in line]
        numbers: dict[int, int] = {}
        for line in lines[1:]:
            if "process" in line:
                if "event" not in line:
                    processes += 1
                    numbers[line["process"]] = processes
                line["process"] = numbers[line["process"]]
                scenes.append(_moved(line, dict.fromkeys(("time", "began"), length - min(times))))
        length += max(times) - min(times) + _PAUSE
    records = events = turn = 0
    with open(path, "w", encoding="ascii") as file:
        print(json.dumps(header), file=file)
        while records < wanted:
            shift = 10**18 + turn * length
            for line in scenes:
                by = {"process": turn * processes} | dict.fromkeys(("time", "began"), shift)
                by |= dict.fromkeys(("start", "parent_start"), turn * length)
                by |= dict.fromkeys(("pid", "ppid", "child"), turn * _PIDS)
                if "event" in line:
                    records += 1
                    line["number"] = records
                print(json.dumps(_moved(line, by), separators=(",", ":")), file=file)
                events += sum(line.get("calls", {}).values())
            turn += 1
    return records, events


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else open(path, encoding="ascii") as file:
        yield from map(json.loads, file)


def _moved(line: dict[str, Any], by: dict[str, int]) -> dict[str, Any]:
    """The line with these added to the fields it has."""
    return line | {name: line[name] + more for name, more in by.items() if line.get(name)}
