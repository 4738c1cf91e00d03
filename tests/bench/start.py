# SPDX-License-Identifier: Apache-2.0
"""How long after its start Panorama misses something: a probe makes a file every 10 ms, and the first in a line counts."""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from panorama.paths import CACHE

from .bench import Bench
from .modes import Panorama
from .processes import until
from .report import Row, Section, at_most
from .stats import Figure

__all__ = ["measure"]

_EVERY = 0.01  # s
_WANTED = 2  # s


class Probe(threading.Thread):
    """Makes files p0, p1, ... and knows when each was there (time.monotonic())."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.times: list[float] = []
        self._folder = folder
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(_EVERY):
            path = self._folder / f"p{len(self.times)}"
            self.times.append(time.monotonic())
            path.write_bytes(b"x")
            path.unlink()

    def stop(self) -> None:
        self._done.set()
        self.join()


class Started(Panorama):
    """Writes to a file of its own; whoever uses it launches it."""

    def start(self) -> None:
        pass


@contextlib.contextmanager
def nothing_kept() -> Iterator[None]:
    """The compiled program of earlier starts is set aside, and put back."""
    aside = CACHE.with_name(CACHE.name + ".set-aside")
    there = CACHE.exists()
    if there:
        CACHE.rename(aside)
    try:
        yield
    finally:
        shutil.rmtree(CACHE, ignore_errors=True)
        if there:
            aside.rename(CACHE)


def measure(bench: Bench) -> Section:
    section = Section("How soon it sees")
    compiled, seen, attached = [], [], []
    for turn in range(bench.rounds):
        with nothing_kept():
            compiled.append(_start(bench, f"{turn}-first")[1])
            times = _start(bench, f"{turn}-again")
        attached.append(times[0])
        seen.append(times[1])
    section.rows.append(at_most("from exec to the first event seen", Figure(seen, "s"), _WANTED, "s"))
    what = "the same the very first time, when the eBPF program is compiled"
    section.rows.append(at_most(what, Figure(compiled, "s"), _WANTED, "s"))
    told = Figure(attached, "s")
    section.rows.append(Row("from exec to `watching with`", "", told.text(), told.spread()))
    section.note("files every 10 ms: the first one about which there is a line")
    return section


def _start(bench: Bench, name: str) -> tuple[float, float]:
    """Seconds until it said that it is watching, and until the first event that it saw."""
    folder = bench.folder(f"start/{name}")
    log = folder / "log"
    with Started(bench, sinks={"log": {"type": "file", "path": str(log)}}) as mode, contextlib.ExitStack() as stack:
        probe = Probe(folder)
        stack.callback(probe.stop)
        probe.start()
        began = time.monotonic()
        mode.launch()
        mode.wait_attached()
        until("in the log: a probe", lambda: bool(_numbers(log)), 60)
        time.sleep(0.5)
        return mode.attached - began, probe.times[min(_numbers(log))] - began


def _numbers(log: Path) -> list[int]:
    return [int(n) for n in re.findall(rb" create p(\d+)", log.read_bytes())] if log.exists() else []
