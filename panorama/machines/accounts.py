# SPDX-License-Identifier: Apache-2.0
"""Where every syscall went: in a line, unexplained, or still held by a machine that may yet write one.

received = in_lines + unexplained + held, for each trigger, always. An event is counted once, whoever takes it; what
machines hold is kept as sums by the set of machines that hold it, so memory grows with machines and not with events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

__all__ = ["Accounts"]

_Holders = frozenset[object]


class Accounts:
    """Counters by trigger. Holders are any objects that compare by identity."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self.in_lines: Counter[str] = Counter()
        self.unexplained: Counter[str] = Counter()
        self._sums: dict[_Holders, Counter[str]] = {}
        self._of: dict[object, set[_Holders]] = {}

    def held(self) -> Counter[str]:
        """What machines hold; nothing after the end of the input."""
        total: Counter[str] = Counter()
        for calls in self._sums.values():
            _add(total, calls)
        return total

    def receive(self, calls: Mapping[str, int], told: bool, holders: Collection[object] = ()) -> None:
        """An event came: `told` if it is in a line already, else held by these machines, else unexplained."""
        received = self.received
        if told or not holders:
            counter = self.in_lines if told else self.unexplained
            for trigger, count in calls.items():  # Counter.update does the same four times slower
                received[trigger] += count
                counter[trigger] += count
        elif calls:
            _add(received, calls)
            self._hold(frozenset(holders), calls)

    def tell(self, holder: object) -> None:
        """A machine wrote a line: all that it holds is in it."""
        for holders in self._of.pop(holder, ()):
            _add(self.in_lines, self._take(holders, holder))

    def release(self, holder: object) -> None:
        """A machine is forgotten: what it holds stays with the others that hold it, if there are any."""
        for holders in self._of.pop(holder, ()):
            self._hold(holders - {holder}, self._take(holders, holder))

    def _hold(self, holders: _Holders, calls: Mapping[str, int]) -> None:
        if not holders:
            _add(self.unexplained, calls)
            return
        if holders not in self._sums:
            self._sums[holders] = Counter()
            for holder in holders:
                self._of.setdefault(holder, set()).add(holders)
        _add(self._sums[holders], calls)

    def _take(self, holders: _Holders, but: object) -> Counter[str]:
        for holder in holders:
            if holder is not but:
                self._of[holder].discard(holders)
        return self._sums.pop(holders)


def _add(total: Counter[str], calls: Mapping[str, int]) -> None:
    for trigger, count in calls.items():
        total[trigger] += count
