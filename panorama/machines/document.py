# SPDX-License-Identifier: Apache-2.0
"""One YAML document as one Behavior: keys, states, triggers. Knows no files and no other behavior.

The keys of a behavior:

    behavior     its name, the file's name without .yaml
    summary      one sentence: what a line of it says
    layer        operation (triggers are syscall families) or activity (triggers are verbs of operations)
    per          one machine for each: process, file (of a process) or connection (of a process)
    match        which processes: conditions on command, exe, user, uid, euid, login_uid or container; omit for all
    enabled      false: shipped, but off
    attack       ATT&CK technique ids
    severity     syslog's word; info is the default of operations, notice of activities, which are never below it
    initial      the state of every machine that has seen nothing
    states       only for what transitions do not say: {state: {timeout: 30s}}, or {state: {}} for one that
                 machines stay in until their process ends; also a list of names
    transitions  a list; the first whose trigger, source and conditions fit is taken
    examples     a list of {run: commands, lines: [line ...], not: [line ...]}

The keys of a transition:

    trigger      one or a list; `child.` before it: of a child process, which is to say of the descendants whose
                 nearest matching ancestor the machine's process is
    source       one state, a list, or "*" for all states
    dest         the next state; without it the machine ends: it is back in its initial state, and forgotten
    conditions   {field: value or list of values}: all fields must hold, each by any of its values
    save         {name: field}: at most four names in a behavior; a bare name as a condition means the saved value
    emit         a verb, or a verb and an object: text with {field} or {saved name}

`timeout` is the trigger of a state with a timeout, counted from the last transition into it (also from itself); it
has the fields of the last event that the machine took.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..output.line import SEVERITIES
from ..vocabulary import FIELDS, LAYERS, SCOPES, TRIGGERS
from .clauses import WORD, Reading, condition, duration, emit, suggestion, words
from .model import Behavior, Condition, Example, Transition
from .reader import Node, shortened

__all__ = ["KEYS", "MOST_SAVED", "PROCESS_FIELDS", "TRANSITION_KEYS", "Alphabet", "behavior"]

KEYS = (
    *("behavior", "summary", "layer", "per", "match", "enabled", "attack", "severity"),
    *("initial", "states", "transitions", "examples"),
)
TRANSITION_KEYS = ("trigger", "source", "dest", "conditions", "save", "emit")
PROCESS_FIELDS = ("command", "exe", "user", "uid", "euid", "login_uid", "container")
MOST_SAVED = 4

_NAME = re.compile(r"[a-z_][a-z0-9_]*\Z", re.ASCII)
_ATTACK = re.compile(r"T\d{4}(\.\d{3})?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Alphabet:
    """The triggers of the activity layer: each verb with the syscall triggers that emit it.

    `off` are the verbs that only behaviors which are switched off would emit, with the name of one. An alphabet that
    is not complete, because an operation could not be read, calls no verb unknown.
    """

    verbs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    off: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True


def behavior(reading: Reading, node: Node, stem: str, alphabet: Alphabet) -> Behavior | None:
    """The behavior as far as it can be read; whether it can be used is told by the problems."""
    if not isinstance(node.value, dict):
        reading.wrong(node, f"a behavior is a mapping, not {node.kind}")
        return None
    _known_keys(reading, node, KEYS, ("behavior", "summary", "layer", "per", "initial", "transitions"))
    name = _word(reading, node, "behavior")
    if name and name != stem:
        reading.wrong(node.value["behavior"], f"behavior '{shortened(name)}' in a file named '{shortened(stem)}.yaml'")
    layer = _choice(reading, node, "layer", LAYERS, "operation")
    per = _choice(reading, node, "per", SCOPES, "process")
    severity = _choice(reading, node, "severity", SEVERITIES, "notice" if layer == "activity" else "info")
    if layer == "activity" and SEVERITIES.index(severity) > SEVERITIES.index("notice"):
        reading.wrong(node.value["severity"], f"an activity cannot be of severity '{severity}'", "notice is the least")
    _collect_saved(reading, node)
    timeouts, declared = _states(reading, node)
    initial = _word(reading, node, "initial")
    names = _state_names(reading, node, initial, declared)
    scope = _Scope(layer, per, names, alphabet, _enabled(reading, node))
    transitions = _transitions(reading, node, scope)
    return Behavior(
        name=name or stem,
        summary=_text(reading, node, "summary"),
        layer=layer,
        per=per,
        initial=initial,
        transitions=transitions,
        match=_match(reading, node),
        enabled=scope.enabled,
        attack=_attack(reading, node),
        severity=severity,
        timeouts=timeouts,
        declared=declared,
        examples=_examples(reading, node),
        path=reading.path,
        line=node.line,
    )


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the transitions of one behavior are checked against."""

    layer: str
    per: str
    states: tuple[str, ...]
    alphabet: Alphabet
    enabled: bool


