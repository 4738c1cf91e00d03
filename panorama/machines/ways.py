# SPDX-License-Identifier: Apache-2.0
"""The ways that machines went: which transitions they took on which events, and what stopped those that did not go on.

A Watcher for an engine. It keeps every way, so it is for looking at traces, not for endpoints.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..event import Event, Process
from ..output.line import Line
from ..vocabulary import FIELDS
from .compiler import Table
from .gathering import Gathering
from .machine import NOTHING, Machine
from .model import Condition, Transition

__all__ = ["Refusal", "Step", "Way", "Ways"]

_Refusals = dict[int, "Refusal"]  # by the line of the transition


@dataclass(frozen=True, slots=True)
class Step:
    """A transition that was taken. `dest` is "" where the machine ends; `kept` is what it saved or gathered."""

    event: Event
    trigger: str
    transition: Transition
    source: str
    dest: str
    kept: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A transition that was not taken for want of a condition: by the event that met most of the conditions before it.

    `count` is of all events that it did not take.
    """

    table: Table
    event: Event
    trigger: str
    transition: Transition
    index: int  # of the condition
    found: Any  # None: there is no such thing
    saved: Mapping[str, Any]
    count: int = 1

    @property
    def condition(self) -> Condition:
        return self.transition.conditions[self.index]


@dataclass(slots=True)
class Way:
    """One machine's from where it began; `refusals` are those since its latest step. `said`: it has written a line."""

    table: Table
    machine: Machine
    steps: list[Step] = field(default_factory=list)
    refusals: _Refusals = field(default_factory=dict)
    said: bool = False

    @property
    def process(self) -> Process:
        """Whose machine it is; of one that is nobody's, whose event it took last."""
        return self.machine.process or self.steps[-1].event.process

    @property
    def states(self) -> tuple[str, ...]:
        """Those it was in, one after the other; not the end."""
        found = [self.table.states[0], *(step.dest for step in self.steps if step.dest)]
        return tuple(state for at, state in enumerate(found) if at == 0 or state != found[at - 1])


class Ways:
    """`to` has the way to a line, asked in the order of the lines; `unsaid` the ways of a behavior that led to none."""

    def __init__(self) -> None:
        self._alive: dict[Machine, Way] = {}
        self._ended: list[Way] = []
        self._said: defaultdict[tuple[str, int, str], deque[Way]] = defaultdict(deque)
        self._beginnings: defaultdict[str, _Refusals] = defaultdict(dict)

    def taken(self, machine: Machine, table: Table, number: int, event: Event, transition: Transition) -> None:
        way = self._alive.get(machine)
        if way is None or transition.anew:
            if way:
                self._ended.append(way)
            way = self._alive[machine] = Way(table, machine)
        way.refusals.clear()
        kept = {name: FIELDS[source].get(event) for name, source in (*transition.saves, *transition.gathers)}
        source, dest = table.states[machine.state], transition.dest or ""
        dest = "" if dest == table.behavior.initial else dest
        way.steps.append(Step(event, _word(table, number), transition, source, dest, kept))
        if transition.emit:
            way.said = True
            said = Way(table, machine, list(way.steps), said=True)
            self._said[table.behavior.name, event.time, transition.emit.verb].append(said)
        if not dest:
            self._ended.append(self._alive.pop(machine))

    def refused(self, machine: Machine | None, table: Table, number: int, event: Event, owner: Process) -> None:
        way = self._alive.get(machine) if machine else None
        refusals = way.refusals if way else self._beginnings[table.behavior.name]
        state, saved = (machine.state, machine.saved) if machine else (0, NOTHING)
        for move in table.moves[state][number]:
            index = next(at for at, holds in enumerate(move.predicates) if not holds(event, saved))
            transition = move.transition
            best = refusals.get(transition.line)
            count = best.count + 1 if best else 1
            if best is None or index > best.index:
                found = _found(transition.conditions[index], event, saved)
                best = Refusal(table, event, _word(table, number), transition, index, found, dict(saved))
            refusals[transition.line] = replace(best, count=count)

    def to(self, line: Line) -> Way | None:
        """None for what Panorama says of itself."""
        ways = self._said.get((line.behavior, line.time, line.verb))
        return ways.popleft() if ways else None

    def unsaid(self, behavior: str) -> list[Way]:
        """Those that came furthest first."""
        found = [way for way in self._all() if way.table.behavior.name == behavior and not way.said]
        return sorted(found, key=lambda way: (-len(way.states), -len(way.steps), way.steps[0].event.time))

    def beginnings(self, behavior: str) -> list[Refusal]:
        """What events that could have begun a machine wanted, the most frequent first."""
        return sorted(self._beginnings[behavior].values(), key=lambda refusal: -refusal.count)

    def _all(self) -> Iterator[Way]:
        yield from self._ended
        yield from self._alive.values()


def _word(table: Table, number: int) -> str:
    return next(word for word, each in table.triggers.items() if each == number)


def _found(condition: Condition, event: Event, saved: Mapping[str, Any]) -> Any:
    if condition.field in FIELDS:
        return FIELDS[condition.field].get(event)
    value = saved.get(condition.field)
    return value.count if isinstance(value, Gathering) else value
