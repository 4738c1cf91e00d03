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
from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

from ..event import Event, Loss, Process, ProcessKey
from ..output.line import Line, Part
from ..vocabulary import FIELDS
from .accounts import Accounts
from .compiler import STEPS, Layer, Listener, Move, Program, Selection, Table
from .machine import Machine, MachineKey, Machines
from .model import Template

__all__ = ["MOST_ANCESTORS", "MOST_MACHINES", "Engine"]

MOST_MACHINES = 65536
MOST_ANCESTORS = 8

_MOST_PROCESSES = 65536  # whose names are known, for child triggers
_MOST_SELECTIONS = 4096  # kinds of process for which the matching behaviors are known
_FOREVER = 2**63
_NOTHING: Mapping[str, Any] = {}


class Engine:
    """All machines of one program. `accounts` tells where every event went, `evicted` how many machines had to go."""

    def __init__(self, program: Program, most_machines: int = MOST_MACHINES) -> None:
        self.program = program
        self.accounts = Accounts()
        self._machines = Machines(most_machines, self.accounts.release)
        self._operations = _Selector(program.operations)
        self._activities = _Selector(program.activities)
        self._of_files = [
            table.number
            for layer in (program.operations, program.activities)
            for table in layer.tables
            if table.per == "file"
        ]
        self._processes: OrderedDict[ProcessKey, Process] = OrderedDict()
        self._now = 0
        self._epoch = 0  # losses so far
        self._lost_until = 0  # ns since boot: processes that began earlier may have lost records
        self._takers: list[Machine] = []  # of the current event
        self._told = False  # the current event is in a line
        self._lines: list[Line] = []

    @property
    def evicted(self) -> int:
        """Machines that were forgotten only because there were too many."""
        return self._machines.evicted

    def __len__(self) -> int:
        return len(self._machines)

    def feed(self, event: Event) -> list[Line]:
        """The lines that this event completes, after those of the timeouts that ran out before it."""
        if event.time > self._now:
            self._run_out(event.time)
        if self.program.follows_children:
            self._remember(event.process)
        for trigger in event.triggers:
            way = f"eager.{trigger}" if event.eager and trigger in STEPS else trigger
            self._offer(self._operations, way, event, event, False)
        self.accounts.receive(event.calls, self._told, [machine for machine in self._takers if machine.alive])
        self._takers.clear()
        self._told = False
        if "exit" in event.triggers:
            self._machines.forget_process(event.process.key)
        elif event.to and event.file and "rename" in event.triggers:
            self._machines.rename(event.process.key, self._of_files, event.file.path, event.to.path)
        return self._written()

    def advance(self, time: int) -> list[Line]:
        """The lines of the timeouts that have run out by then."""
        self._run_out(time)
        return self._written()

    def finish(self) -> list[Line]:
        """The end of the input: every machine is forgotten, the accounts are final."""
        self._machines.forget_all()
        return self._written()

    def taint(self, loss: Loss) -> None:
        """Records were lost: lines are partial of all machines that they could have moved.

        Those are the machines alive now, and those of processes that had begun by then, unless a machine of that
        behavior never stays in a state that a lost record could have led to.
        """
        self._epoch += 1
        self._lost_until = max(self._lost_until, loss.since_boot or _FOREVER)

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
        sub: str | int | None = None
        if table.per == "file":
            if event.file is None:
                return
            sub = event.file.path
        elif table.per == "connection":
            if not event.session:
                return
            sub = event.session
        key = (table.number, sub)
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
        state, saved = (machine.state, machine.saved) if machine else (0, _NOTHING)
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
            # a record that was lost may have moved it before, so its first state is not known to be that
            machine.partial = owner.start < self._lost_until and table.behavior.lasting
        machine.process = owner
        machine.last = event
        machine.partial = machine.partial or partial
        if raw is not None:
            machine.take(raw)
        for name, field in move.saves:
            machine.saved[name] = FIELDS[field].get(event)
        operation = table.behavior.layer == "operation"
        if operation and raw is not None:
            self._takers.append(machine)
        if move.dest:
            machine.enter(move.dest)
            self._machines.keep(machine, self._now)
        if move.verb:
            self._write(machine, move, event, operation, raw)
        if not move.dest:
            self._machines.forget(machine)

    def _write(self, machine: Machine, move: Move, event: Event, operation: bool, raw: Event | None) -> None:
        behavior, process = machine.table.behavior, machine.process
        assert process is not None
        partial = machine.partial or machine.epoch != self._epoch
        line = Line(
            time=event.time,
            process=process,
            verb=move.verb,
            object=_filled(move.object, event, machine.saved),
            behavior=behavior.name,
            layer=behavior.layer,
            severity=behavior.severity,
            attack=behavior.attack,
            states=tuple(machine.states),
            events=list(machine.events),
            certainty="partial" if partial else "certain",
        )
        self._lines.append(line)
        if not operation:
            return
        self.accounts.tell(machine)
        self._told = self._told or raw is not None
        child = f"child.{move.verb}"
        if child in self._activities.routes or move.verb in self._activities(process).listeners:
            seen = replace(event, triggers=(move.verb,), process=process, calls={}, eager=False)
            self._offer(self._activities, move.verb, seen, raw or machine.events[-1], partial)


class _Selector:
    """The behaviors of a layer that match a process, remembered by the fields that decide it."""

    def __init__(self, layer: Layer) -> None:
        self.routes = layer.routes
        self._layer = layer
        self._key = attrgetter(*layer.match_fields) if layer.match_fields else lambda _: None
        self._known: dict[Any, Selection] = {}

    def __call__(self, process: Process) -> Selection:
        key = self._key(process)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_SELECTIONS:
                self._known.clear()
            found = self._known[key] = self._layer.select(process)
        return found


def _filled(template: Template, event: Event, saved: Mapping[str, Any]) -> tuple[str | Part, ...]:
    parts: list[str | Part] = []
    for piece in template:
        if isinstance(piece, str):
            parts.append(piece)
        else:
            name = piece[0]
            parts.append(Part(name, FIELDS[name].get(event) if name in FIELDS else saved.get(name)))
    return tuple(parts)