def _known_keys(reading: Reading, node: Node, known: tuple[str, ...], needed: tuple[str, ...]) -> None:
    for text, key in node.keys.items():
        if text not in known:
            reading.unknown(key, "key", known)
    for text in needed:
        if text not in node.keys:
            reading.wrong(node, f"the key '{text}' is missing")


def _text(reading: Reading, node: Node, key: str) -> str:
    value = node.value.get(key)
    if value is None:
        return ""
    if isinstance(value.value, dict | list) or not value.text.strip():
        reading.wrong(value, f"'{key}' cannot be {value.kind}", "it takes text")
        return ""
    return str(value.text)


def _word(reading: Reading, node: Node, key: str) -> str:
    text = _text(reading, node, key)
    if text and not WORD.match(text):
        reading.wrong(node.value[key], f"'{key}' cannot be '{shortened(text)}'", "it takes a word of a-z 0-9 _ -")
    return text


def _choice(reading: Reading, node: Node, key: str, choices: tuple[str, ...], default: str) -> str:
    text = _text(reading, node, key)
    if text and text not in choices:
        reading.unknown(node.value[key], key, choices)
        return default
    return text or default


def _list(reading: Reading, node: Node, key: str) -> list[Node]:
    value = node.value.get(key)
    if value is None:
        return []
    if not isinstance(value.value, list):
        reading.wrong(value, f"'{key}' is a list, not {value.kind}")
        return []
    return list(value.value)


def _mapping(reading: Reading, node: Node, key: str) -> list[tuple[Node, Node]]:
    value = node.value.get(key)
    if value is None:
        return []
    if not isinstance(value.value, dict):
        reading.wrong(value, f"'{key}' is a mapping, not {value.kind}")
        return []
    return [(value.keys[text], entry) for text, entry in value.value.items()]


def _enabled(reading: Reading, node: Node) -> bool:
    value = node.value.get("enabled")
    if value is None or isinstance(value.value, bool):
        return value is None or bool(value.value)
    reading.wrong(value, f"'enabled' cannot be {value.kind}", "it takes true or false")
    return False


def _attack(reading: Reading, node: Node) -> tuple[str, ...]:
    found = words(reading, node.value["attack"], "technique") if "attack" in node.value else []
    for item in found:
        if not _ATTACK.match(item.text):
            reading.wrong(item, f"'{shortened(item.text)}' is no ATT&CK technique", "they look like T1560 or T1560.001")
    return tuple(item.text for item in found)


def _match(reading: Reading, node: Node) -> tuple[Condition, ...]:
    found = []
    plain = Reading(reading.path, reading.problems)  # nothing is saved yet
    for key, value in _mapping(reading, node, "match"):
        if key.text not in PROCESS_FIELDS:
            reading.unknown(key, "field of a process", PROCESS_FIELDS)
        elif read := condition(plain, key, value):
            found.append(read)
    return tuple(found)


def _states(reading: Reading, node: Node) -> tuple[tuple[tuple[str, int], ...], tuple[str, ...]]:
    """The timeouts, and all states that are named under `states`."""
    value = node.value.get("states")
    if value is not None and isinstance(value.value, list):
        return (), tuple(item.text for item in words(reading, value, "state"))
    timeouts = []
    for key, entry in _mapping(reading, node, "states"):
        if entry.value is None:
            continue
        if not isinstance(entry.value, dict):
            reading.wrong(entry, f"a state cannot be {entry.kind}", "it takes {timeout: 30s} or {}")
            continue
        _known_keys(reading, entry, ("timeout",), ())
        wait = duration(reading, entry.value["timeout"]) if "timeout" in entry.value else None
        if wait is not None:
            timeouts.append((key.text, wait))
    return tuple(timeouts), tuple(key.text for key, _ in _mapping(Reading("", []), node, "states"))


