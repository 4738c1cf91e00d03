# SPDX-License-Identifier: Apache-2.0
"""How long after its start Panorama misses something: a probe makes a file every 10 ms, and the first in a line counts."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from pathlib import Path

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


def measure(bench: Bench) -> Section:
    section = Section("How soon it sees")
    attached, seen = [], []
    for turn in range(bench.rounds):
        folder = bench.folder(f"start/{turn}")
        log = folder / "log"
        with Started(bench, sink=f"file:{log}") as mode, contextlib.ExitStack() as stack:
            probe = Probe(folder)
            stack.callback(probe.stop)
            probe.start()
            began = time.monotonic()
            mode.launch()
            mode.wait_attached()
            attached.append(mode.attached - began)
            until("in the log: a probe", lambda log=log: _numbers(log), 60)  # type: ignore[misc]
            time.sleep(0.5)
            seen.append(probe.times[min(_numbers(log))] - began)
    first, told = Figure(seen, "s"), Figure(attached, "s")
    section.rows.append(at_most("from exec to the first event seen", first, _WANTED, "s"))
    section.rows.append(Row("from exec to `watching with`", "", told.text(), told.spread()))
    section.note("files every 10 ms: the first one about which there is a line")
    return section


def _numbers(log: Path) -> list[int]:
    return [int(n) for n in re.findall(rb" create p(\d+)", log.read_bytes())] if log.exists() else []
