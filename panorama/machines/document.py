# SPDX-License-Identifier: Apache-2.0
"""One YAML document as one Behavior: keys, states, triggers. Knows no files and no other behavior.

The keys of a behavior:

    behavior     its name, the file's name without .yaml
    summary      one sentence: what a line of it says
    layer        operation (triggers are syscall families) or activity (triggers are verbs of operations, and exec and
                 exit, of processes)
    per          one machine for each: process, file (of a process) or connection (of a process); in the activity layer
                 also path: a file's path, whichever process uses it
    match        which processes: conditions on command, exe, user, uid, euid, login_uid or container; omit for all
    depth        how many generations down the children are whose events `child.` means; 1 is own children, default 8
    hold         false: under `log: activities` what its machines take is written at once all the same, since they may
                 wait for long
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
                 nearest living ancestor with a machine of the behavior, else that matches, is the machine's process
    source       one state, a list, or "*" for all states
    dest         the next state; without it the machine ends: it is back in its initial state, and forgotten
    conditions   {field: value or list of values}: all fields must hold, each by any of its values
    anew         true: the machine begins anew with this event; what it took and saved before is given up
    save         {name: field}: at most four names in a behavior; a bare name as a condition means the saved value, and
                 the name can stand for a field in conditions
    gather       {name: field}: adds the value to a list, if it is not there yet; at most two names. In conditions its
                 count is compared ({members: ">=20"}); in emit {members} is the names of the first three,
                 {members.paths} their paths, {members.top} those that are below no other, {members.count} the count
    login        the field with the address from which somebody logged in: the `origin` of the process from now on, and
                 of the processes that it makes later
    emit         a verb, or a verb and an object: text with {field} or {saved name}; {field.path} is the whole path.
                 An activity's machine that goes on after its line begins to take and gather anew; what it saved stays

An activity's machine per process that has no transition for `exec` in its state gets `exit` when its process executes
another program: for the one before that is the end.

`timeout` is the trigger of a state with a timeout, counted from the last transition into it (also from itself); it
has the fields of the last event that the machine took. An activity's machine that is in a state with a transition
{trigger: exit, emit: ...} without conditions, and can leave it only into such states or with a line, is sure to tell:
it also does when Panorama stops or there are too many machines, and need not keep all that it took until then.
"""

from __future__ import annotations

import re

from ..output.line import SEVERITIES
from ..reading.fields import Reading
from ..reading.nodes import Node, shortened
from ..vocabulary import LAYERS, SCOPES
from .clauses import condition, duration
from .model import DEPTH, Behavior, Condition, Example
from .transition import Alphabet, Scope, collect_saved, state_names, transitions

__all__ = ["KEYS", "MOST_DEPTH", "PROCESS_FIELDS", "behavior"]

KEYS = (
    *("behavior", "summary", "layer", "per", "match", "depth", "hold", "enabled", "attack", "severity"),
    *("initial", "states", "transitions", "examples"),
)
PROCESS_FIELDS = ("command", "exe", "user", "uid", "euid", "login_uid", "container")

MOST_DEPTH = 32

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
    if (layer, per) == ("operation", "path"):
        reading.wrong(node.value["per"], "an operation cannot be per path", "it is of one process: per file")
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
        depth=_depth(reading, node),
        holds=reading.flag(node, "hold", True),
        enabled=scope.enabled,
        attack=_attack(reading, node),
        severity=severity,
        timeouts=timeouts,
        declared=declared,
        examples=_examples(reading, node),
        path=reading.path,
        line=node.line,
    )


def _depth(reading: Reading, node: Node) -> int:
    value = node.value.get("depth")
    if value is None or (type(value.value) is int and 1 <= value.value <= MOST_DEPTH):
        return DEPTH if value is None else int(value.value)
    reading.wrong(value, f"'depth' cannot be {value.kind}", f"it takes a number from 1 to {MOST_DEPTH}")
    return DEPTH


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
