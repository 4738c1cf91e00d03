# SPDX-License-Identifier: Apache-2.0
"""The first layer: events in, lines of operations out, which go on to the second layer.

What an event does is worked out once for all events like it where that is possible, see plans.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..event import Event
from ..output.line import Line
from .accounts import Accounts
from .activities import Activities
from .compiler import STEPS, Layer
from .machine import NOTHING, Machine, MachineKey, Machines
from .plans import Emission, Plan, plan_for, shape_of
from .runner import Runner, Scene, filled, key_of, line_of

__all__ = ["Operations"]

_MOST_PLANS = 4096


class Operations(Runner):
    """Give it every event with `feed`. `takers` are the machines that took the latest, `in_line` if a line has it."""

    def __init__(
        self, layer: Layer, scene: Scene, accounts: Accounts, most_machines: int, activities: Activities, plans: bool
    ) -> None:
        super().__init__(layer, scene, Machines(most_machines, accounts.release))
        self.takers: list[Machine] = []
        self.in_line = False
        self._routes = layer.routes
        self._heard = {way.removeprefix("child.").removeprefix("eager.") for way in layer.routes}
        self._accounts = accounts
        self._activities = activities
        self._planning = plans
        self._plans: dict[tuple[object, ...], Plan] = {}

    def feed(self, event: Event) -> None:
        self.takers.clear()
        self.in_line = False
        if len(event.triggers) == 1 and event.triggers[0] not in self._heard:
            return
        plan = self._plan(event) if self._planning else None
        if plan is None:
            for way in _ways(event):
                self.offer(way, event, event)
        else:
            self._carry_out(plan, event)

    def took(self, machine: Machine, event: Event, evidence: Event | None) -> None:
        if evidence is not None:
            machine.take(evidence)
            self.takers.append(machine)

    def told(self, machine: Machine, line: Line, event: Event, evidence: Event | None) -> None:
        line.events = list(machine.events)
        self._accounts.tell(machine)
        self.in_line = self.in_line or evidence is not None
        self._activities.operation(line, event)

    def gave_up(self, machine: Machine) -> None:
        self._accounts.release(machine)

    def _plan(self, event: Event) -> Plan | None:
        """None where what the event does depends on more than is looked at here: on the ancestors of its process.

        A table of which there is a machine already is delivered each step, so there are as many plans for one kind of
        event as there are sets of such tables.
        """
        process = event.process
        kind = (self.router.select.key(process), shape_of(event))
        plan = self._plans.get(kind)
        if plan is None:
            if any(f"child.{way}" in self._routes for way in _ways(event)):
                return None
            plan = self._planned(kind, event)
        own = self.machines.of(process.key)
        if own is None or not (alive := _alive(plan, event, own)):
            return plan
        return self._plans.get((kind, alive)) or self._planned((kind, alive), event, alive)

    def _planned(self, kind: tuple[object, ...], event: Event, alive: tuple[int, ...] = ()) -> Plan:
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        plan = self._plans[kind] = plan_for(self.router.select(event.process), _ways(event), event, alive)
        return plan

    def _carry_out(self, plan: Plan, event: Event) -> None:
        process, doubts = event.process, self._scene.doubts
        for action in plan.actions:
            if isinstance(action, Emission):
                table, what = action.table, filled(action.object, event, NOTHING)
                partial = table.lasting and doubts.before(process, table)
                line = line_of(event, table, process, action.verb, what, action.states, partial)
                line.events.append(event)
                self.in_line = True
                self._activities.operation(line, event)
            else:
                self.deliver(*action, event, event, process)
        for rest in plan.rests:
            table, key = rest.table, key_of(rest.table, event)
            assert key is not None
            machine = Machine(table, process.key, key, doubts.epoch)
            machine.process, machine.last = process, event
            machine.partial = doubts.before(process, table)
            machine.events.append(event)
            machine.state, machine.states = rest.state, rest.states
            self.takers.append(machine)
            self.machines.keep(machine, self._scene.now)


def _ways(event: Event) -> list[str]:
    """Its triggers as routes of the operation layer."""
    return [f"eager.{trigger}" if event.eager and trigger in STEPS else trigger for trigger in event.triggers]


def _alive(plan: Plan, event: Event, own: Mapping[MachineKey, Machine]) -> tuple[int, ...]:
    """The tables that the plan takes for new and of which there is a machine already."""
    found: list[int] = []
    if event.file is not None:
        path = event.file.path
        found = [number for number in plan.files if (number, path) in own]
    for number, per in plan.others:
        if (number, event.session if per == "connection" else None) in own:
            found.append(number)
    return tuple(found)
