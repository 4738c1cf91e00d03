# SPDX-License-Identifier: Apache-2.0
"""Conservation under load: of what a generator counted, syscall by syscall, nothing is unaccounted for.

Panorama follows the generator alone (`panorama watch --sums`), so its sums are about nothing else. What a process does
before main() and behind it is measured by a run that does nothing, and taken off. Then, by trigger: what Panorama saw
is what the generator did, and lost is what it did less what is in lines, ignored or unexplained.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from .bench import PYTHON, ROOT, Bench, CannotMeasure, pin
from .load import Done, Load
from .modes import last_line
from .report import Row, Section
from .stats import number

__all__ = ["measure"]

_RATE = 50_000  # syscalls a second
_CYCLE = 8  # syscalls, see load.c
_ENDLESS = 10**9


def measure(bench: Bench) -> Section:
    section = Section(f"{_RATE:,} file events a second, and more", rounds=1)
    load = Load(bench.folder("rate"))
    minute, short = bench.pick(60, 10), bench.pick(10, 3)
    _, idle = _watched(bench, load, count=0)
    done, sums = _watched(bench, load, rate=_RATE, count=int(minute * _RATE / _CYCLE), seconds=minute * 2)
    _account(section, f"{minute:.0f} s at {number(done.rate * _CYCLE)} a second", done, sums, idle, True)
    if done.rate * _CYCLE < 0.98 * _RATE:
        section.note(f"the machine managed {number(done.rate * _CYCLE)} syscalls a second, not {_RATE:,}")
    done, sums = _watched(bench, load, count=_ENDLESS, seconds=short)
    _account(
        section, f"{short:.0f} s as fast as it goes, {number(done.rate * _CYCLE)} a second", done, sums, idle, False
    )
    section.note("one event is one syscall: a cycle is create write close, open read close, rename, unlink")
    return section


def _watched(bench: Bench, load: Load, **options: object) -> tuple[Done, dict[str, Any]]:
    """The generator under `panorama watch`; what it counted, and Panorama's sums."""
    folder = bench.folder("rate/files")
    lines = bench.folder("rate") / "lines"
    command = [PYTHON, "-m", "tests.bench.inside", "sums", "watch", "--sums", "-o", str(lines), "--"]
    inside = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(folder), *load.command("files", cpu=pin(), **options)]
    run = subprocess.run([*command, *inside], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        raise CannotMeasure(f"panorama watch: {last_line(run.stderr)}")
    lines.unlink(missing_ok=True)
    said = next((line for line in run.stderr.splitlines() if line.startswith("panorama: {")), None)
    if said is None:
        raise CannotMeasure(f"panorama watch printed no sums: {last_line(run.stderr)}")
    sums: dict[str, Any] = json.loads(said.removeprefix("panorama: "))
    if "sinks:" in run.stderr:
        sums["unwritten"] = last_line(run.stderr)
    return Load.read(run.stdout)[0], sums


def _account(
    section: Section, what: str, done: Done, sums: Mapping[str, Any], idle: Mapping[str, Any], paced: bool
) -> None:
    """Rows for one run, and a table of it by trigger."""
    heads = ["", "generated", "seen", "in lines", "ignored", "unexplained", "lost"]
    if not section.table:
        section.table = [heads]
    section.table.append([f"{what}:", *[""] * (len(heads) - 1)])
    wrong, lost, total = [], 0, 0
    for trigger, generated in done.calls.items():
        seen, lines, ignored, unexplained, gone = (
            _count(sums, name, trigger) - _count(idle, name, trigger)
            for name in ("seen", "in_lines", "ignored", "unexplained", "lost")
        )
        lost += gone
        total += generated
        if seen != generated or gone != generated - (lines + ignored + unexplained):
            wrong.append(trigger)
        cells = (generated, seen, lines, ignored, unexplained, gone)
        section.table.append([trigger, *(f"{cell:,}" for cell in cells)])
    exact = "exact" if not wrong else f"not for {', '.join(wrong)}"
    section.rows.append(Row(f"{what}: seen = generated, lost = the rest", "exact", exact, "by trigger", not wrong))
    share = f"{lost:,} of {total:,} ({lost / max(1, total):.1%})"
    section.rows.append(Row(f"{what}: lost", "0" if paced else "", share, "once", lost == 0 if paced else None))
    if unwritten := sums.get("unwritten"):
        section.note(f"{what}: {unwritten.strip()}")


def _count(sums: Mapping[str, Any], name: str, trigger: str) -> int:
    counts = sums[name]
    return sum(rule.get(trigger, 0) for rule in counts.values()) if name == "ignored" else counts.get(trigger, 0)
