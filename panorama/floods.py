# SPDX-License-Identifier: Apache-2.0
"""What rate limits held back, as lines: one for each second and process, however many records tell of it.

Reports are gathered for a second from the first one on, or until their process ends. What the limit of all processes
held back is one line a second whomever it was from, as there may be thousands of them. Nothing gathered is dropped.
What machines make of the gaps is the engine's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .event import Held, Process, ProcessKey
from .output.line import Line
from .output.notice import notice

__all__ = ["Floods"]

_SECOND = 10**9  # ns
_NEVER = 2**63
_EVERYONE: ProcessKey = (-1, 0)  # no process's
_UNKNOWN: ProcessKey = (0, 0)


@dataclass(slots=True)
class _Flood:
    due: int
    last: Held
    count: int = 0
    processes: set[ProcessKey] = field(default_factory=set)


class Floods:
    """Give it reports with `take`; ask for lines when `next_due` has come, when a process ended and at the end."""

    def __init__(self, recorder: Process | None) -> None:
        self.next_due = _NEVER
        self._recorder = recorder
        self._gathered: dict[ProcessKey, _Flood] = {}  # in the order in which they are due

    def __bool__(self) -> bool:
        """Whether there is anything to say."""
        return bool(self._gathered)

    def take(self, held: Held) -> None:
        own = held.process.key if held.process else _UNKNOWN
        key = _EVERYONE if held.everyone else own
        flood = self._gathered.get(key)
        if flood is None:
            flood = self._gathered[key] = _Flood(held.time + _SECOND, held)
            self._set_due()
        flood.last = held
        flood.count += held.count
        flood.processes.add(own)

    def next_line(self) -> list[Line]:
        """What was gathered until `next_due`."""
        return self._said(next(iter(self._gathered)), self.next_due)

    def ended(self, process: Process, time: int) -> list[Line]:
        """What is gathered of a process that has ended."""
        return self._said(process.key, time) if process.key in self._gathered else []

    def rest(self) -> list[Line]:
        """All that is gathered, at the end of the input."""
        return [line for key, flood in list(self._gathered.items()) for line in self._said(key, flood.last.time)]

    def _set_due(self) -> None:
        self.next_due = next((flood.due for flood in self._gathered.values()), _NEVER)

    def _said(self, key: ProcessKey, time: int) -> list[Line]:
        flood = self._gathered.pop(key)
        self._set_due()
        last = flood.last
        if len(flood.processes) > 1:
            whose = f"{len(flood.processes)} processes"
        elif last.process is None:
            whose = "processes that are too many to be told apart"
        else:
            whose = f"{last.process.command or '?'}[{last.process.pid}]"
        words = f"{flood.count} events of {whose}, limit {last.rate} a second"
        words += " for all processes" if last.everyone else ""
        return [notice(time, "held", words, process=self._recorder)]
