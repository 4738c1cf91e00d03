# SPDX-License-Identifier: Apache-2.0
"""Calls of the sensor's programs that the kernel skipped: bpf/README.md, Preemption, says when it does.

Promises: `count` is what the kernel counted of them between `begin` and `end`. A skipped call may have been an event,
or one that nobody asked for, such as a read that failed: nobody knows, so `count` is the most that can be missing.
Before Linux 6.7 the kernel does not count them at tracepoints, and before 5.12 not at all; then it is 0.
"""

from __future__ import annotations

import ctypes

from . import libbpf

__all__ = ["Misses"]


class Misses:
    """`watch` each program that is attached. `at` is where struct bpf_prog_info has `recursion_misses`, None if not."""

    def __init__(self, lib: ctypes.CDLL, at: int | None) -> None:
        self._lib = lib
        self._at = at
        self._programs: set[int] = set()
        self._before = 0
        self._counted = 0
        self._running = False

    def watch(self, program: int) -> None:
        self._programs.add(program)

    def begin(self) -> None:
        """Skipped calls count from here on."""
        self._before, self._running = self._read(), True

    def count(self) -> int:
        """How many calls were skipped so far."""
        if self._running:
            self._counted = self._read() - self._before
        return self._counted

    def end(self) -> None:
        """Up to here; the programs do nothing any more."""
        self.count()
        self._running = False

    def _read(self) -> int:
        if self._at is None:
            return 0
        return sum(libbpf.number_of_program(self._lib, program, self._at) for program in self._programs)
