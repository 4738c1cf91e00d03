# SPDX-License-Identifier: Apache-2.0
"""Which machines an event goes to.

- Of its own process, those of the behaviors that listen to it and match the process: the machines there are, and the
  behaviors that it may start.
- For `child.` those of one living ancestor for each behavior: the nearest that has a machine of it, else the nearest
  that matches, which is the parent where the behavior matches every process; at most so far up as its `depth`.
- Machines per path are of nobody; they see what any matching process does to the path.

What is the same for all processes of a kind, or of a descent, is worked out once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from ..event import Event, Process
from .compiler import Layer, Listener, Selection, Table
from .lineage import Lineage, Node
from .machine import Machine, MachineKey, Machines
from .starters import Starters

__all__ = ["Receiver", "Router", "Selector"]

_MOST_SELECTIONS = 4096  # kinds of process for which the matching behaviors are known
_MOST_CHAINS = 4096  # kinds of descent
_MANY = 32  # machines of one process

Receiver = tuple[Table, int, Process]  # the table's number for the trigger, and whose machine it is
_Own = dict[MachineKey, Machine]
_Descent = tuple[str, tuple[tuple[int, Selection], ...]]  # a way, and how far up there is what kind of process


class Selector:
    """The behaviors of a layer that match a process, remembered by the fields that decide it."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self.key: Callable[[Process], Any] = attrgetter(*layer.match_fields) if layer.match_fields else lambda _: None
        self._known: dict[Any, Selection] = {}
        self._made: dict[tuple[Table, ...], Selection] = {}  # many processes are matched by the same behaviors

    def __call__(self, process: Process) -> Selection:
        key = self.key(process)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_SELECTIONS:
                self._known.clear()
                self._made.clear()
            found = self._known[key] = self._selection(self._layer.matching(process))
        return found

    def _selection(self, tables: tuple[Table, ...]) -> Selection:
        if tables not in self._made:
            self._made[tables] = self._layer.selection(tables)
        return self._made[tables]


