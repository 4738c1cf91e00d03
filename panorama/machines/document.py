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

from ..output.line import SEVERITIES
from ..reading.fields import Reading
from ..reading.nodes import Node, shortened
from ..vocabulary import LAYERS, SCOPES
from .clauses import condition, duration
from .model import Behavior, Condition, Example
from .transition import Alphabet, Scope, collect_saved, state_names, transitions

__all__ = ["KEYS", "PROCESS_FIELDS", "behavior"]

KEYS = (
    *("behavior", "summary", "layer", "per", "match", "enabled", "attack", "severity"),
    *("initial", "states", "transitions", "examples"),
)
PROCESS_FIELDS = ("command", "exe", "user", "uid", "euid", "login_uid", "container")

_ATTACK = re.compile(r"T\d{4}(\.\d{3})?\Z", re.ASCII)


def behavior(
    reading: Reading, node: Node, stem: str, alphabet: Alphabet, switched: bool | None = None
) -> Behavior | None:
    """The behavior as far as it can be read; whether it can be used is told by the problems.

    `switched` says instead of the document whether it is enabled.
    """
    if not isinstance(node.value, dict):
        reading.wrong(node, f"a behavior is a mapping, not {node.kind}")
        return None
    reading.keys(node, KEYS, ("behavior", "summary", "layer", "per", "initial", "transitions"))
    name = reading.word(node, "behavior")
    if name and name != stem:
        reading.wrong(node.value["behavior"], f"behavior '{shortened(name)}' in a file named '{shortened(stem)}.yaml'")
    layer = reading.choice(node, "layer", LAYERS, "operation")
    per = reading.choice(node, "per", SCOPES, "process")
    severity = reading.choice(node, "severity", SEVERITIES, "notice" if layer == "activity" else "info")
    if layer == "activity" and SEVERITIES.index(severity) > SEVERITIES.index("notice"):
        reading.wrong(node.value["severity"], f"an activity cannot be of severity '{severity}'", "notice is the least")
    collect_saved(reading, node)
    timeouts, declared = _states(reading, node)
    initial = reading.word(node, "initial")
    names = state_names(reading, node, initial, declared)
    enabled = reading.flag(node, "enabled", True)
    scope = Scope(layer, per, names, alphabet, enabled if switched is None else switched)
    return Behavior(
        name=name or stem,
        summary=reading.text(node, "summary"),
        layer=layer,
        per=per,
        initial=initial,
        transitions=transitions(reading, node, scope),
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


def _attack(reading: Reading, node: Node) -> tuple[str, ...]:
    found = reading.words(node.value["attack"], "technique") if "attack" in node.value else []
    for item in found:
        if not _ATTACK.match(item.text):
            reading.wrong(item, f"'{shortened(item.text)}' is no ATT&CK technique", "they look like T1560 or T1560.001")
    return tuple(item.text for item in found)


def _match(reading: Reading, node: Node) -> tuple[Condition, ...]:
    found = []
    plain = Reading(reading.path, reading.problems)  # nothing is saved yet
    for key, value in reading.entries(node, "match"):
        if key.text not in PROCESS_FIELDS:
            reading.unknown(key, "field of a process", PROCESS_FIELDS)
        elif read := condition(plain, key, value):
            found.append(read)
    return tuple(found)


def _states(reading: Reading, node: Node) -> tuple[tuple[tuple[str, int], ...], tuple[str, ...]]:
    """The timeouts, and all states that are named under `states`."""
    value = node.value.get("states")
    if value is not None and isinstance(value.value, list):
        return (), tuple(item.text for item in reading.words(value, "state"))
    timeouts = []
    for key, entry in reading.entries(node, "states"):
        if entry.value is None:
            continue
        if not isinstance(entry.value, dict):
            reading.wrong(entry, f"a state cannot be {entry.kind}", "it takes {timeout: 30s} or {}")
            continue
        reading.keys(entry, ("timeout",), ())
        wait = duration(reading, entry.value["timeout"]) if "timeout" in entry.value else None
        if wait is not None:
            timeouts.append((key.text, wait))
    return tuple(timeouts), tuple(key.text for key, _ in reading.quiet().entries(node, "states"))


def _examples(reading: Reading, node: Node) -> tuple[Example, ...]:
    found = []
    for item in reading.mappings(node, "examples", "an example"):
        reading.keys(item, ("run", "lines", "not"), ("run",))
        lines, without = (
            tuple(line.text for line in reading.words(item.value[key], "line")) if key in item.value else ()
            for key in ("lines", "not")
        )
        found.append(Example(reading.text(item, "run"), lines, without))
    return tuple(found)
