# SPDX-License-Identifier: Apache-2.0
"""Behaviors to tables: states and triggers are small integers, conditions are bound functions, indexed by trigger.

A Program is immutable and holds no machine: any number of engines can run it. State 0 is always the initial one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..event import Event, Process
from ..vocabulary import FIELDS, LIFE, SESSION_TRIGGERS, TRIGGERS
from .gathering import Gathering
from .model import Behavior, BehaviorSet, Template, Transition, default_object
from .predicates import Predicate, predicate
from .starters import Key, Starters, keys_of
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

# an emit template: literal text; a name with what gets it, and whether from the machine's saved values or the event
Object = tuple[str | tuple[str, Callable[[Any], Any], bool], ...]


@dataclass(frozen=True, slots=True)
class Move:
    """One transition of one trigger from one state. `saves` has names and getters; `dest` 0 ends the machine."""

    predicates: tuple[Predicate, ...]
    dest: int
    saves: tuple[tuple[str, Callable[[Event], Any]], ...]
    gathers: tuple[tuple[str, Callable[[Event], Any]], ...]
    anew: bool
    login: Callable[[Event], Any] | None
    verb: str  # "" writes no line
    object: Object
    plain: bool  # its conditions ask for nothing but the event's shape, and nothing is kept of it
    transition: Transition  # what it was made of


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One behavior: `moves[state][trigger]` are the candidates in file order, `triggers` the trigger numbers."""

    number: int  # its place among all behaviors, operations first, by name: the order of lines
    behavior: Behavior
    states: tuple[str, ...]
    triggers: dict[str, int]
    routes: dict[str, int]  # the same by route, see Layer
    per: str
    moves: tuple[tuple[tuple[Move, ...], ...], ...]
    timeouts: tuple[int, ...]  # ns by state, 0 for none
    match: tuple[Predicate, ...]
    signature: tuple[str, str, str, tuple[str, ...]]  # what its lines say of it: name, layer, severity, attack
    lasting: bool  # Behavior.lasting
    stays: bool  # whether some transition leads to another state than the first
    anyones: bool  # its machines are of no process: per path
    holds: bool  # what its machines take is held back until it is known what becomes of it
    sure: tuple[bool, ...]  # by state: the machine will write a line, or does when it has to go
    filed: tuple[set[Key] | None, ...]  # by trigger: under what an event is found that may start it, see starters.py


