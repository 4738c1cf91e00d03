# SPDX-License-Identifier: Apache-2.0
"""A second opinion: the same behaviors, run slowly by the `transitions` library. For tests, never for endpoints.

It shares with the engine only the model, the vocabulary and Line, and keeps its own books in the most direct way there
is: every behavior is asked for every step, conditions are read from the model each time, every list is complete (no
limits), every timeout is looked for among all machines. Where the two disagree, one of them is wrong.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import transitions

from ..event import Address, Event, File, Held, Loss, Process, ProcessKey
from ..output.line import Line, Part
from ..vocabulary import FIELDS, SESSION_TRIGGERS
from .model import Behavior, BehaviorSet, Condition, Test, Transition, default_object

__all__ = ["Oracle", "matches_glob"]

_Sub = str | int | None


@dataclass(eq=False)
class _Run:
    """One machine; the library keeps its state in an attribute of its own, `state`."""

    behavior: Behavior
    owner: Process
    sub: _Sub
    saved: dict[str, Any] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    last: Event | None = None
    partial: bool = False
    due: int | None = None
    taken: Transition | None = None  # by the trigger that was just given to it


class Oracle:
    """Feed it what an Engine is fed: the lines must be the same."""

    def __init__(self, behaviors: BehaviorSet) -> None:
        self._behaviors = behaviors
        self._machines = {behavior.name: _machine(behavior) for behavior in behaviors if behavior.enabled}
        self._runs: list[_Run] = []
        self._seen: dict[ProcessKey, Process] = {}
        self._now = 0
        self._lines: list[Line] = []
        self._calls: list[tuple[Event, dict[str, int]]] = []  # every event ever fed
        self._told: set[int] = set()  # the id of every event in a line of an operation
        self._fed: list[Event] = []  # keeps ids unique
        self._losses: list[int] = []  # ns since boot
        self._held: set[tuple[ProcessKey, str]] = set()  # whose machines of which behaviors were denied records

    def feed(self, event: Event) -> list[Line]:
        """The lines of the timeouts before it, then its own."""
        self._wait(event.time)
        self._fed.append(event)
        self._seen[event.process.key] = event.process
        for trigger in event.triggers:
            self._step("operation", trigger, event, event, False)
        if "exit" in event.triggers:
            self._runs = [run for run in self._runs if run.owner.key != event.process.key]
            self._held = {(owner, name) for owner, name in self._held if owner != event.process.key}
        elif "rename" in event.triggers and event.file and event.to and event.file.path != event.to.path:
            mine = [r for r in self._runs if r.owner.key == event.process.key and r.behavior.per == "file"]
            self._runs = [r for r in self._runs if not (r in mine and r.sub == event.to.path)]
            for run in mine:
                if run.sub == event.file.path:
                    run.sub = event.to.path
        return self._written()

    def advance(self, time: int) -> list[Line]:
        """The lines of the timeouts until then."""
        self._wait(time)
        return self._written()

    def finish(self) -> list[Line]:
        """Forgets everything."""
        self._runs.clear()
        return self._written()

    def taint(self, missing: Loss | Held) -> None:
        """Marks everything that is under way; if it is known whose records are missing, what they would have moved."""
        if isinstance(missing, Held) and missing.process:
            process, denied = self._seen.get(missing.process.key, missing.process), set()
            for behavior in (*self._behaviors.enabled("operation"), *self._behaviors.enabled("activity")):
                denied.add((process.key, behavior.name))
                if any(trigger.startswith("child.") for trigger in behavior.triggers):
                    ancestor = self._ancestor(behavior, process)
                    denied |= {(ancestor.key, behavior.name)} if ancestor else set()
            for run in self._runs:
                run.partial = run.partial or (run.owner.key, run.behavior.name) in denied
            self._held |= denied
            return
        for run in self._runs:
            run.partial = True
        self._losses.append(missing.since_boot or 2**63)

    def sums(self) -> tuple[dict[str, int], dict[str, int]]:
        """Syscalls by trigger: received, and in lines."""
        received: dict[str, int] = {}
        in_lines: dict[str, int] = {}
        for event in self._fed:
            for trigger, count in event.calls.items():
                received[trigger] = received.get(trigger, 0) + count
                if id(event) in self._told:
                    in_lines[trigger] = in_lines.get(trigger, 0) + count
        return received, in_lines

    def _written(self) -> list[Line]:
        lines, self._lines = self._lines, []
        return lines

    def _wait(self, time: int) -> None:
        while True:
            due = [(run.due, self._rank(run.behavior), run.owner.key, str(run.sub)) for run in self._runs if run.due]
            first = min(due, default=None)
            if first is None or first[0] is None or first[0] > time:
                break
            run = next(r for r in self._runs if (r.due, self._rank(r.behavior), r.owner.key, str(r.sub)) == first)
            assert run.last is not None
            run.due = None
            self._now = max(self._now, first[0])
            event = replace(run.last, triggers=("timeout",), time=first[0], calls={}, eager=False)
            self._give(run, "timeout", event, None, False)
        self._now = max(self._now, time)

    def _rank(self, behavior: Behavior) -> tuple[bool, str]:
        return (behavior.layer == "activity", behavior.name)

    def _step(self, layer: str, trigger: str, event: Event, raw: Event, partial: bool) -> None:
        for behavior in sorted(self._behaviors.enabled(layer), key=lambda behavior: behavior.name):
            takers = []
            matches = all(_holds(condition, event, {}) for condition in behavior.match)
            meant = _meant_for(behavior, trigger, event)
            if meant and matches and trigger in behavior.triggers:
                takers.append((trigger, event.process))
            if meant and f"child.{trigger}" in behavior.triggers:
                ancestor = self._ancestor(behavior, event.process)
                if ancestor:
                    takers.append((f"child.{trigger}", ancestor))
            for word, owner in takers:
                sub = _sub(behavior, event)
                if sub == "":
                    continue
                run = self._find(behavior, owner, sub)
                self._give(run, word, event, raw, partial, owner)

    def _ancestor(self, behavior: Behavior, process: Process) -> Process | None:
        """The nearest one that matches, of at most eight; a parent never seen is known by number only."""
        for generation in range(8):
            if process.ppid == 0:
                return None
            key = (process.ppid, process.parent_start)
            if key not in self._seen and generation > 0:
                return None
            process = self._seen.get(key) or Process(pid=key[0], start=key[1])
            probe = Event((), 0, process, {})
            if all(_holds(condition, probe, {}) for condition in behavior.match):
                return process
        return None

    def _find(self, behavior: Behavior, owner: Process, sub: _Sub) -> _Run:
        for run in self._runs:
            if run.behavior is behavior and run.owner.key == owner.key and run.sub == sub:
                return run
        run = _Run(behavior, owner, sub)
        missed = any(owner.start < moment for moment in self._losses) or (owner.key, behavior.name) in self._held
        run.partial = behavior.lasting and missed
        self._machines[behavior.name].add_model(run)
        return run

    def _give(
        self, run: _Run, word: str, event: Event, raw: Event | None, partial: bool, owner: Process | None = None
    ) -> None:
        """Lets the library decide; then does what the transition that it took says."""
        run.taken = None
        before = _state(run)
        machine, name = self._machines[run.behavior.name], f"on {word}"
        if name in machine.get_triggers(f"in {before}"):  # the library warns of those that fit no state
            run.trigger(name, event=event)  # type: ignore[attr-defined]  # the library adds it
        taken = run.taken
        if taken is None:
            if run not in self._runs:
                self._machines[run.behavior.name].remove_model(run)
            return
        run.owner = owner or run.owner
        run.last = event
        run.partial = run.partial or partial
        run.path = run.path or [before]
        if raw is not None and not (run.events and run.events[-1] is raw):
            run.events.append(raw)
        for saved, source in taken.saves:
            run.saved[saved] = FIELDS[source].get(event)
        after = _state(run)
        ended = after == run.behavior.initial
        if not ended and run.path[-1] != after:
            run.path.append(after)
        wait = dict(run.behavior.timeouts).get(after)
        run.due = self._now + wait if wait and not ended else None
        if run not in self._runs:
            self._runs.append(run)
        if ended:
            self._runs.remove(run)
            self._machines[run.behavior.name].remove_model(run)
        if taken.emit:
            self._write(run, taken, word, event, raw)

    def _write(self, run: _Run, taken: Transition, word: str, event: Event, raw: Event | None) -> None:
        behavior = run.behavior
        assert taken.emit is not None
        template = taken.emit.object
        if template is None:
            plain = word.removeprefix("child.")
            words = (plain,) if behavior.layer == "operation" else self._behaviors.verbs().get(plain, ())
            template = default_object(words, behavior.per)
        parts: list[str | Part] = []
        for piece in template:
            if isinstance(piece, tuple):
                name = piece[0]
                value = FIELDS[name].get(event) if name in FIELDS else run.saved.get(name)
                parts.append(Part(name, value))
            else:
                parts.append(piece)
        line = Line(
            time=event.time,
            process=run.owner,
            verb=taken.emit.verb,
            object=tuple(parts),
            behavior=behavior.name,
            layer=behavior.layer,
            severity=behavior.severity,
            attack=behavior.attack,
            states=tuple(run.path),
            events=list(run.events),
            certainty="partial" if run.partial else "certain",
        )
        self._lines.append(line)
        if behavior.layer == "operation":
            self._told.update(id(each) for each in run.events)
            seen = replace(event, triggers=(line.verb,), process=run.owner, calls={}, eager=False)
            self._step("activity", line.verb, seen, raw or run.events[-1], run.partial)


def _state(run: _Run) -> str:
    return str(run.state).removeprefix("in ")  # type: ignore[attr-defined]  # the library adds it


def _machine(behavior: Behavior) -> transitions.Machine:
    """The behavior as the library's machine. Its words get a prefix, lest they meet Python attributes of the model."""
    machine = transitions.Machine(
        model=None,
        states=[f"in {state}" for state in behavior.states],
        initial=f"in {behavior.initial}",
        auto_transitions=False,
        ignore_invalid_triggers=True,
        send_event=True,
    )
    for transition in behavior.transitions:
        for trigger in transition.triggers:
            machine.add_transition(
                f"on {trigger}",
                [f"in {source}" for source in transition.sources],
                f"in {transition.dest or behavior.initial}",
                conditions=[_asker(transition)],
                before=[_noter(transition)],
            )
    return machine


