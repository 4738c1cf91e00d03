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
from ..output.line import Line
from .compiler import Table
from .gathering import Gathering

__all__ = ["ANYONE", "MOST_EVENTS", "NEVER", "NOTHING", "Machine", "MachineKey", "Machines"]

MOST_EVENTS = 256  # as many events and states are kept for a line, the latest

ANYONE: ProcessKey = (0, 0)  # the owner of machines per path
NOTHING: Mapping[str, Any] = {}
NEVER = 2**63  # ns, later than any event

MachineKey = tuple[int, str | int | None]  # the table's number and the file's path or the connection's session
_Timer = tuple[int, int, ProcessKey, str, int, "Machine"]


class Machine:
    """One running instance of a behavior. Not alive: never kept, or forgotten."""

    __slots__ = (
        *("alive", "count", "due", "epoch", "events", "key", "last", "operations", "owner", "partial", "process"),
        *("saved", "state", "states", "table", "timer"),
    )

    def __init__(self, table: Table, owner: ProcessKey, key: MachineKey, epoch: int) -> None:
        self.table = table
        self.owner = owner
        self.key = key
        self.epoch = epoch  # how often records had been missing when it started
        self.state = 0
        self.states = table.states[:1]  # those it went through
        self.saved: Mapping[str, Any] = NOTHING
        self.events: list[Event] = []  # an operation's, as the sensor reported them
        self.operations: list[Line] = []  # an activity's
        self.count = 0  # of those, also of those that are not kept any more
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

    def begin(self) -> None:
        """Anew, without what it had; whether records are missing stays as it is, as they may have brought it here."""
        self.states = self.table.states[:1]
        self.saved = NOTHING
        self.events, self.operations, self.count = [], [], 0

    def has_told(self) -> None:
        """Goes on after a line: what is in it will not be in the next one, but for what was saved."""
        self.operations, self.count = [], 0
        self.saved = {name: value for name, value in self.saved.items() if not isinstance(value, Gathering)}

    def gather(self, name: str, value: Any) -> None:
        if name not in self.saved:
            self.saved = {**self.saved, name: Gathering()}
        self.saved[name].add(value)

    def enter(self, state: int) -> None:
        """Moves on; the first state stays in the record however long it gets."""
        self.state = state
        name = self.table.states[state]
        if self.states[-1] != name:
            kept = self.states if len(self.states) < MOST_EVENTS else (self.states[0], *self.states[2:])
            self.states = (*kept, name)


class Machines:
    """All machines that are alive; the one longest untouched has to go when there would be more than `most`.

    `evicting` is told before that, `forgotten` of every machine that is gone.
    """

    def __init__(
        self, most: int, forgotten: Callable[[Machine], None], evicting: Callable[[Machine], None] = lambda _: None
    ) -> None:
        self.evicted = 0
        self._most = most
        self._forgotten = forgotten
        self._evicting = evicting
        self._owners: dict[ProcessKey, dict[MachineKey, Machine]] = {}
        self._at: dict[str | int | None, set[int]] = {}  # of those of nobody the tables by path
        self._order: OrderedDict[Machine, None] = OrderedDict()
        self._timers: list[_Timer] = []
        self._serial = 0
        self.next_due = NEVER  # nothing runs out before that

    def __len__(self) -> int:
        return len(self._order)

    def of(self, owner: ProcessKey) -> dict[MachineKey, Machine] | None:
        """The machines of one process."""
        return self._owners.get(owner)

    def at(self, path: str) -> Iterable[int]:
        """The tables that have a machine of nobody for this path."""
        return self._at.get(path, ())

    def keep(self, machine: Machine, now: int) -> None:
        """The machine moved to a state that is not its first: it is alive, the latest touched, and may be waiting."""
        if machine.alive:
            self._order.move_to_end(machine)
        else:
            if len(self._order) >= self._most:
                self.evicted += 1
                oldest = next(iter(self._order))
                self._evicting(oldest)
                self.forget(oldest)
            machine.alive = True
            self._owners.setdefault(machine.owner, {})[machine.key] = machine
            self._order[machine] = None
            if machine.owner == ANYONE:
                self._at.setdefault(machine.key[1], set()).add(machine.key[0])
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
                if owner == ANYONE:
                    self._leave(number, old)
                    self._at.setdefault(new, set()).add(number)
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
        if machine.owner == ANYONE:
            self._leave(*machine.key)
        self._forgotten(machine)

    def _leave(self, number: int, path: str | int | None) -> None:
        self._at[path].discard(number)
        if not self._at[path]:
            del self._at[path]

    def forget_process(self, owner: ProcessKey) -> None:
        """All machines of a process that ended."""
        for machine in list(self._owners.get(owner, {}).values()):
            self.forget(machine)

    def forget_all(self) -> None:
        """The end."""
        for machine in list(self._order):
            self._evicting(machine)
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