class Router:
    """For one layer and its machines. With `everybody`, an event is also sent where it cannot start anything."""

    def __init__(self, layer: Layer, lineage: Lineage, machines: Machines, everybody: bool = False) -> None:
        self.select = Selector(layer)
        self._routes = layer.routes
        self._lineage = lineage
        self._machines = machines
        self._everybody = everybody
        self._depth = max((table.behavior.depth for table in layer.tables), default=0)
        self._anyones = any(table.anyones for table in layer.tables)
        self._chains: dict[_Descent, Chain] = {}

    def receivers(self, way: str, event: Event) -> list[Receiver]:
        """In the order of the tables; of one table the process's own machine comes first."""
        process = event.process
        selection = self.select(process)
        found: list[Receiver] = []
        numbered = selection.numbered.get(way)
        if numbered:
            listeners = self._beginning(selection.starters.get(way), numbered, event)
            own = self._machines.of(process.key)
            if own or self._anyones:
                listeners = self._with_those_alive(listeners, numbered, own, event)
            found = [(table, number, process) for table, number in listeners]
        if f"child.{way}" in self._routes:
            above = self._above(f"child.{way}", event)
            if above:
                found += above
                found.sort(key=_place)
        return found

    def above(self, process: Process) -> list[tuple[Process, Iterable[int]]]:
        """The ancestors that listen to a process, with the numbers of the tables."""
        ways = [way for way in self._routes if way.startswith("child.")]
        found = [ancestry for way in ways if (ancestry := self._ancestry(way, process))]
        return [(process, numbered) for ancestry in found for _, process, numbered in ancestry.listening]

    def _beginning(self, starters: Starters | None, numbered: dict[int, Listener], event: Event) -> Iterable[Listener]:
        if self._everybody:
            return numbered.values()
        return starters.of(event) if starters else ()

    def _with_those_alive(
        self, beginning: Iterable[Listener], numbered: dict[int, Listener], own: _Own | None, event: Event
    ) -> Iterable[Listener]:
        """Those that the event may start, and those that have a machine it may be for."""
        alive = []
        if own and len(own) < _MANY:
            for (number, _), machine in own.items():
                if (listener := numbered.get(number)) and (
                    machine.table.moves[machine.state][listener[1]] or self._everybody
                ):
                    alive.append(number)
        elif own:
            alive = list(numbered)
        if self._anyones and event.file is not None:
            alive += [number for number in self._machines.at(event.file.path) if number in numbered]
        if not alive:
            return beginning
        found = {listener[0].number: listener for listener in beginning}
        for number in alive:
            found[number] = numbered[number]
        return [found[number] for number in sorted(found)]

    def _above(self, way: str, event: Event) -> list[Receiver]:
        """For each behavior that listens to children one ancestor."""
        ancestry = self._ancestry(way, event.process)
        found: list[Receiver] = []
        if ancestry is None:
            return found
        served: set[int] = set()
        for key, process, numbered in ancestry.listening:
            own = self._machines.of(key)
            for (number, _), machine in own.items() if own else ():
                if (listener := numbered.get(number)) and number not in served:
                    served.add(number)
                    if machine.table.moves[machine.state][listener[1]] or self._everybody:
                        found.append((*listener, process))
        chain = ancestry.chain
        for listener in chain.all if self._everybody else chain.starters.of(event):
            number = listener[0].number
            if number not in served:
                found.append((*listener, ancestry.processes[chain.nearest[number][0]]))
        return found

    def _ancestry(self, way: str, process: Process) -> Ancestry | None:
        """Those above a process that are near enough for some behavior; the same for all children of one parent."""
        node = self._lineage.get(process.key)
        parent = node.parent if node else None
        if parent is None:
            return None
        known = parent.known
        if (self, way) not in known:
            known[self, way] = self._found(way, parent)
        found: Ancestry | None = known[self, way]
        return found

    def _found(self, way: str, parent: Node) -> Ancestry | None:
        line = [(1, parent)] if parent.living else []
        line += [(generation + 1, node) for generation, node in parent.above() if generation < self._depth]
        descent = tuple([(generation, self.select(node.process)) for generation, node in line])
        chain = self._chain(way, descent)
        return Ancestry(chain, [node.process for _, node in line]) if chain.places else None

    def _chain(self, way: str, descent: tuple[tuple[int, Selection], ...]) -> Chain:
        chain = self._chains.get((way, descent))
        if chain is None:
            if len(self._chains) >= _MOST_CHAINS:
                self._chains.clear()
            chain = self._chains[way, descent] = Chain(way, descent)
        return chain


class Chain:
    """Who of a descent listens to a way of events: what is the same for all that descend from such processes."""

    def __init__(self, way: str, descent: tuple[tuple[int, Selection], ...]) -> None:
        self.places: list[tuple[int, dict[int, Listener]]] = []  # in the descent
        self.nearest: dict[int, tuple[int, Listener]] = {}  # by table, its place and the listener
        for place, (generation, selection) in enumerate(descent):
            near = [each for each in selection.listeners.get(way, ()) if generation <= each[0].behavior.depth]
            if near:
                self.places.append((place, {each[0].number: each for each in near}))
            for each in near:
                self.nearest.setdefault(each[0].number, (place, each))
        self.all = [listener for _, listener in self.nearest.values()]
        self.starters = Starters(each for each in self.all if each[0].moves[0][each[1]])


class Ancestry:
    """A chain, and the processes in it, nearest first."""

    __slots__ = ("chain", "listening", "processes")

    def __init__(self, chain: Chain, processes: list[Process]) -> None:
        self.chain, self.processes = chain, processes
        self.listening = [(processes[place].key, processes[place], numbered) for place, numbered in chain.places]


def _place(receiver: Receiver) -> int:
    return receiver[0].number
