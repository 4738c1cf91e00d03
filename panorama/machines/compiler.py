# SPDX-License-Identifier: Apache-2.0
"""Behaviors to tables: states and triggers are small integers, conditions are bound functions, indexed by trigger.

A Program is immutable and holds no machine: any number of engines can run it. State 0 is always the initial one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ..event import Event, Process
from ..vocabulary import FIELDS, SESSION_TRIGGERS, TRIGGERS
from .model import Behavior, BehaviorSet, Template, Transition, default_object
from .predicates import Predicate, predicate
from .unnoticed import notices_own_changes, notices_untouched

__all__ = [
    "SHAPE",
    "STEPS",
    "Layer",
    "Listener",
    "Move",
    "Object",
    "Program",
    "Selection",
    "Table",
    "compile_behaviors",
]

# what is reported of a session when it ends; its close is news to everybody
STEPS = frozenset(SESSION_TRIGGERS) - {"close"}
# fields of few values, which say what kind of session it is; see plans.py
SHAPE = frozenset(("created", "truncated", "inherited", "final"))

# an emit template: literal text; a field's name with what gets it from the event; a saved value's with None
Object = tuple[str | tuple[str, Callable[[Event], Any] | None], ...]


@dataclass(frozen=True, slots=True)
class Move:
    """One transition of one trigger from one state. `saves` has names and getters; `dest` 0 ends the machine."""

    predicates: tuple[Predicate, ...]
    dest: int
    saves: tuple[tuple[str, Callable[[Event], Any]], ...]
    verb: str  # "" writes no line
    object: Object
    plain: bool  # its conditions ask for nothing but the event's shape


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One behavior: `moves[state][trigger]` are the candidates in file order, `triggers` the trigger numbers."""

    number: int  # its place among all behaviors, operations first, by name: the order of lines
    behavior: Behavior
    states: tuple[str, ...]
    triggers: dict[str, int]
    per: str
    moves: tuple[tuple[tuple[Move, ...], ...], ...]
    timeouts: tuple[int, ...]  # ns by state, 0 for none
    match: tuple[Predicate, ...]
    signature: tuple[str, str, str, tuple[str, ...]]  # what its lines say of it: name, layer, severity, attack
    lasting: bool  # Behavior.lasting
    stays: bool  # whether some transition leads to another state than the first


Listener = tuple[Table, int]  # and the number that the table has for the trigger


@dataclass(frozen=True, slots=True)
class Selection:
    """The behaviors that match one process: by route, all that listen and those that it can start."""

    listeners: dict[str, tuple[Listener, ...]]
    starters: dict[str, tuple[Listener, ...]]


@dataclass(frozen=True, slots=True)
class Layer:
    """The behaviors of one layer in the order of their names, and what they listen to and match on.

    A route is a trigger, `child.` included. In the operation layer the steps of a session go two ways: `read` to the
    machines of files and connections when the session is reported, `eager.read` to those of processes at once.
    """

    tables: tuple[Table, ...]
    routes: frozenset[str]
    match_fields: tuple[str, ...]

    def select(self, process: Process) -> Selection:
        """The behaviors that match; asked once for each different process, so it may take its time."""
        event = Event((), 0, process, {})
        listeners: dict[str, tuple[Listener, ...]] = {}
        starters: dict[str, tuple[Listener, ...]] = {}
        for table in self.tables:
            if all(holds(event, {}) for holds in table.match):
                for trigger, number in table.triggers.items():
                    way = _route(table.behavior, trigger)
                    listeners[way] = (*listeners.get(way, ()), (table, number))
                    if table.moves[0][number]:
                        starters[way] = (*starters.get(way, ()), (table, number))
        return Selection(listeners, starters)


@dataclass(frozen=True, slots=True)
class Program:
    """What an engine runs, and what it needs of the sensor."""

    behaviors: BehaviorSet
    operations: Layer
    activities: Layer
    triggers: frozenset[str]  # syscall families to sense
    eager: frozenset[str]  # steps of sessions to report singly as well, as machines follow the whole process
    connections: bool  # what connections send and receive is wanted, or their end
    follows_children: bool  # some trigger is a child's
    keeps_untouched: bool  # sessions that were opened and closed, and nothing else, make a difference
    keeps_own_changes: bool  # so do mode and owner that a process sets of a file it has made and still has open
    digest: str  # sha256 of what the behaviors say, hexadecimal