Listener = tuple[Table, int]  # and the number that the table has for the trigger


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The behaviors that match one process: by route, all that listen, also by their numbers, and what it may start."""

    listeners: dict[str, tuple[Listener, ...]]
    numbered: dict[str, dict[int, Listener]]
    starters: dict[str, Starters]


@dataclass(frozen=True, slots=True)
class Layer:
    """The behaviors of one layer in the order of their names, and what they listen to and match on.

    A route is a trigger, `child.` included. In the operation layer the steps of a session go two ways: `read` to the
    machines of files and connections when the session is reported, `eager.read` to those of processes at once.
    """

    tables: tuple[Table, ...]
    routes: frozenset[str]
    match_fields: tuple[str, ...]

    def moves(self) -> Iterator[Move]:
        """Those of all tables."""
        return (move for table in self.tables for state in table.moves for trigger in state for move in trigger)

    def matching(self, process: Process) -> tuple[Table, ...]:
        """The behaviors that match; asked once for each different process."""
        event = Event((), 0, process, {})
        return tuple([table for table in self.tables if all(holds(event, {}) for holds in table.match)])

    def selection(self, tables: Iterable[Table]) -> Selection:
        """Of those; asked once for each different set of them, so it may take its time."""
        numbered: dict[str, dict[int, Listener]] = {}
        for table in tables:
            for way, number in table.routes.items():
                numbered.setdefault(way, {})[table.number] = (table, number)
        listeners = {way: tuple(found.values()) for way, found in numbered.items()}
        starting = {way: [each for each in found if each[0].moves[0][each[1]]] for way, found in listeners.items()}
        return Selection(listeners, numbered, {way: Starters(found) for way, found in starting.items() if found})


@dataclass(frozen=True, slots=True)
class Program:
    """What an engine runs, and what it needs of the sensor."""

    behaviors: BehaviorSet
    operations: Layer
    activities: Layer
    triggers: frozenset[str]  # syscall families to sense
    eager: frozenset[str]  # steps of sessions to report singly as well, as machines follow the whole process
    connections: bool  # what connections send and receive is wanted, or their end
    follows_children: bool  # some trigger is a child's, or what a process belongs to goes to its children
    asks_for_ancestors: bool  # some condition is on what ancestors run
    keeps_untouched: bool  # sessions that were opened and closed, and nothing else, make a difference
    keeps_own_changes: bool  # so do mode and owner that a process sets of a file it has made and still has open
    digest: str  # sha256 of what the behaviors say, hexadecimal


def compile_behaviors(behaviors: BehaviorSet) -> Program:
    """The program of all behaviors that are switched on."""
    operations = behaviors.enabled("operation")
    activities = behaviors.enabled("activity")
    verbs = {word: (word,) for word in LIFE} | behaviors.verbs()
    first = _layer(operations, 0, {name: (name,) for name in TRIGGERS})
    second = _layer(activities, len(operations), verbs)
    words = {trigger for behavior in operations for trigger in behavior.triggers}
    words |= {
        trigger for behavior in activities for trigger in behavior.triggers if trigger.removeprefix("child.") in LIFE
    }
    plain = {trigger.removeprefix("child.") for trigger in words} - {"timeout"}
    logins = any(transition.login for behavior in behaviors if behavior.enabled for transition in behavior.transitions)
    follows = logins or any(way.startswith("child.") for way in first.routes | second.routes)
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
        asks_for_ancestors=any(_asks(behavior, "ancestor") for behavior in (*operations, *activities)),
        keeps_untouched="close" in singles or any(notices_untouched(behavior) for behavior in operations),
        keeps_own_changes=any(notices_own_changes(behavior) for behavior in operations),
        digest=_digest(behaviors),
    )


def _route(behavior: Behavior, trigger: str) -> str:
    word = trigger.removeprefix("child.")
    if behavior.layer == "operation" and behavior.per == "process" and word in STEPS:
        return f"child.eager.{word}" if word != trigger else f"eager.{word}"
    return trigger


def _asks(behavior: Behavior, field: str) -> bool:
    return any(condition.field == field for each in behavior.transitions for condition in each.conditions)


def _wants_connections(behavior: Behavior) -> bool:
    words = {trigger.removeprefix("child.") for trigger in behavior.triggers}
    return bool(words & {"send", "recv"}) or (behavior.per == "connection" and "close" in words)


def _layer(behaviors: tuple[Behavior, ...], first: int, sources: dict[str, tuple[str, ...]]) -> Layer:
    ordered = sorted(behaviors, key=lambda behavior: behavior.name)
    tables = tuple(_table(number, behavior, sources) for number, behavior in enumerate(ordered, first))
    fields = sorted({condition.field for behavior in ordered for condition in behavior.match})
    routes = frozenset(way for table in tables for way in table.routes)
    return Layer(tables, routes, tuple(fields))


def _table(number: int, behavior: Behavior, sources: dict[str, tuple[str, ...]]) -> Table:
    states = behavior.states
    triggers = behavior.triggers
    waiting = dict(behavior.timeouts)
    moves = tuple(tuple(_moves(behavior, state, trigger, sources) for trigger in triggers) for state in states)
    return Table(
        number=number,
        behavior=behavior,
        states=states,
        triggers={trigger: index for index, trigger in enumerate(triggers)},
        routes={_route(behavior, trigger): index for index, trigger in enumerate(triggers)},
        per=behavior.per,
        moves=moves,
        timeouts=tuple(waiting.get(state, 0) for state in states),
        match=tuple(predicate(condition) for condition in behavior.match),
        signature=(behavior.name, behavior.layer, behavior.severity, behavior.attack),
        lasting=behavior.lasting,
        stays=any(transition.dest for transition in behavior.transitions),
        anyones=behavior.per == "path",
        holds=behavior.holds,
        sure=_sure(behavior),
        filed=tuple(keys_of(candidates) for candidates in moves[0]),
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
                gathers=tuple((name, FIELDS[source].get) for name, source in transition.gathers),
                anew=transition.anew,
                login=FIELDS[transition.login].get if transition.login else None,
                verb=emit.verb if emit else "",
                object=_object(made),
                plain=_plain(transition),
                transition=transition,
            )
        )
    return tuple(found)


def _plain(transition: Transition) -> bool:
    if transition.saves or transition.gathers or transition.login or transition.anew:
        return False
    return all(
        condition.field in SHAPE and all(test.how != "saved" for test in condition.tests)
        for condition in transition.conditions
    )


def _object(template: Template) -> Object:
    return tuple(piece if isinstance(piece, str) else _piece(piece[0]) for piece in template)


def _sure(behavior: Behavior) -> tuple[bool, ...]:
    """The states of an activity from which every way leads to a line: the end of the process is one."""
    said = {
        source
        for transition in behavior.transitions
        if behavior.layer == "activity"
        and transition.emit
        and "exit" in transition.triggers
        and not transition.conditions
        for source in transition.sources
    } - {behavior.initial}
    while True:
        astray = {
            source
            for transition in behavior.transitions
            if not transition.emit and (transition.dest or behavior.initial) not in said
            for source in transition.sources
        }
        if not said & astray:
            return tuple(state in said for state in behavior.states)
        said -= astray


def _piece(name: str) -> tuple[str, Callable[[Any], Any], bool]:
    """What a name in an emit stands for; `path` and `paths` are the same, written in another way."""
    whole, _, aspect = name.partition(".")
    if aspect == "count":
        return (name, lambda saved: found.count if (found := saved.get(whole)) else 0, True)
    if aspect == "top":
        return (name, lambda saved: found.top if (found := saved.get(whole)) else None, True)
    if whole in FIELDS:
        return (name, FIELDS[whole].get, False)
    return (name, lambda saved: value.gathered if isinstance(value := saved.get(whole), Gathering) else value, True)


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
