# SPDX-License-Identifier: Apache-2.0
"""What rate limits held back in the kernel, told process by process and once each.

The kernel counts for each process and never starts anew (bpf/limit.h), and records carry the counts as they are. So
what is news is the difference to what was told. A process that sends nothing more is found in the kernel's own table,
which is looked at every few seconds if the kernel has counted something since.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import CLOCK_BOOTTIME, clock_gettime_ns

from ..event import Held, Process, ProcessKey
from .kernel import Kernel

__all__ = ["HeldBack"]

_LOOK_EVERY = 5 * 10**9  # ns
_NEVER = 2**63
_NOTHING = (0, 0)

_Counts = tuple[int, int]  # by the process's own limit, by that of all processes


class HeldBack:
    """`carried` tells what a record brings, `look` and then `found` what the kernel's table has beyond that."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._told: dict[ProcessKey, _Counts] = {}
        self._next_look = 0
        self._counted = 0  # records, when the table was looked at
        self._table: dict[ProcessKey, _Counts] | None = None  # as it was at the last look, not yet told
        self._ended: set[ProcessKey] = set()  # told of, and no longer in the table

    @property
    def due(self) -> int:
        """The time (monotonic, ns) of the next `look`."""
        return self._next_look if self._kernel.limited else _NEVER

    def carried(self, process: Process, counts: _Counts, time: int) -> list[Held]:
        """What was held back before this record of the process, and after the one before."""
        return self._news(process.key, counts, time, lambda _: process)

    def look(self, now: int) -> None:
        """Looks at the table, if it has anything new. Comes before taking the records that have come by now."""
        self._next_look = now + _LOOK_EVERY
        counted = self._kernel.held()
        if counted != self._counted:
            self._counted = counted
            self._table = self._kernel.held_by_process()
            self._ended = self._told.keys() - self._table.keys()

    def found(self, time: int, who: Callable[[ProcessKey], Process]) -> list[Held]:
        """What the last look found and no record has brought. Comes when all records from before the look are through.

        In this order a machine that a record started before something was held back is there to be marked.
        """
        items: list[Held] = []
        table, self._table = self._table, None
        for key, counts in (table or {}).items():
            items += self._news(key, counts, time, who)
            if key[0] and not os.path.exists(f"/proc/{key[0]}"):  # the record of its end was lost
                self._kernel.forget_held(key)
        for key in self._ended:
            del self._told[key]
        self._ended = set()
        return items

    def _news(self, key: ProcessKey, counts: _Counts, time: int, who: Callable[[ProcessKey], Process]) -> list[Held]:
        told = self._told.get(key, _NOTHING)
        if counts == told:
            return []
        # processors that send at the same time may overtake each other
        self._told[key] = (max(counts[0], told[0]), max(counts[1], told[1]))
        process = who(key) if key[0] else None
        since_boot = 0 if process else clock_gettime_ns(CLOCK_BOOTTIME)
        return [
            Held(time, count - before, rate, process, everyone, since_boot)
            for count, before, rate, everyone in zip(counts, told, self._kernel.rates, (False, True), strict=True)
            if count > before
        ]
