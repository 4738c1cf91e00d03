# SPDX-License-Identifier: Apache-2.0
"""How long after a syscall its line is there, at 10,000 events a second; and what Panorama uses when nothing happens.

The generator notes when some of its files were closed. The benchmark is the syslog daemon here: it notes when the line
about each of them arrives.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from pathlib import Path
from statistics import quantiles

from .bench import Bench, CannotMeasure, pin
from .load import Load
from .modes import Panorama
from .report import Section, at_most
from .stats import Figure

__all__ = ["measure"]

_RATE = 10_000  # events a second
_CYCLE = 8  # syscalls, see load.c
_MARKS = 20  # cycles from one marked file to the next
_HALF, _MOST = 100, 300  # ms wanted for the median and for 99 of 100
_IDLE = 0.2  # % of one core


class Reader(threading.Thread):
    """A syslog socket; `times` has for each file `mN` that a line says was made when that came (CLOCK_REALTIME, ns)."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.times: dict[str, int] = {}
        self.lines = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def run(self) -> None:
        made = re.compile(rb" create (m\d+):")
        while message := self._socket.recv(65536):
            now = time.time_ns()
            self.lines += 1
            if match := made.search(message):
                self.times[match[1].decode()] = now

    def stop(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self.join(5)
        self._socket.close()


def measure(bench: Bench) -> Section:
    section = Section("From syscall to line, and idle", rounds=1)
    _latency(bench, section)
    _idle(bench, section)
    return section


def _latency(bench: Bench, section: Section) -> None:
    folder = bench.folder("latency")
    load = Load(folder)
    seconds = bench.pick(20, 5)
    reader = Reader(folder / "socket")
    reader.start()
    mode = Panorama(bench, sinks={"local": {"type": "syslog", "path": f"{folder}/socket"}})
    with mode:
        count = int(_RATE * seconds / _CYCLE)
        [done] = load.run(bench.folder("latency/files"), "files", rate=_RATE, count=count, marks=_MARKS, cpu=pin())
        time.sleep(2)
    reader.stop()
    delays = [(reader.times[name] - closed) / 1e6 for name, closed in done.marks.items() if name in reader.times]
    if len(delays) < 100:
        raise CannotMeasure(f"only {len(delays)} of {len(done.marks)} marked files are in a line")
    hundredths = quantiles(delays, n=100)
    spread = f"{min(delays):.0f} to {max(delays):.0f}"
    half, most = Figure([hundredths[49]], "ms"), Figure([hundredths[98]], "ms")
    for what, figure, limit in (("median", half, _HALF), ("99 of 100 within", most, _MOST)):
        row = at_most(f"{_RATE:,} events a second, from close to line: {what}", figure, limit, "ms")
        row.spread = spread
        section.rows.append(row)
    if done.rate * _CYCLE < 0.98 * _RATE:
        section.note(f"the machine managed {done.rate * _CYCLE:,.0f} events a second, not {_RATE:,}")
    section.note(f"{len(delays):,} of {len(done.marks):,} marked files are in a line; {reader.lines:,} lines came")
    if lost := mode.lost():
        section.note(f"Panorama lost {lost}")


def _idle(bench: Bench, section: Section) -> None:
    seconds = bench.pick(60, 10)
    with Panorama(bench) as mode:
        time.sleep(3)  # what starting has left to do
        before, began = mode.cpu(), time.monotonic()
        time.sleep(seconds)
        share = (mode.cpu() - before) / (time.monotonic() - began) * 100
    row = at_most(f"CPU of Panorama and rsyslogd in {seconds:.0f} s without load", Figure([share], "%"), _IDLE, "%")
    section.rows.append(row)
