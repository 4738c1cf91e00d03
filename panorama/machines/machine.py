# SPDX-License-Identifier: Apache-2.0
"""The machines that are alive: found by process, file or connection, bounded in number, with their timeouts.

Knows when a machine is touched, waits and ends; what moves it is the engine's.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..event import Event, Process, ProcessKey
from .compiler import Table

__all__ = ["MOST_EVENTS", "NEVER", "NOTHING", "Machine", "MachineKey", "Machines"]

MOST_EVENTS = 256  # as many events and states are kept for a line, the latest

NOTHING: Mapping[str, Any] = {}
NEVER = 2**63  # ns, later than any event

MachineKey = tuple[int, str | int | None]  # the table's number and the file's path or the connection's session
_Timer = tuple[int, int, ProcessKey, str, int, "Machine"]


class Machine:
    """One running instance of a behavior. Not alive: never kept, or forgotten."""

    __slots__ = (
        *("alive", "due", "epoch", "events", "key", "last", "owner", "partial", "process", "saved", "state", "states"),
        *("table", "timer"),
    )

    def __init__(self, table: Table, owner: ProcessKey, key: MachineKey, epoch: int) -> None:
        self.table = table
        self.owner = owner
        self.key = key
        self.epoch = epoch  # how often records had been missing when it started
        self.state = 0
        self.states = table.states[:1]  # those it went through
        self.saved: Mapping[str, Any] = NOTHING
        self.events: list[Event] = []  # as the sensor reported them
        self.last: Event | None = None  # as this machine's layer sees it
        self.process: Process | None = None
        self.partial = False
        self.alive = False
        self.timer = 0  # the number of the timer that counts, 0 for none
        self.due = 0  # when that one runs out

    def take(self, event: Event) -> None:
        """Adds to the evidence; the steps of one session are one event."""
        if not self.events or self.events[-1] is not event:
            self.events.append(event)
            if len(self.events) > MOST_EVENTS:
                del self.events[0]

    def enter(self, state: int) -> None:
        """Moves on; the first state stays in the record however long it gets."""
        self.state = state
        name = self.table.states[state]
        if self.states[-1] != name:
            kept = self.states if len(self.states) < MOST_EVENTS else (self.states[0], *self.states[2:])
            self.states = (*kept, name)


class Machines:
    """All machines that are alive; the one longest untouched has to go when there would be more than `most`."""

    def __init__(self, most: int, forgotten: Callable[[Machine], None]) -> None:
        self.evicted = 0
        self._most = most
        self._forgotten = forgotten
        self._owners: dict[ProcessKey, dict[MachineKey, Machine]] = {}
        self._order: OrderedDict[Machine, None] = OrderedDict()
        self._timers: list[_Timer] = []
        self._serial = 0
        self.next_due = NEVER  # nothing runs out before that

    def __len__(self) -> int:
        return len(self._order)

    def of(self, owner: ProcessKey) -> dict[MachineKey, Machine] | None:
        """The machines of one process."""
        return self._owners.get(owner)

    def keep(self, machine: Machine, now: int) -> None:
        """The machine moved to a state that is not its first: it is alive, the latest touched, and may be waiting."""
        if machine.alive:
            self._order.move_to_end(machine)
        else:
            if len(self._order) >= self._most:
                self.evicted += 1
                self.forget(next(iter(self._order)))
            machine.alive = True
            self._owners.setdefault(machine.owner, {})[machine.key] = machine
            self._order[machine] = None
        wait = machine.table.timeouts[machine.state]
        machine.timer = 0
        if wait:
            machine.due = now + wait
            self._set_timer(machine)

    def _set_timer(self, machine: Machine) -> None:
        self._serial = machine.timer = self._serial + 1
        number, sub = machine.key
        # ties are decided by what the machines are, not by when they were made
        heapq.heappush(self._timers, (machine.due, number, machine.owner, str(sub), self._serial, machine))
        if len(self._timers) > 2 * len(self._order) + 1024:  # those of machines that are gone keep them in memory
            self._timers = [timer for timer in self._timers if _counts(timer)]
            heapq.heapify(self._timers)
        self.next_due = self._timers[0][0]

    def rename(self, owner: ProcessKey, tables: Iterable[int], old: str, new: str) -> None:
        """A process renamed a file: its machines go with it, those of the file that had the new name have ended."""
        own = self._owners.get(owner)
        if own is None or old == new:
            return
        for number in tables:
            machine = own.get((number, old))
            if replaced := own.get((number, new)):
                self.forget(replaced)
            if machine:
                own = self._owners.setdefault(owner, own)
                del own[machine.key]
                machine.key = (number, new)
                own[machine.key] = machine
                if machine.timer:
                    self._set_timer(machine)
            elif owner not in self._owners:
                return

    def forget(self, machine: Machine) -> None:
        """The machine is back in its initial state, or has to go."""
        if not machine.alive:
            return
        machine.alive = False
        machine.timer = 0
        own = self._owners[machine.owner]
        del own[machine.key]
        if not own:
            del self._owners[machine.owner]
        del self._order[machine]
        self._forgotten(machine)

    def forget_process(self, owner: ProcessKey) -> None:
        """All machines of a process that ended."""
        for machine in list(self._owners.get(owner, {}).values()):
            self.forget(machine)

    def forget_all(self) -> None:
        """The end."""
        for machine in list(self._order):
            self.forget(machine)
        self._timers.clear()
        self.next_due = NEVER

    def due(self, time: int) -> tuple[int, Machine] | None:
        """The next machine whose timeout ran out by then, and when it did; its timer is taken off."""
        while self._timers and self._timers[0][0] <= time:
            timer = heapq.heappop(self._timers)
            if _counts(timer):
                timer[5].timer = 0
                return timer[0], timer[5]
        self.next_due = self._timers[0][0] if self._timers else NEVER
        return None


def _counts(timer: _Timer) -> bool:
    return timer[5].timer == timer[4]
