# SPDX-License-Identifier: Apache-2.0
"""The second layer: lines of operations in, lines of activities out.

- A line of an operation is an event of this layer, its verb the trigger. `exec` and `exit` are triggers as well, also
  where no line tells of them.
- What a machine takes is its evidence. Under `hold` those lines are held back meanwhile, see holding.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..event import Event, ProcessKey
from ..output.line import MOST_OPERATIONS, Line, Part
from .accounts import Accounts
from .compiler import Layer
from .holding import Holding
from .machine import MOST_EVENTS, Machine, Machines
from .runner import Runner, Scene

__all__ = ["Activities", "Passed"]


@dataclass(slots=True)
class Passed:
    """What is passed on to the machines: an operation's line, or an event without one.

    `takers` have taken it; `told` if it is in a line of one of them.
    """

    line: Line | None
    process: ProcessKey
    takers: list[Machine] = field(default_factory=list)
    told: bool = False

    @property
    def holders(self) -> list[Machine]:
        """The takers for which it is held back: they may still write a line about it."""
        return [machine for machine in self.takers if machine.alive and machine.table.holds]


class Activities(Runner):
    """Give it operations with `operation`, starts and ends of processes with `life`."""

    def __init__(
        self, layer: Layer, scene: Scene, accounts: Accounts, most_machines: int, hold: bool, most_held: int
    ) -> None:
        super().__init__(layer, scene, Machines(most_machines, self.gave_up, self._cut_short))
        self.holding = Holding(most_held)
        self._hold = hold
        self._accounts = accounts
        self._written: list[tuple[Line, ProcessKey]] = []  # since the latest look, and whose they are
        self._verbs = {way.removeprefix("child.") for way in layer.routes}

    def operation(self, line: Line, event: Event) -> None:
        """A line of an operation: it is written, or held back, and what follows from it is said."""
        if line.verb not in self._verbs:
            self._scene.lines.append(line)
            return
        if not self._hold:
            self._scene.lines.append(line)
        passed = Passed(line, event.process.key)
        if line.process is not event.process:
            event = replace(event, process=line.process)
        self.offer(line.verb, event, passed, line.certainty == "partial")
        self._settle(passed)
        if not self._hold or passed.told:
            return
        if holders := passed.holders:
            self._scene.lines += self.holding.hold(line, len(holders))
        else:
            self._scene.lines.append(line)

    def life(self, way: str, event: Event) -> Passed:
        """A process's exec or exit, which no line tells of."""
        passed = Passed(None, event.process.key)
        if way == "exec":
            self._replaced(event)
        if way in self._verbs:
            if way == "exec":
                what = (Part("exe", event.process.exe or None),)
                passed.line = Line(event.time, event.process, way, what, way, events=[event], login=event.login)
            self.offer(way, event, passed)
        self._settle(passed)
        return passed

    def _settle(self, passed: Passed) -> None:
        """What a machine of an ancestor is sure to tell as a whole need not be told by the single parts of it."""
        if passed.line is not None:
            for machine in passed.takers:
                untold = machine.operations and machine.operations[-1] is passed.line
                if untold and machine.alive and machine.table.sure[machine.state] and machine.owner != passed.process:
                    passed.line.within = machine.owner
        written, self._written = self._written, []
        for line, owner in written if self._hold else ():
            whole = {operation.within for operation in line.operations}
            if whole and line.severity == "notice" and not whole & {None, owner}:
                self._scene.lines = [each for each in self._scene.lines if each is not line]

    def took(self, machine: Machine, event: Event, evidence: Passed | None) -> None:
        if evidence is None:
            return
        evidence.takers.append(machine)
        if evidence.line is None:
            return
        machine.operations.append(evidence.line)
        machine.count += 1
        if len(machine.operations) > MOST_OPERATIONS:
            gone = machine.operations.pop(0)
            if machine.table.sure[machine.state]:
                self.holding.tell([gone])
            else:
                self._let_go(machine, [gone])

    def told(self, machine: Machine, line: Line, event: Event, evidence: Passed | None) -> None:
        line.operations, line.operation_count = machine.operations, machine.count
        line.events = _events(line.operations)
        self._scene.lines.append(line)
        self._written.append((line, machine.owner))
        self.holding.tell(machine.operations)
        self._accounts.tell(machine)
        machine.has_told()
        if evidence is not None:
            evidence.told = True

    def gave_up(self, machine: Machine) -> None:
        self._let_go(machine, machine.operations)
        self._accounts.release(machine)

    def _let_go(self, machine: Machine, operations: list[Line]) -> None:
        if machine.table.holds:
            self._scene.lines += self.holding.release(operations)

    def _replaced(self, event: Event) -> None:
        """A process executes another program: of the one before, that was the end."""
        own = self.machines.of(event.process.key)
        for machine in list(own.values()) if own else ():
            table = machine.table
            number = table.triggers.get("exec")
            if table.per != "process" or (number is not None and table.moves[machine.state][number]):
                continue
            if "exit" in table.triggers:
                self.move_by_itself(machine, "exit", event.time)
            self.machines.forget(machine)

    def _cut_short(self, machine: Machine) -> None:
        """A machine that was sure to write a line does so now that it has to go; there might have come more."""
        if machine.table.sure[machine.state]:
            assert machine.last is not None
            machine.partial = True
            self.move_by_itself(machine, "exit", max(self._scene.now, machine.last.time))


def _events(operations: list[Line]) -> list[Event]:
    """The events of all of them, each once; the latest, if they are many."""
    found = {id(event): event for line in operations for event in line.events}
    return list(found.values())[-MOST_EVENTS:]
