# SPDX-License-Identifier: Apache-2.0
"""Runs a Program: events in, lines out. No clock, no files, no kernel: time is what the events say; it never goes back.

How events reach machines:

- A session's triggers are steps, taken in order. Machines of files and connections see all of them when the session is
  reported; machines of processes saw them already, one by one, as eager events, and see only the close.
- For `child.` an event also goes to ancestors of its process: for each behavior the nearest whose process matches, the
  parent itself where the behavior matches every process. At most MOST_ANCESTORS up, and only processes seen before.
- A line of an operation is an event of the activity layer, its verb the trigger; it goes there at once. So for one
  event the lines are in the order of its steps, then of the behaviors' names, each line followed by the activities
  that it completes.
- When a process renames a file, its machines for that file have seen it and go on under the new name; those of the
  file that had the new name before are forgotten.
- When a process exits, its machines are forgotten after they have seen it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

from ..event import Event, Held, Loss, Process, ProcessKey
from ..output.line import Line, Part
from .accounts import Accounts
from .compiler import STEPS, Layer, Listener, Object, Program, Selection, Table
from .machine import NOTHING, Machine, MachineKey, Machines
from .plans import Emission, Plan, plan_for, shape_of

__all__ = ["MOST_ANCESTORS", "MOST_MACHINES", "Engine"]

MOST_MACHINES = 16384  # of about 1 KiB each
MOST_ANCESTORS = 8

_MOST_PROCESSES = 16384  # whose names are known, for child triggers
_MOST_SELECTIONS = 4096  # kinds of process for which the matching behaviors are known
_MOST_PLANS = 4096
_MOST_DOUBTS = 16384  # processes
_FOREVER = 2**63
_EVERY_TABLE = -1
_NO_DOUBTS: dict[int, int] = {}


class Engine:
    """All machines of one program. `accounts` tells where every event went, `evicted` how many machines had to go.

    Without `plans` it takes every step by itself, which gives the same lines more slowly.
    """

    def __init__(self, program: Program, most_machines: int = MOST_MACHINES, plans: bool = True) -> None:
        self.program = program
        self.accounts = Accounts()
        self._machines = Machines(most_machines, self.accounts.release)
        self._operations = _Selector(program.operations)
        self._activities = _Selector(program.activities)
        layers = (self._operations, self._activities)
        self._child_ways = [(layer, way) for layer in layers for way in layer.routes if way.startswith("child.")]
        self._of_files = [
            table.number
            for layer in (program.operations, program.activities)
            for table in layer.tables
            if table.per == "file"
        ]
        self._processes: OrderedDict[ProcessKey, Process] = OrderedDict()
        self._now = 0
        self._epoch = 0  # how often records were missing so far
        self._lost_at = 0  # the epoch of the last loss
        self._lost_until = 0  # ns since boot: processes that began earlier may have lost records
        self._doubts: dict[ProcessKey, dict[int, int]] = {}  # epochs in which records for these tables were held back
        self._takers: list[Machine] = []  # of the current event
        self._told = False  # the current event is in a line
        self._lines: list[Line] = []
        self._planning = plans
        self._plans: dict[tuple[object, ...], Plan] = {}

    @property
    def evicted(self) -> int:
        """Machines that were forgotten only because there were too many."""
        return self._machines.evicted

    @property
    def next_due(self) -> int:
        """No timeout runs out before that (ns since 1970)."""
        return self._machines.next_due

    def __len__(self) -> int:
        return len(self._machines)

    def feed(self, event: Event) -> list[Line]:
        """The lines that this event completes, after those of the timeouts that ran out before it."""
        time, process, triggers = event.time, event.process, event.triggers
        if time >= self._machines.next_due:
            self._run_out(time)
        elif time > self._now:
            self._now = time
        if self.program.follows_children:
            self._remember(process)
        plan = self._plan(event) if self._planning else None
        if plan is None:
            for way in _ways(event):
                self._offer(self._operations, way, event, event, False)
        else:
            self._carry_out(plan, event)
        if self._takers:
            self.accounts.receive(event.calls, self._told, [machine for machine in self._takers if machine.alive])
            self._takers.clear()
        else:
            self.accounts.receive(event.calls, self._told)
        self._told = False
        if "exit" in triggers:
            self._machines.forget_process(process.key)
            self._doubts.pop(process.key, None)
        elif event.to and event.file and "rename" in triggers:
            self._machines.rename(process.key, self._of_files, event.file.path, event.to.path)
        return self._written()

    def _plan(self, event: Event) -> Plan | None:
        """None where what the event does depends on more than is looked at here: on the ancestors of its process.

        A table of which there is a machine already is delivered each step, so there are as many plans for one kind of
        event as there are sets of such tables.
        """
        process = event.process
        kind = (self._operations.key(process), shape_of(event))
        plan = self._plans.get(kind)
        if plan is None:
            if any(f"child.{way}" in self._operations.routes for way in _ways(event)):
                return None
            plan = self._planned(kind, event)
        own = self._machines.of(process.key)
        if own is None or not (alive := _alive(plan, event, own)):
            return plan
        return self._plans.get((kind, alive)) or self._planned((kind, alive), event, alive)

    def _planned(self, kind: tuple[object, ...], event: Event, alive: tuple[int, ...] = ()) -> Plan:
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        plan = self._plans[kind] = plan_for(self._operations(event.process), _ways(event), event, alive)
        return plan

    def _carry_out(self, plan: Plan, event: Event) -> None:
        process = event.process
        for action in plan.actions:
            if isinstance(action, Emission):
                table, what = action.table, _filled(action.object, event, NOTHING)
                partial = table.lasting and self._suspect(process, table)
                line = _line(event, table, process, action.verb, what, action.states, [event], partial)
                self._lines.append(line)
                self._told = True
                if self._activities.routes:
                    self._pass_on(line, event, event)
            else:
                self._deliver(*action, event, event, process, False)
        for rest in plan.rests:
            table, key = rest.table, _key(rest.table, event)
            assert key is not None
            machine = Machine(table, process.key, key, self._epoch)
            machine.process, machine.last = process, event
            machine.partial = table.lasting and self._suspect(process, table)
            machine.events.append(event)
            machine.state, machine.states = rest.state, rest.states
            self._takers.append(machine)
            self._machines.keep(machine, self._now)

    def advance(self, time: int) -> list[Line]:
        """The lines of the timeouts that have run out by then."""
        self._run_out(time)
        return self._written()

    def finish(self) -> list[Line]:
        """The end of the input: every machine is forgotten, the accounts are final."""
        self._machines.forget_all()
        return self._written()

    def taint(self, missing: Loss | Held) -> None:
        """Records are missing: lines are partial of all machines that they could have moved.

        Those are the machines alive now, and those of processes that had begun by then, unless a machine of that
        behavior never stays in a state that a missing record could have led to. Where it is known whose the records
        were, it is the machines of that process, and of its ancestors those that listen to it.
        """
        self._epoch += 1
        if not (isinstance(missing, Held) and missing.process):
            self._doubt_all(missing.since_boot or _FOREVER)
            return
        process = self._processes.get(missing.process.key, missing.process)
        self._doubt(process.key, _EVERY_TABLE)
        for layer, way in self._child_ways:
            for (table, _), ancestor in self._ancestors(layer, way, process):
                self._doubt(ancestor.key, table.number)

    def _doubt_all(self, until: int) -> None:
        self._lost_at = self._epoch
        self._lost_until = max(self._lost_until, until)

    def _doubt(self, owner: ProcessKey, table: int) -> None:
        self._doubts.setdefault(owner, {})[table] = self._epoch
        if len(self._doubts) > _MOST_DOUBTS:
            self._doubt_all(max(start for _, start in self._doubts) + 1)
            self._doubts.clear()

    def _doubtful(self, machine: Machine) -> bool:
        """Whether records are missing that could have moved it since it began."""
        if machine.partial or machine.epoch < self._lost_at:
            return True
        doubts = self._doubts.get(machine.owner, _NO_DOUBTS)
        return machine.epoch < max(doubts.get(_EVERY_TABLE, 0), doubts.get(machine.table.number, 0))

    def _suspect(self, owner: Process, table: Table) -> bool:
        """Whether a missing record may have moved a machine before: its first state is then not known to be that."""
        if owner.start < self._lost_until:
            return True
        doubts = self._doubts.get(owner.key, _NO_DOUBTS)
        return _EVERY_TABLE in doubts or table.number in doubts

    def _written(self) -> list[Line]:
        lines, self._lines = self._lines, []
        return lines

    def _run_out(self, time: int) -> None:
        while found := self._machines.due(time):
            self._now, machine = max(self._now, found[0]), found[1]
            assert machine.last is not None
            assert machine.process is not None
            number = machine.table.triggers["timeout"]
            event = replace(machine.last, triggers=("timeout",), time=found[0], calls={}, eager=False)
            self._move(machine.table, number, machine, machine.key, event, None, machine.process, False)
        self._now = max(self._now, time)

    def _remember(self, process: Process) -> None:
        self._processes[process.key] = process
        self._processes.move_to_end(process.key)
        if len(self._processes) > _MOST_PROCESSES:
            self._processes.popitem(last=False)

    def _offer(self, layer: _Selector, way: str, event: Event, raw: Event, partial: bool) -> None:
        """An event to all machines of a layer that listen, and to the first state of those that do not exist yet."""
        process = event.process
        selection = layer(process)
        own = self._machines.of(process.key)
        found = (selection.starters if own is None else selection.listeners).get(way, ())
        if f"child.{way}" not in layer.routes:
            for table, number in found:
                self._deliver(table, number, event, raw, process, partial)
            return
        everyone = [(table.number, 0, table, number, process) for table, number in found]
        for (table, number), ancestor in self._ancestors(layer, f"child.{way}", process):
            everyone.append((table.number, 1, table, number, ancestor))
        for _, _, table, number, owner in sorted(everyone, key=lambda each: each[:2]):
            self._deliver(table, number, event, raw, owner, partial)

    def _ancestors(self, layer: _Selector, way: str, process: Process) -> Iterator[tuple[Listener, Process]]:
        """Each behavior that listens to children, once, with the nearest ancestor that matches it."""
        seen: set[int] = set()
        for generation in range(MOST_ANCESTORS):
            if process.ppid <= 0:
                return
            known = self._processes.get((process.ppid, process.parent_start))
            if known is None and generation > 0:
                return
            process = known or Process(pid=process.ppid, start=process.parent_start)
            for listener in layer(process).listeners.get(way, ()):
                if listener[0].number not in seen:
                    seen.add(listener[0].number)
                    yield listener, process

    def _deliver(self, table: Table, number: int, event: Event, raw: Event, owner: Process, partial: bool) -> None:
        key = _key(table, event)
        if key is not None:
            own = self._machines.of(owner.key)
            self._move(table, number, own.get(key) if own else None, key, event, raw, owner, partial)

    def _move(
        self,
        table: Table,
        number: int,
        machine: Machine | None,
        key: MachineKey,
        event: Event,
        raw: Event | None,  # None: a timeout, which is no event of the sensor's
        owner: Process,
        partial: bool,
    ) -> None:
        """Takes the first transition whose conditions hold, if there is one."""
        state, saved = (machine.state, machine.saved) if machine else (0, NOTHING)
        for move in table.moves[state][number]:
            for holds in move.predicates:
                if not holds(event, saved):
                    break
            else:
                break
        else:
            return
        if machine is None:
            machine = Machine(table, owner.key, key, self._epoch)
            machine.partial = table.lasting and self._suspect(owner, table)
        machine.process = owner
        machine.last = event
        machine.partial = machine.partial or partial
        if raw is not None:
            machine.take(raw)
        if move.saves:
            machine.saved = {**machine.saved, **{name: get(event) for name, get in move.saves}}
        operation = table.behavior.layer == "operation"
        if operation and raw is not None:
            self._takers.append(machine)
        if move.dest:
            machine.enter(move.dest)
            self._machines.keep(machine, self._now)
        if move.verb:
            what, partial = _filled(move.object, event, machine.saved), self._doubtful(machine)
            line = _line(event, table, owner, move.verb, what, machine.states, list(machine.events), partial)
            self._lines.append(line)
            if operation:
                self.accounts.tell(machine)
                self._told = self._told or raw is not None
                if self._activities.routes:
                    self._pass_on(line, event, raw or machine.events[-1])
        if not move.dest:
            self._machines.forget(machine)

    def _pass_on(self, line: Line, event: Event, raw: Event) -> None:
        """A line of an operation to the activities."""
        verb, process, routes = line.verb, line.process, self._activities.routes
        if f"child.{verb}" in routes or verb in self._activities(process).listeners:
            seen = replace(event, triggers=(verb,), process=process, calls={}, eager=False)
            self._offer(self._activities, verb, seen, raw, line.certainty == "partial")


class _Selector:
    """The behaviors of a layer that match a process, remembered by the fields that decide it."""

    def __init__(self, layer: Layer) -> None:
        self.routes = layer.routes
        self._layer = layer
        self.key: Callable[[Process], Any] = attrgetter(*layer.match_fields) if layer.match_fields else lambda _: None
        self._known: dict[Any, Selection] = {}

    def __call__(self, process: Process) -> Selection:
        key = self.key(process)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_SELECTIONS:
                self._known.clear()
            found = self._known[key] = self._layer.select(process)
        return found


def _ways(event: Event) -> list[str]:
    """Its triggers as routes of the operation layer."""
    return [f"eager.{trigger}" if event.eager and trigger in STEPS else trigger for trigger in event.triggers]


def _key(table: Table, event: Event) -> MachineKey | None:
    """Which machine of its owner an event is for; None if it has no such thing."""
    if table.per == "file":
        return (table.number, event.file.path) if event.file is not None else None
    if table.per == "connection":
        return (table.number, event.session) if event.session else None
    return (table.number, None)


def _line(
    event: Event,
    table: Table,
    process: Process,
    verb: str,
    what: tuple[str | Part, ...],
    states: tuple[str, ...],
    evidence: list[Event],
    partial: bool,
) -> Line:
    name, layer, severity, attack = table.signature
    certainty = "partial" if partial else "certain"
    return Line(event.time, process, verb, what, name, layer, severity, attack, states, evidence, certainty)


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


def _filled(template: Object, event: Event, saved: Mapping[str, Any]) -> tuple[str | Part, ...]:
    return tuple(
        [
            piece if isinstance(piece, str) else Part(piece[0], piece[1](event) if piece[1] else saved.get(piece[0]))
            for piece in template
        ]
    )
