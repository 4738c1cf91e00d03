# SPDX-License-Identifier: Apache-2.0
"""Lines of operations that are held back while activities' machines have them, under `log: activities`.

A line that a machine took is not written at once. If a machine that has it writes its own line, it is evidence there
and is not written at all; once the last machine that has it has given up, it is written, late. There is a limit: when
more are held, the one held longest is written although its machine is still going.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..output.line import Line

__all__ = ["MOST_HELD", "Holding"]

MOST_HELD = 8192  # of one to two KiB each


class _Held:
    __slots__ = ("holders", "line")

    def __init__(self, line: Line, holders: int) -> None:
        self.line = line
        self.holders = holders


class Holding:
    """`overflowed` counts the lines that were written early because of the limit."""

    def __init__(self, most: int) -> None:
        self.overflowed = 0
        self.most = most
        self._held: dict[int, _Held] = {}  # by the line's id, in the order in which they came

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, line: Line, machines: int) -> list[Line]:
        """So many machines have taken the line. What comes back is to be written now."""
        self._held[id(line)] = _Held(line, machines)
        if len(self._held) <= self.most:
            return []
        self.overflowed += 1
        return [self._held.pop(next(iter(self._held))).line]

    def tell(self, lines: Iterable[Line]) -> None:
        """They are evidence of a line now."""
        for line in lines:
            self._held.pop(id(line), None)

    def release(self, lines: Iterable[Line]) -> list[Line]:
        """A machine gives them up. What comes back is to be written now: no other machine has it."""
        free = []
        for line in lines:
            held = self._held.get(id(line))
            if held is not None:
                held.holders -= 1
                if not held.holders:
                    free.append(self._held.pop(id(line)).line)
        return free
