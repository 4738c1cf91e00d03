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
from .machine import ANYONE, Machine, MachineKey, Machines
from .starters import Starters

__all__ = ["Receiver", "Router", "Selector"]

_MOST_SELECTIONS = 4096  # kinds of process for which the matching behaviors are known
_MOST_CHAINS = 4096  # kinds of descent
_MANY = 32  # machines of one process

Receiver = tuple[Table, int, Process]  # the table's number for the trigger, and whose machine it is
_Own = dict[MachineKey, Machine]
_Above = tuple[Node, Starters, dict[int, Listener]]  # an ancestor, what an event may start there, who listens
_Descent = tuple[str, tuple[tuple[int, Selection], ...]]  # a way, and how far up there is what kind of process
_Place = tuple[int, Starters, dict[int, Listener]]  # in a descent


class Selector:
    """The behaviors of a layer that match a process, remembered by the fields that decide it."""

    def __init__(self, layer: Layer) -> None:
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


class Router:
    """For one layer and its machines. With `everybody`, an event is also sent where it cannot start anything."""

    def __init__(self, layer: Layer, lineage: Lineage, machines: Machines, everybody: bool = False) -> None:
        self.select = Selector(layer)
        ways = [way for way in layer.routes if way.startswith("child.")]
        self._below = {way.removeprefix("child."): way for way in ways}
        self._lineage = lineage
        self._machines = machines
        self._everybody = everybody
        self._depth = max((table.behavior.depth for table in layer.tables), default=0)
        self._anyones = [table.number for table in layer.tables if table.anyones]
        self._chains: dict[_Descent, list[_Place]] = {}

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
        if (below := self._below.get(way)) and (above := self._ancestors(below, process)):
            count = len(found)
            self._add_those_above(found, above, event)
            if len(found) > count:
                found.sort(key=_place)
        return found

    def above(self, process: Process) -> list[tuple[Process, Iterable[int]]]:
        """The ancestors that listen to a process, with the numbers of the tables."""
        ways = self._below.values()
        return [(node.process, numbered) for way in ways for node, _, numbered in self._ancestors(way, process)]

    def _beginning(self, starters: Starters | None, numbered: dict[int, Listener], event: Event) -> Iterable[Listener]:
        if self._everybody:
            return numbered.values()
        return starters.of(event) if starters else ()

    def _with_those_alive(
        self, beginning: Iterable[Listener], numbered: dict[int, Listener], own: _Own | None, event: Event
    ) -> Iterable[Listener]:
        """Those that the event may start, and those that have a machine it may be for."""
        alive = []
        if own:
            alive = [key[0] for key in own if key[0] in numbered] if len(own) < _MANY else list(numbered)
        if self._anyones and event.file is not None and (shared := self._machines.of(ANYONE)):
            path = event.file.path
            alive += [number for number in self._anyones if (number, path) in shared and number in numbered]
        if not alive:
            return beginning
        found = {listener[0].number: listener for listener in beginning}
        for number in alive:
            found[number] = numbered[number]
        return [found[number] for number in sorted(found)]

    def _add_those_above(self, found: list[Receiver], above: list[_Above], event: Event) -> None:
        """For each behavior that listens to children one ancestor."""
        served: set[int] = set()
        for node, _, numbered in above:
            if own := self._machines.of(node.key):
                for number, _ in own:
                    if number in numbered and number not in served:
                        served.add(number)
                        found.append((*numbered[number], node.process))
        for node, starters, numbered in above:
            for listener in self._beginning(starters, numbered, event):
                if listener[0].number not in served:
                    served.add(listener[0].number)
                    found.append((*listener, node.process))

    def _ancestors(self, way: str, process: Process) -> list[_Above]:
        """Those near enough for some behavior, nearest first; the same for all children of a parent."""
        node = self._lineage.get(process.key)
        parent = node.parent if node else None
        if parent is None:
            return []
        found: list[_Above] | None = parent.known.get((self, way))
        if found is None:
            above = [(1, parent), *((generation + 1, each) for generation, each in parent.above())]
            near = [each for each in above if each[0] <= self._depth and each[1].living]
            descent = tuple((generation, self.select(each.process)) for generation, each in near)
            found = parent.known[self, way] = [(near[place][1], *rest) for place, *rest in self._chain(way, descent)]
        return found

    def _chain(self, way: str, descent: tuple[tuple[int, Selection], ...]) -> list[_Place]:
        chain = self._chains.get((way, descent))
        if chain is None:
            if len(self._chains) >= _MOST_CHAINS:
                self._chains.clear()
            chain = self._chains[way, descent] = []
            seen: set[int] = set()
            for place, (generation, selection) in enumerate(descent):
                near = [each for each in selection.listeners.get(way, ()) if generation <= each[0].behavior.depth]
                starting = [each for each in near if each[0].number not in seen and each[0].moves[0][each[1]]]
                seen |= {table.number for table, _ in near}
                if near:
                    chain.append((place, Starters(starting), {each[0].number: each for each in near}))
        return chain


def _place(receiver: Receiver) -> int:
    return receiver[0].number
