# SPDX-License-Identifier: Apache-2.0
"""What activities save in lines, and what they cost in time.

Lines: work and a session are recorded once each, with the processes below them alone, and the trace is replayed with
each setting of `log`. Time: the big trace of replay.py, and with more and more behaviors beside the shipped ones.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import site
from .bench import PYTHON, ROOT, Bench, CannotMeasure, pin, said
from .modes import last_line
from .replay import multiply
from .report import Row, Section, at_most
from .session import Session
from .stats import Figure, number, paired, size
from .work import Work

__all__ = ["measure"]

_LOGS = ("operations", "activities", "all")
_SHARE = 1 / 10  # lines with activities, of those with operations
_WANTED = 250_000  # events a second
_MORE = (0, 10, 100, 1000)  # behaviors beside the shipped ones
_ASKING = 50  # that are asked about every change of a file
_SLOWER = 1.5  # times


def measure(bench: Bench) -> Section:
    section = Section("Activities")
    section.table = [["", *_LOGS]]
    _volume(bench, section)
    _rates(bench, section)
    _more_and_more(bench, section)
    return section


def _volume(bench: Bench, section: Section) -> None:
    folder = bench.folder("activities")
    work = Work(bench)
    with Session(folder) as session:
        everything = dict(work.everything())
        kept = [what for what in everything if what.startswith(("untar", "make", "git"))]
        tasks = {what: everything[what] for what in kept}
        tasks["a session in a shell"] = (lambda _: work.timed(session.command, folder), session.lacking)
        for count, (what, (do, lacking)) in enumerate(tasks.items()):
            wanted = f"{what}: lines with activities, of those with operations"
            if lacking:
                section.rows.append(at_most(wanted, None, _SHARE, "", lacking))
                continue
            lines, sizes = _written(work, do, folder / f"{count}.jsonl", folder / f"here{count}")
            section.rows.append(at_most(wanted, Figure([lines["activities"] / lines["operations"]]), _SHARE))
            section.table.append([f"{what}: lines", *(f"{lines[log]:,}" for log in _LOGS)])
            section.table.append([f"{what}: text", *(size(sizes[log]) for log in _LOGS)])
    section.note(
        "lines: recorded once each, only what the command itself and all below it did; the same trace replayed"
    )
    section.note("the session: session.sh in an empty home; its web server and its sshd are not part of it")


def _written(work: Work, do: Callable[[Path], float], trace: Path, here: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Lines and bytes of text by the setting of `log`."""
    here.mkdir()
    work.under = [PYTHON, "-m", "panorama", "record", "-o", trace, "--"]
    do(here)
    texts = {log: said([PYTHON, "-m", "panorama", "replay", "--log", log, trace]) for log in _LOGS}
    lines = {log: text.count("\n") + 1 for log, text in texts.items()}
    return lines, {log: len(text.encode(errors="replace")) for log, text in texts.items()}


def _rates(bench: Bench, section: Section) -> None:
    """Each setting takes its turn in each round."""
    trace = bench.folder("activities") / "big.jsonl"
    records, events = multiply(trace, int(bench.pick(150_000, 20_000)))
    took: dict[str, list[float]] = {log: [] for log in _LOGS}
    alone: dict[str, list[dict[str, Any]]] = {log: [] for log in _LOGS}
    for turn in range(bench.rounds):
        for log in _LOGS if turn % 2 == 0 else reversed(_LOGS):
            took[log].append(_replayed(trace, log))
            alone[log].append(_machines(trace, "--log", log))
    whole = {log: Figure([events / seconds for seconds in took[log]], "events/s") for log in _LOGS}
    for log in _LOGS:
        met = whole[log].median >= _WANTED
        wanted = f"at least {_WANTED:,} events/s" if log != "operations" else ""
        what = f"panorama replay --log {log}"
        section.rows.append(Row(what, wanted, whole[log].text(), whole[log].spread(), met if wanted else None))
    section.table.append(["replay: records/s", *(_each(records, took[log]) for log in _LOGS)])
    section.table.append(["replay: events/s", *(_each(events, took[log]) for log in _LOGS)])
    for unit in ("records", "events"):
        cells = [Figure([found[unit] / found["seconds"] for found in alone[log]]).both() for log in _LOGS]
        section.table.append([f"state machines alone: {unit}/s", *cells])
    section.note(f"rates: a trace of {records:,} records with {events:,} events, from start to end of the process")


def _each(count: int, seconds: list[float]) -> str:
    return Figure([count / each for each in seconds]).both()


def _replayed(trace: Path, log: str) -> float:
    """Seconds."""
    begin = time.perf_counter()
    done = subprocess.run(
        ["taskset", "-c", str(pin()), PYTHON, "-m", "panorama", "replay", "--log", log, trace],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise CannotMeasure(f"panorama replay: {last_line(done.stderr)}")
    return time.perf_counter() - begin


def _machines(trace: Path, *options: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said([PYTHON, "-m", "tests.bench.inside", "machines", str(trace), *options]))
    return found


def _more_and_more(bench: Bench, section: Section) -> None:
    folder = bench.folder("activities")
    trace = folder / "small.jsonl"
    multiply(trace, int(bench.pick(60_000, 10_000)))
    settings = {_words(count): _folders(folder, count) for count in _MORE}
    asking = f"{_words(_MORE[-1])}, and {_ASKING} asked about every change of a file"
    settings[asking] = _folders(folder, _MORE[-1], _ASKING)
    found: dict[str, list[dict[str, Any]]] = {words: [] for words in settings}
    for turn in range(bench.rounds):
        for words in settings if turn % 2 == 0 else reversed(settings):
            found[words].append(_machines(trace, *settings[words]))
    later = {words: [run["later"] * 1e6 for run in runs] for words, runs in found.items()}
    for words, runs in found.items():
        took, loading = Figure(later[words], "us a record"), Figure([run["loading"] for run in runs], "s")
        rates = [number(Figure([run[unit] / run["seconds"] for run in runs]).median) for unit in ("records", "events")]
        what = f"state machines alone, {words}: {runs[0]['behaviors']:,} behaviors"
        said = f"{took.text()}; in all {rates[0]} records/s, {rates[1]} events/s; loaded in {loading.text()}"
        section.rows.append(Row(what, "", said, took.spread()))
    slower = Figure(paired(later[_words(_MORE[-1])], later[_words(0)]), "times")
    section.rows.append(at_most(f"{_words(_MORE[-1])}, of the shipped ones' time", slower, _SLOWER, "times"))
    section.note(f"more behaviors: {site.MIX}; {_ASKING}: they begin with anybody's write of a gigabyte")
    section.note(
        "us a record: of the later half of a trace; in all: with the first of each kind of process, which takes longer"
    )


def _words(count: int) -> str:
    return f"with {count:,} more" if count else "the shipped ones"


def _folders(folder: Path, count: int, asking: int = 0) -> list[str | Path]:
    """Options for the shipped behaviors and so many others."""
    options: list[str | Path] = ["-b", ROOT / "behaviors"]
    if count:
        here = folder / f"site{count}-{asking}"
        site.make(here, count)
        site.make_asking(here, asking)
        options += ["-b", here]
    return options
