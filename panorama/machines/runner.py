# SPDX-License-Identifier: Apache-2.0
"""How a machine takes an event: the same in both layers. What becomes of evidence and lines is the layer's (engine.py,
activities.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from ..event import Event, Process, ProcessKey
from ..output.line import Line, Part
from .compiler import Layer, Object, Table
from .doubts import Doubts
from .lineage import Lineage
from .machine import ANYONE, NOTHING, Machine, MachineKey, Machines
from .routing import Router

__all__ = ["Runner", "Scene", "Watcher", "filled", "key_of", "line_of"]


class Watcher(Protocol):
    """Somebody who wants to know why lines are written or not."""

    def taken(self, machine: Machine, table: Table, number: int, event: Event, transition: Any) -> None:
        """The machine takes a transition; it is still in the state it comes from."""

    def refused(self, machine: Machine | None, table: Table, number: int, event: Event, owner: Process) -> None:
        """The machine (None: one that would begin) has the trigger, but no transition that fits."""


class Scene:
    """What both layers share: the time, the processes, what is missing, and the lines that are ready."""

    def __init__(self, watcher: Watcher | None = None, ancestors: bool = False) -> None:
        self.now = 0  # ns since 1970; it never goes back
        self.lines: list[Line] = []
        self.lineage = Lineage(ancestors)
        self.doubts = Doubts()
        self.watcher = watcher


class Runner:
    """Moves the machines of one layer."""

    def __init__(self, layer: Layer, scene: Scene, machines: Machines) -> None:
        self.machines = machines
        self.router = Router(layer, scene.lineage, machines, everybody=scene.watcher is not None)
        self._scene = scene
        self._of_files = [table.number for table in layer.tables if table.per == "file"]
        self._of_paths = [table.number for table in layer.tables if table.anyones]

    def took(self, machine: Machine, event: Event, evidence: Any) -> None:
        """The machine takes the event."""
        raise NotImplementedError

    def told(self, machine: Machine, line: Line, event: Event, evidence: Any) -> None:
        """The machine has written a line."""
        raise NotImplementedError

    def gave_up(self, machine: Machine) -> None:
        """What the machine had by now is no evidence any more."""
        raise NotImplementedError

    def renamed(self, process: ProcessKey, old: str, new: str) -> None:
        """A process has renamed a file: machines go with it."""
        if self._of_files:
            self.machines.rename(process, self._of_files, old, new)
        if self._of_paths:
            self.machines.rename(ANYONE, self._of_paths, old, new)

    def offer(self, way: str, event: Event, evidence: Any, partial: bool = False) -> None:
        """To all machines that listen, and to the first state of those that do not exist yet."""
        for table, number, owner in self.router.receivers(way, event):
            self.deliver(table, number, event, evidence, owner, partial)

    def deliver(
        self, table: Table, number: int, event: Event, evidence: Any, owner: Process, partial: bool = False
    ) -> None:
        """An event to the machine that it is for, which may begin with it."""
        key = key_of(table, event)
        if key is not None:
            own = self.machines.of(ANYONE if table.anyones else owner.key)
            self.move(table, number, own.get(key) if own else None, key, event, evidence, owner, partial)

    def run_out(self, machine: Machine, time: int) -> None:
        """The timeout of a machine."""
        self.move_by_itself(machine, "timeout", time)

    def move_by_itself(self, machine: Machine, trigger: str, time: int) -> None:
        """A trigger that no event of the sensor's is: it has the fields of the last event that the machine took."""
        assert machine.last is not None
        assert machine.process is not None
        event = replace(machine.last, triggers=(trigger,), time=time, calls={}, eager=False)
        self.move(machine.table, machine.table.triggers[trigger], machine, machine.key, event, None, machine.process)

    def move(
        self,
        table: Table,
        number: int,
        machine: Machine | None,
        key: MachineKey,
        event: Event,
        evidence: Any,  # None: no event of the sensor's
        owner: Process,
        partial: bool = False,
    ) -> None:
        """Takes the first transition whose conditions hold, if there is one."""
        scene = self._scene
        state, saved = (machine.state, machine.saved) if machine else (0, NOTHING)
        for move in table.moves[state][number]:
            for holds in move.predicates:
                if not holds(event, saved):
                    break
            else:
                break
        else:
            if scene.watcher:
                scene.watcher.refused(machine, table, number, event, owner)
            return
        if machine is None:
            machine = Machine(table, ANYONE if table.anyones else owner.key, key, scene.doubts.epoch)
            machine.partial = scene.doubts.before(owner, table)
        elif move.anew:
            self.gave_up(machine)
            machine.begin()
        if scene.watcher:
            scene.watcher.taken(machine, table, number, event, move.transition)
        machine.process = owner
        machine.last = event
        machine.partial = machine.partial or partial
        self.took(machine, event, evidence)
        if move.saves:
            machine.saved = {**machine.saved, **{name: get(event) for name, get in move.saves}}
        for name, get in move.gathers:
            machine.gather(name, get(event))
        if move.login and (remote := move.login(event)) is not None:
            scene.lineage.log_in(event, remote)
        if move.dest:
            machine.enter(move.dest)
            self.machines.keep(machine, scene.now)
        if move.verb:
            what = filled(move.object, event, machine.saved)
            line = line_of(event, table, owner, move.verb, what, machine.states, scene.doubts.about(machine))
            self.told(machine, line, event, evidence)
        if not move.dest:
            self.machines.forget(machine)


def key_of(table: Table, event: Event) -> MachineKey | None:
    """Which machine of its owner an event is for; None if it has no such thing."""
    if table.per == "process":
        return (table.number, None)
    if table.per == "connection":
        return (table.number, event.session) if event.session else None
    return (table.number, event.file.path) if event.file is not None else None


def line_of(
    event: Event,
    table: Table,
    process: Process,
    verb: str,
    what: tuple[str | Part, ...],
    states: tuple[str, ...],
    partial: bool,
) -> Line:
    """A line without its evidence."""
    name, layer, severity, attack = table.signature
    certainty = "partial" if partial else "certain"
    line = Line(event.time, process, verb, what, name, layer, severity, attack, states, [], certainty)
    line.login = event.login
    return line


def filled(template: Object, event: Event, saved: Mapping[str, Any]) -> tuple[str | Part, ...]:
    """An emit template with its values."""
    return tuple(
        [
            piece if isinstance(piece, str) else Part(piece[0], piece[1](saved if piece[2] else event))
            for piece in template
        ]
    )
