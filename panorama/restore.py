# SPDX-License-Identifier: Apache-2.0
"""The items of a trace as they were written: in order, none twice, and a Loss where some are missing.

By the numbers of the trace's lines, or, where it has none, by what each cpu counted. Nothing is put in order then,
because the numbers of one cpu do not say where an event was among those of others; and sequence 0 may stand for an
event that is outside the count. A gap that the trace tells of is not told again.
"""

from __future__ import annotations

from collections.abc import Sequence

from .event import Event, Item, Loss
from .sequence import Hole, InOrder

__all__ = ["Displaced", "Restored"]

_MOST_WAITING = 256  # lines that were read while one that should be before them was not
_TRACE = -1  # in the place of a cpu


class Displaced(ValueError):
    """A record that came before, or comes after it was told missing."""


class Restored:
    """Give it what was read with `take`, and `rest` at the end; `missing` counts the records it found missing.

    Something numbered `lines.expected` while nothing is `lines.waiting` is in its place, and may be counted there.
    """

    def __init__(self) -> None:
        self.missing = 0
        self.lines: InOrder[Item] = InOrder(1, _MOST_WAITING)
        self._cpus: dict[int, InOrder[Item]] = {}
        self._time = 0

    def take(self, item: Item, number: int) -> list[Item]:
        """What comes next now; `number` is 0 where the trace has none."""
        if number:
            return self._ordered(self.lines, item, number, _TRACE)
        if isinstance(item, Event):
            order = self._cpu(item.cpu)
            if item.sequence or item.cpu:
                return self._ordered(order, item, item.sequence, item.cpu)
            order.skip(1)
        elif isinstance(item, Loss):
            order = self._cpu(item.cpu)
            before = [self._loss(hole, item.time, item.cpu) for hole in order.skip(item.first)]
            order.skip(item.first + item.count)
            return [*before, item]
        return [item]

    def rest(self, number: int, time: int) -> list[Item]:
        """What waits, and what is missing before the end, which had this number and came at this time; or 0."""
        out = self._told(self.lines.rest(), time, _TRACE)
        return out + self._told(self.lines.skip(number), time, _TRACE)

    def _cpu(self, cpu: int) -> InOrder[Item]:
        if cpu not in self._cpus:
            self._cpus[cpu] = InOrder(0)
        return self._cpus[cpu]

    def _ordered(self, order: InOrder[Item], item: Item, number: int, cpu: int) -> list[Item]:
        if order.came(number):
            which = f"record {number} of the trace" if cpu == _TRACE else f"sequence {number} of cpu {cpu}"
            raise Displaced(f"{which} came before, or is too late")
        return self._told(order.take(number, item), item.time, cpu)

    def _told(self, found: Sequence[Item | Hole], time: int, cpu: int) -> list[Item]:
        """Each hole as a Loss of the time at which what follows came."""
        out: list[Item] = []
        for each in reversed(found):
            time = time if isinstance(each, Hole) else each.time
            out.append(self._loss(each, time, cpu) if isinstance(each, Hole) else each)
        return out[::-1]

    def _loss(self, hole: Hole, time: int, cpu: int) -> Loss:
        self.missing += hole.count
        return Loss(time, cpu, hole.first, hole.count)
