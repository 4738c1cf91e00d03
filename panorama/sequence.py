# SPDX-License-Identifier: Apache-2.0
"""What is missing, what comes again and what comes late, told by numbers that count up without holes.

Promises: what it gives out is in the order of its numbers, nothing twice, and a hole before what comes after it, so
that nobody takes what follows for the whole. What comes when it was told missing is too late. Ignores what the numbered
things are: records of a cpu, lines of a trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Hole", "InOrder"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hole:
    """The numbers `first` to `first + count - 1` have not come, and are not waited for."""

    first: int
    count: int


class InOrder(Generic[T]):
    """One series. Up to `most_waiting` things wait for one that should be before them; with 0 none does.

    Who finds that something has the `expected` number while nothing is `waiting` may count it himself.
    """

    def __init__(self, first: int, most_waiting: int = 0) -> None:
        self.expected = first
        self.waiting: dict[int, T] = {}
        self._most_waiting = most_waiting

    def came(self, number: int) -> bool:
        """Whether this comes again, or too late."""
        return number < self.expected or number in self.waiting

    def take(self, number: int, thing: T) -> list[T | Hole]:
        """What can be given out now that this, which had not come, has come."""
        self.waiting[number] = thing
        return self._given(self._most_waiting)

    def rest(self) -> list[T | Hole]:
        """What waits, with its holes: the end."""
        return self._given(0)

    def skip(self, to: int) -> list[Hole]:
        """Says that the next to come is `to`, and what should have been before it."""
        holes = [Hole(self.expected, to - self.expected)] if to > self.expected else []
        self.expected = max(self.expected, to)
        return holes

    def _given(self, most_waiting: int) -> list[T | Hole]:
        out: list[T | Hole] = []
        while self.waiting:
            if self.expected not in self.waiting:
                if len(self.waiting) <= most_waiting:
                    break
                out += self.skip(min(self.waiting))
            out.append(self.waiting.pop(self.expected))
            self.expected += 1
        return out