def _collect_saved(reading: Reading, node: Node) -> None:
    """Fills reading.saved before any condition is read, since a later transition may save what an earlier compares."""
    for item in _list(Reading("", []), node, "transitions"):
        for key, value in _mapping(Reading("", []), item, "save") if isinstance(item.value, dict) else ():
            if not _NAME.match(key.text) or key.text in FIELDS:
                taken = "is the name of a field" if key.text in FIELDS else "is no name"
                reading.wrong(key, f"nothing can be saved as '{shortened(key.text)}', which {taken}")
            elif isinstance(value.value, dict | list) or value.text not in FIELDS:
                if isinstance(value.value, dict | list) or value.value is None:
                    reading.wrong(value, f"a field cannot be {value.kind}")
                else:
                    reading.unknown(value, "field", FIELDS)
                reading.saved.setdefault(key.text, "text")
            elif reading.saved.setdefault(key.text, FIELDS[value.text].kind) != FIELDS[value.text].kind:
                kinds = f"a {reading.saved[key.text]} and a {FIELDS[value.text].kind}"
                reading.wrong(key, f"'{key.text}' is saved as {kinds}", "give them two names")
            elif len(reading.saved) == MOST_SAVED + 1 and list(reading.saved)[-1] == key.text:
                reading.wrong(key, f"'{key.text}' is one saved value too many", f"there can be {MOST_SAVED}")


def _state_names(reading: Reading, node: Node, initial: str, declared: tuple[str, ...]) -> tuple[str, ...]:
    """All states there are: the initial one, every dest, and those under `states`."""
    quiet = Reading("", [])
    names = [initial]
    for item in _list(quiet, node, "transitions"):
        if isinstance(item.value, dict) and "dest" in item.value:
            names.append(_text(quiet, item, "dest"))
    for text in declared:
        if not WORD.match(text):
            place = node.value["states"]
            reading.wrong(place, f"a state cannot be '{shortened(text)}'", "it takes a word of a-z 0-9 _ -")
    return tuple(dict.fromkeys(name for name in [*names, *declared] if name))


def _transitions(reading: Reading, node: Node, scope: _Scope) -> tuple[Transition, ...]:
    found = []
    for item in _list(reading, node, "transitions"):
        if not isinstance(item.value, dict):
            reading.wrong(item, f"a transition is a mapping, not {item.kind}")
            continue
        _known_keys(reading, item, TRANSITION_KEYS, ("trigger", "source"))
        conditions = [condition(reading, key, value) for key, value in _mapping(reading, item, "conditions")]
        saves = _mapping(reading, item, "save")
        found.append(
            Transition(
                triggers=_triggers(reading, item, scope),
                sources=_sources(reading, item, scope.states),
                dest=_word(reading, item, "dest") or None,
                conditions=tuple(read for read in conditions if read is not None),
                saves=tuple((key.text, value.text) for key, value in saves if value.text in FIELDS),
                emit=emit(reading, item.value["emit"]) if "emit" in item.value else None,
                line=item.line,
                column=item.column,
            )
        )
    return tuple(found)


def _triggers(reading: Reading, item: Node, scope: _Scope) -> tuple[str, ...]:
    found = words(reading, item.value["trigger"], "trigger") if "trigger" in item.value else []
    for trigger in found:
        _check_trigger(reading, trigger, scope)
    return tuple(dict.fromkeys(trigger.text for trigger in found))


def _check_trigger(reading: Reading, trigger: Node, scope: _Scope) -> None:
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
        known = {**scope.alphabet.verbs, "timeout": ()}
    if word in known:
        moves = any(getattr(TRIGGERS[name], scope.per) for name in known[word]) if scope.per != "process" else True
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


def _sources(reading: Reading, item: Node, names: tuple[str, ...]) -> tuple[str, ...]:
    found = words(reading, item.value["source"], "state") if "source" in item.value else []
    if any(source.text == "*" for source in found):
        if len(found) > 1:
            reading.wrong(item.value["source"], "'*' is every state already", "name no others beside it")
        return names
    for source in found:
        if source.text not in names:
            reading.unknown(source, "state", names)
    return tuple(dict.fromkeys(source.text for source in found))


def _examples(reading: Reading, node: Node) -> tuple[Example, ...]:
    found = []
    for item in _list(reading, node, "examples"):
        if not isinstance(item.value, dict):
            reading.wrong(item, f"an example is a mapping, not {item.kind}")
            continue
        _known_keys(reading, item, ("run", "lines", "not"), ("run",))
        lines, without = (
            tuple(line.text for line in words(reading, item.value[key], "line")) if key in item.value else ()
            for key in ("lines", "not")
        )
        found.append(Example(_text(reading, item, "run"), lines, without))
    return tuple(found)