def _asker(transition: Transition) -> Any:
    def holds(data: Any) -> bool:
        event, saved = data.kwargs["event"], data.model.saved
        return all(_holds(condition, event, saved) for condition in transition.conditions)

    return holds


def _noter(transition: Transition) -> Any:
    def note(data: Any) -> None:
        data.model.taken = transition

    return note


def _meant_for(behavior: Behavior, trigger: str, event: Event) -> bool:
    """Steps of sessions go singly to machines of processes, with the whole session to those of files, connections."""
    if behavior.layer == "activity" or trigger == "close" or trigger not in SESSION_TRIGGERS:
        return True
    return event.eager == (behavior.per == "process")


def _sub(behavior: Behavior, event: Event) -> _Sub:
    """What the machine is for besides the process; "" if the event has no such thing."""
    if behavior.per == "file":
        return event.file.path if event.file else ""
    if behavior.per == "connection":
        return event.session or ""
    return None


def _holds(condition: Condition, event: Event, saved: dict[str, Any]) -> bool:
    value = FIELDS[condition.field].get(event)
    if value is None:
        return False
    return any(_test(FIELDS[condition.field].kind, test, value, saved) for test in condition.tests)


def _test(kind: str, test: Test, value: Any, saved: dict[str, Any]) -> bool:
    if test.how == "saved":
        other = saved.get(str(test.value))
        if isinstance(value, File) or isinstance(other, File):
            value, other = getattr(value, "path", value), getattr(other, "path", other)
        return other is not None and bool(value == other)
    if isinstance(value, File):
        value = value.path
    if test.how == "prefix":
        return bool(value[: len(str(test.value))] == test.value)
    if test.how == "glob":
        pattern = str(test.value)
        if kind == "path":
            return _components(tuple(pattern.split("/")), tuple(value.split("/")))
        return matches_glob(pattern, value)
    if isinstance(value, Address):
        return _address(test, value)
    if test.how == "compare":
        number = int(str(test.value))
        order = (value > number) - (value < number)
        return order in {"<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1), "!=": (-1, 1)}[test.operator]
    return bool(value == test.value)


def _address(test: Test, value: Address) -> bool:
    if test.how == "network":
        host = _ip(value.host)
        network = ipaddress.ip_network(str(test.value))
        return host is not None and host.version == network.version and host in network
    assert isinstance(test.value, tuple)
    host_wanted, port = test.value
    if value.family == "unix" or host_wanted[0] in "/@":
        return bool(value.family == "unix" and value.host == host_wanted)
    wanted = _ip(host_wanted)
    return wanted is not None and _ip(value.host) == wanted and port in (-1, value.port)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


@cache
def _components(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        if len(pattern) == 1:
            return len(path) > 0 and path != ("",)
        return _components(pattern[1:], path) or (len(path) > 0 and _components(pattern, path[1:]))
    return len(path) > 0 and matches_glob(pattern[0], path[0]) and _components(pattern[1:], path[1:])


def matches_glob(pattern: str, text: str) -> bool:
    """Whether text matches a glob of * ? [...], decided by trying everything."""
    if not pattern:
        return not text
    head, rest = pattern[0], pattern[1:]
    if head == "*":
        return any(matches_glob(rest, text[at:]) for at in range(len(text) + 1))
    if not text:
        return False
    if head == "?":
        return matches_glob(rest, text[1:])
    if head == "[":
        inverted = rest[:1] in ("!", "^")
        inside = rest[1:] if inverted else rest
        end = inside.find("]", 1)
        if end > 0:
            member = _member(inside[:end], text[0])
            return member != inverted and matches_glob(inside[end + 1 :], text[1:])
    return head == text[0] and matches_glob(rest, text[1:])


def _member(members: str, character: str) -> bool:
    while members:
        if len(members) > 2 and members[1] == "-":
            if members[0] <= character <= members[2]:
                return True
            members = members[3:]
        else:
            if members[0] == character:
                return True
            members = members[1:]
    return False
