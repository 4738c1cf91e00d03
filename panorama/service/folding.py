# SPDX-License-Identifier: Apache-2.0
"""Identical lines in a row become one, and one more that says how often: `... repeated N times`.

Lines are identical if only their time differs. The line that counts is the last of them, with its time and events, and
with the operations of all; it comes when another line does, or some seconds after the first repetition. A single
repetition stays as it is. No clock: times are those of the lines, and of `expire`.
"""

from __future__ import annotations

from ..output.line import MOST_OPERATIONS, Line

__all__ = ["Folder"]

_LONGEST = 10 * 10**9  # ns that a repetition may be held back


class Folder:
    """Give it every line; what comes out is to be delivered. Nothing stays inside after `end`."""

    def __init__(self) -> None:
        self._last: Line | None = None  # delivered
        self._held: Line | None = None  # the last repetition of it
        self._times = 0
        self._since = 0

    @property
    def due(self) -> int:
        """When `expire` has something to give, in ns since 1970; 0 if nothing is held."""
        return self._since + _LONGEST if self._held else 0

    def take(self, line: Line) -> list[Line]:
        """What is to be delivered now."""
        if self._last is None or not _same(self._last, line):
            released = [*self.end(), line]
            self._last = line
            return released
        released = self.expire(line.time)
        if not self._times:
            self._since = line.time
        if self._held and line.operations:
            line.operations = (self._held.operations + line.operations)[-MOST_OPERATIONS:]
            line.operation_count += self._held.operation_count
        self._held = line
        self._times += 1
        return released

    def expire(self, now: int) -> list[Line]:
        """The count so far, if it has been held for long."""
        return self.end() if self._held and now >= self.due else []

    def end(self) -> list[Line]:
        """The count so far, if any."""
        held, times = self._held, self._times
        self._held, self._times = None, 0
        if held is None:
            return []
        if times > 1:
            held.repeated = times
        return [held]


def _same(one: Line, other: Line) -> bool:
    return (
        one.verb == other.verb
        and one.process == other.process
        and one.object == other.object
        and (one.behavior, one.severity, one.certainty) == (other.behavior, other.severity, other.certainty)
        and one.login == other.login
    )
