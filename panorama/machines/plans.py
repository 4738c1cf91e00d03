# SPDX-License-Identifier: Apache-2.0
"""What the machines of a layer do with an event, worked out once for all events like it.

Most sessions begin and end their machines within the one event: open, read, close, a line, forgotten. Which moves are
taken then depends on nothing but the triggers, the matching behaviors and the event's shape, as long as no machine is
alive before, the conditions on the way ask for nothing else, and nothing is saved. A behavior of which that is not true
takes part in the plan by being delivered each step as ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..event import Event
from .compiler import Listener, Object, Selection, Table

__all__ = ["Emission", "Plan", "Rest", "plan_for", "shape_of"]

Shape = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Emission:
    """A line that a machine writes on its way."""

    table: Table
    verb: str
    object: Object
    states: tuple[str, ...]  # until then


@dataclass(frozen=True, slots=True)
class Rest:
    """A machine that is not over with the event."""

    table: Table
    state: int
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """In the order of steps and behaviors. It holds where there are no machines of `files` and `others` yet."""

    actions: tuple[Emission | Listener, ...]
    rests: tuple[Rest, ...]  # those touched last, last
    files: tuple[int, ...]  # the numbers of tables that are planned and can be alive from one event to the next
    others: tuple[tuple[int, str], ...]  # the same of connections and processes


def shape_of(event: Event) -> Shape:
    """All that a plan may depend on, beside the behaviors that match the process: compiler.SHAPE, and what there is."""
    return (
        event.triggers,
        event.created,
        event.truncated,
        event.inherited,
        event.final,
        event.eager,
        event.file is None,
        event.session == 0,
    )


def plan_for(selection: Selection, ways: Iterable[str], event: Event, alive: Sequence[int] = ()) -> Plan:
    """The plan for an event that goes these ways, if machines of the tables with the numbers `alive` are."""
    steps = [selection.listeners.get(way, ()) for way in ways]
    concerned = dict.fromkeys(table for step in steps for table, _ in step if _concerns(table, event))
    new = [table for table in concerned if table.number not in alive]
    taken = {table: way for table in new if (way := _followed(table, steps, event)) is not None}
    actions: list[Emission | Listener] = []
    for number, step in enumerate(steps):
        for listener in step:
            table = listener[0]
            if table in taken:
                actions += [emission for at, emission in taken[table].emissions if at == number]
            elif table in concerned:
                actions.append(listener)
    resting = [way for way in taken.values() if way.state]
    resting.sort(key=lambda way: (way.last, way.table.number))
    rests = tuple(Rest(way.table, way.state, tuple(way.states)) for way in resting)
    watched = [(table.number, table.per) for table in taken if table.stays]
    files = tuple(number for number, per in watched if per == "file")
    return Plan(tuple(actions), rests, files, tuple(each for each in watched if each[1] != "file"))


def _concerns(table: Table, event: Event) -> bool:
    """Whether the event has what this behavior has machines for."""
    return table.per == "process" or (event.file is not None if table.per == "file" else event.session != 0)


class _Way:
    """One machine's, from its first state on."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.state = 0
        self.states: list[str] = [table.states[0]]
        self.emissions: list[tuple[int, Emission]] = []  # by step
        self.last = 0  # the last step that moved it


def _followed(table: Table, steps: list[tuple[Listener, ...]], event: Event) -> _Way | None:
    """None if more than the event's shape decides it."""
    way = _Way(table)
    for number, step in enumerate(steps):
        for trigger in (trigger for listening, trigger in step if listening is table):
            for move in table.moves[way.state][trigger]:
                if not move.plain:
                    return None
                if all(holds(event, {}) for holds in move.predicates):
                    break
            else:
                continue
            way.state, way.last = move.dest, number
            if move.dest and way.states[-1] != table.states[move.dest]:
                way.states.append(table.states[move.dest])
            if move.verb:
                way.emissions.append((number, Emission(table, move.verb, move.object, tuple(way.states))))
            if not move.dest:
                way.states = [table.states[0]]
    return way