def compile_behaviors(behaviors: BehaviorSet) -> Program:
    """The program of all behaviors that are switched on."""
    operations = behaviors.enabled("operation")
    activities = behaviors.enabled("activity")
    verbs = behaviors.verbs()
    first = _layer(operations, 0, {name: (name,) for name in TRIGGERS})
    second = _layer(activities, len(operations), verbs)
    words = {trigger for behavior in operations for trigger in behavior.triggers}
    plain = {trigger.removeprefix("child.") for trigger in words} - {"timeout"}
    follows = any(way.startswith("child.") for way in first.routes | second.routes)
    singles = {
        trigger.removeprefix("child.")
        for behavior in operations
        if behavior.per == "process"
        for trigger in behavior.triggers
    }
    return Program(
        behaviors=behaviors,
        operations=first,
        activities=second,
        triggers=frozenset(plain | ({"fork"} if follows else set())),
        eager=frozenset(singles & STEPS),
        connections=any(_wants_connections(behavior) for behavior in operations),
        follows_children=follows,
        keeps_untouched="close" in singles or any(notices_untouched(behavior) for behavior in operations),
        keeps_own_changes=any(notices_own_changes(behavior) for behavior in operations),
        digest=_digest(behaviors),
    )


def _route(behavior: Behavior, trigger: str) -> str:
    word = trigger.removeprefix("child.")
    if behavior.layer == "operation" and behavior.per == "process" and word in STEPS:
        return f"child.eager.{word}" if word != trigger else f"eager.{word}"
    return trigger


def _wants_connections(behavior: Behavior) -> bool:
    words = {trigger.removeprefix("child.") for trigger in behavior.triggers}
    return bool(words & {"send", "recv"}) or (behavior.per == "connection" and "close" in words)


def _layer(behaviors: tuple[Behavior, ...], first: int, sources: dict[str, tuple[str, ...]]) -> Layer:
    ordered = sorted(behaviors, key=lambda behavior: behavior.name)
    tables = tuple(_table(number, behavior, sources) for number, behavior in enumerate(ordered, first))
    fields = sorted({condition.field for behavior in ordered for condition in behavior.match})
    routes = frozenset(_route(table.behavior, trigger) for table in tables for trigger in table.triggers)
    return Layer(tables, routes, tuple(fields))


def _table(number: int, behavior: Behavior, sources: dict[str, tuple[str, ...]]) -> Table:
    states = behavior.states
    triggers = behavior.triggers
    waiting = dict(behavior.timeouts)
    return Table(
        number=number,
        behavior=behavior,
        states=states,
        triggers={trigger: index for index, trigger in enumerate(triggers)},
        per=behavior.per,
        moves=tuple(tuple(_moves(behavior, state, trigger, sources) for trigger in triggers) for state in states),
        timeouts=tuple(waiting.get(state, 0) for state in states),
        match=tuple(predicate(condition) for condition in behavior.match),
        signature=(behavior.name, behavior.layer, behavior.severity, behavior.attack),
        lasting=behavior.lasting,
        stays=any(transition.dest for transition in behavior.transitions),
    )


def _moves(behavior: Behavior, state: str, trigger: str, sources: dict[str, tuple[str, ...]]) -> tuple[Move, ...]:
    found = []
    for transition in behavior.transitions:
        if trigger not in transition.triggers or state not in transition.sources:
            continue
        emit = transition.emit
        made: Template = ()
        if emit:
            words = sources.get(trigger.removeprefix("child."), ())
            made = default_object(words, behavior.per) if emit.object is None else emit.object
        found.append(
            Move(
                predicates=tuple(predicate(condition) for condition in transition.conditions),
                dest=behavior.states.index(transition.dest) if transition.dest else 0,
                saves=tuple((name, FIELDS[source].get) for name, source in transition.saves),
                verb=emit.verb if emit else "",
                object=_object(made),
                plain=_plain(transition),
            )
        )
    return tuple(found)


def _plain(transition: Transition) -> bool:
    return all(
        condition.field in SHAPE and all(test.how != "saved" for test in condition.tests)
        for condition in transition.conditions
    )


def _object(template: Template) -> Object:
    return tuple(piece if isinstance(piece, str) else (piece[0], _getter(piece[0])) for piece in template)


def _getter(name: str) -> Callable[[Event], Any] | None:
    return FIELDS[name].get if name in FIELDS else None


def _digest(behaviors: BehaviorSet) -> str:
    """Of the model, so neither comments nor the folder count; examples do not either."""
    canonical = []
    for behavior in behaviors:
        data = asdict(behavior)
        for key in ("path", "line", "examples"):
            del data[key]
        for transition in data["transitions"]:
            del transition["line"], transition["column"]
        canonical.append(data)
    return hashlib.sha256(json.dumps(canonical, sort_keys=True).encode()).hexdigest()
