# SPDX-License-Identifier: Apache-2.0
"""Panorama's own memory after 10,000 and after 100,000 short processes: that of a process must not stay behind."""

from __future__ import annotations

from .bench import Bench
from .load import Load
from .modes import Panorama
from .processes import anonymous
from .report import Row, Section, at_most
from .stats import Figure

__all__ = ["measure"]

_MIB = 1 << 20
_WANTED = 64  # MiB
_NOISE = 2  # % that a Python process's memory goes up and down


def measure(bench: Bench) -> Section:
    section = Section("Memory", rounds=1)
    folder = bench.folder("memory")
    load = Load(folder)
    steps = [int(bench.pick(10_000, 1_000)), int(bench.pick(100_000, 5_000))]
    found: list[float] = []
    mode = Panorama(bench)
    with mode:
        start = anonymous(mode.processes()) / _MIB
        done = 0
        for step in steps:
            load.run(folder, "spawn", count=step - done, program=load.nothing)
            done = step
            mode.settle()
            found.append(anonymous(mode.processes()) / _MIB)
        children = len(mode.processes()) - 1
    section.rows.append(
        Row("anonymous memory (RssAnon) when it has started", "", Figure([start], "MiB").text(), "once")
    )
    for step, mib in zip(steps, found, strict=True):
        section.rows.append(at_most(f"after {step:,} processes", Figure([mib], "MiB"), _WANTED, "MiB"))
    growth = Figure([(found[1] / found[0] - 1) * 100], "%")
    words = f"more after {steps[1]:,} than after {steps[0]:,}"
    section.rows.append(at_most(words, growth, _NOISE, "% (noise)"))
    if children:
        section.note(f"{children} child processes are in it")
    section.note("without the kernel's maps and ring buffer (16 MiB by default), which are no process's")
    if lost := mode.lost():
        section.note(f"Panorama lost {lost}")
    return section
