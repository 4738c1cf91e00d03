# SPDX-License-Identifier: Apache-2.0
"""The transitions of a behavior, checked against what they name: states, saved values, triggers, verbs.

The keys and their meaning are told in document.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..reading.fields import WORD, Reading, suggestion
from ..reading.nodes import Node, shortened
from ..vocabulary import FIELDS, LIFE, TRIGGERS
from .clauses import condition, emit
from .model import GATHERED, Transition

__all__ = [
    "MOST_GATHERED",
    "MOST_SAVED",
    "TRANSITION_KEYS",
    "Alphabet",
    "Scope",
    "collect_saved",
    "state_names",
    "transitions",
]

TRANSITION_KEYS = ("trigger", "source", "dest", "conditions", "anew", "save", "gather", "login", "emit")
MOST_SAVED = 4
MOST_GATHERED = 2

_NAME = re.compile(r"[a-z_][a-z0-9_]*\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Alphabet:
    """The triggers of the activity layer: each verb with the syscall triggers that emit it.

    `off` are the verbs that only behaviors which are switched off would emit, with the name of one. An alphabet that
    is not complete, because an operation could not be read, calls no verb unknown.
    """

    verbs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    off: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Scope:
    """What the transitions of one behavior are checked against."""

    layer: str
    per: str
    states: tuple[str, ...]
    alphabet: Alphabet
    enabled: bool


def collect_saved(reading: Reading, node: Node) -> None:
    """Fills reading.saved before any condition is read, since a later transition may save what an earlier compares."""
    counts = {"saved": 0, "gathered": 0}
    for item in reading.quiet().mappings(node, "transitions", ""):
        for word, doing, most in (("save", "saved", MOST_SAVED), ("gather", "gathered", MOST_GATHERED)):
            for key, value in reading.quiet().entries(item, word):
                before = len(reading.saved)
                _collect(reading, key, value, doing)
                counts[doing] += len(reading.saved) - before
                if len(reading.saved) > before and counts[doing] == most + 1:
                    reading.wrong(key, f"'{key.text}' is one {doing} value too many", f"there can be {most}")


def _collect(reading: Reading, key: Node, value: Node, doing: str) -> None:
    gathered = doing == "gathered"
    if not _NAME.match(key.text) or key.text in FIELDS:
        taken = "is the name of a field" if key.text in FIELDS else "is no name"
        reading.wrong(key, f"nothing can be {doing} as '{shortened(key.text)}', which {taken}")
    elif isinstance(value.value, dict | list) or value.text not in FIELDS or FIELDS[value.text].kind == "paths":
        if isinstance(value.value, dict | list) or value.value is None:
            reading.wrong(value, f"a field cannot be {value.kind}")
        else:
            reading.unknown(value, "field", [name for name, known in FIELDS.items() if known.kind != "paths"])
        reading.saved.setdefault(key.text, GATHERED if gathered else "text")
    else:
        kind = GATHERED if gathered else FIELDS[value.text].kind
        known = reading.saved.setdefault(key.text, kind)
        if known != kind:
            reading.wrong(key, f"'{key.text}' is saved as a {known} and a {kind}", "give them two names")


def state_names(reading: Reading, node: Node, initial: str, declared: tuple[str, ...]) -> tuple[str, ...]:
    """All states there are: the initial one, every dest, and those under `states`."""
    names = [initial]
    for item in reading.quiet().mappings(node, "transitions", ""):
        names.append(reading.quiet().text(item, "dest"))
    for text in declared:
        if not WORD.match(text):
            place = node.value["states"]
            reading.wrong(place, f"a state cannot be '{shortened(text)}'", "it takes a word of a-z 0-9 _ -")
    return tuple(dict.fromkeys(name for name in [*names, *declared] if name))


def transitions(reading: Reading, node: Node, scope: Scope) -> tuple[Transition, ...]:
    found = []
    for item in reading.mappings(node, "transitions", "a transition"):
        reading.keys(item, TRANSITION_KEYS, ("trigger", "source"))
        conditions = [condition(reading, key, value) for key, value in reading.entries(item, "conditions")]
        saves, gathers = reading.entries(item, "save"), reading.entries(item, "gather")
        found.append(
            Transition(
                triggers=_triggers(reading, item, scope),
                sources=_sources(reading, item, scope.states),
                dest=reading.word(item, "dest") or None,
                conditions=tuple(read for read in conditions if read is not None),
                saves=tuple((key.text, value.text) for key, value in saves if value.text in FIELDS),
                gathers=tuple((key.text, value.text) for key, value in gathers if value.text in FIELDS),
                anew=reading.flag(item, "anew", False),
                login=_login(reading, item),
                emit=emit(reading, item.value["emit"]) if "emit" in item.value else None,
                line=item.line,
                column=item.column,
            )
        )
    return tuple(found)


def _login(reading: Reading, item: Node) -> str:
    field = reading.text(item, "login")
    if field and (field not in FIELDS or FIELDS[field].kind != "address"):
        addresses = [name for name, known in FIELDS.items() if known.kind == "address"]
        reading.unknown(item.value["login"], "address", addresses)
    return field


def _triggers(reading: Reading, item: Node, scope: Scope) -> tuple[str, ...]:
    found = reading.words(item.value["trigger"], "trigger") if "trigger" in item.value else []
    for trigger in found:
        _check_trigger(reading, trigger, scope)
    return tuple(dict.fromkeys(trigger.text for trigger in found))


def _check_trigger(reading: Reading, trigger: Node, scope: Scope) -> None:
    word = trigger.text.removeprefix("child.")
    if word != trigger.text:
        if scope.per != "process":
            reading.wrong(trigger, f"'{shortened(trigger.text)}' cannot move a machine per {scope.per}")
        if word == "timeout":
            reading.wrong(trigger, "a child's timeout is no trigger")
            return
    if scope.layer == "operation":
        known: Mapping[str, tuple[str, ...]] = {name: (name,) for name in TRIGGERS}
    else:
        known = {word: (word,) for word in LIFE} | dict(scope.alphabet.verbs) | {"timeout": ()}
    if word in known:
        moves = any(_has(name.removeprefix("child."), scope.per) for name in known[word])
        if not moves and word != "timeout":
            reading.wrong(trigger, f"'{word}' has no {scope.per}: it cannot move a machine per {scope.per}")
    elif scope.layer == "operation":
        reading.unknown(trigger, "trigger", known)
    elif word in scope.alphabet.off:
        if scope.enabled:
            source = scope.alphabet.off[word]
            reading.wrong(trigger, f"the verb '{word}' comes only from '{source}', which is not enabled")
    elif scope.alphabet.complete:
        what = f"no operation emits the verb '{shortened(word)}'"
        reading.wrong(trigger, what, suggestion(word, known))


def _has(trigger: str, per: str) -> bool:
    """Whether an event of the trigger has what there are machines for. The path of an exec is the program's."""
    if per == "path":
        return TRIGGERS[trigger].file or trigger == "exec"
    return per == "process" or bool(getattr(TRIGGERS[trigger], per))


def _sources(reading: Reading, item: Node, names: tuple[str, ...]) -> tuple[str, ...]:
    found = reading.words(item.value["source"], "state") if "source" in item.value else []
    if any(source.text == "*" for source in found):
        if len(found) > 1:
            reading.wrong(item.value["source"], "'*' is every state already", "name no others beside it")
        return names
    for source in found:
        if source.text not in names:
            reading.unknown(source, "state", names)
    return tuple(dict.fromkeys(source.text for source in found))
