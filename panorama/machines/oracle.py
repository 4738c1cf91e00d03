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

from ..event import Address, Event, File, Held, Login, Loss, Process, ProcessKey
from ..output.line import Gathered, Line, Part
from ..vocabulary import FIELDS, LIFE, SESSION_TRIGGERS
from .model import GATHERED, Behavior, BehaviorSet, Condition, Test, Transition, default_object

__all__ = ["Oracle", "matches_glob"]

_Sub = str | int | None
_Raw = Event | Line | None  # what a machine keeps as evidence
_ANYONE = (0, 0)


@dataclass(eq=False)
class _Run:
    """One machine; the library keeps its state in an attribute of its own, `state`."""

    behavior: Behavior
    owner: Process
    sub: _Sub
    saved: dict[str, Any] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    operations: list[Line] = field(default_factory=list)
    lives: list[Event] = field(default_factory=list)  # execs and exits it took
    gathered: dict[str, list[Any]] = field(default_factory=dict)
    last: Event | None = None
    partial: bool = False
    due: int | None = None
    began: int = 0
    touched: int = 0  # when it last moved, in moves of all machines
    taken: Transition | None = None  # by the trigger that was just given to it


class _Logins:
    """Which login a process belongs to, found by going through all that was ever seen."""

    def __init__(self) -> None:
        self._of: dict[ProcessKey, tuple[Login | None, str]] = {}
        self._offered: dict[ProcessKey, tuple[Login | None, str]] = {}
        self._made: dict[tuple[ProcessKey, int], tuple[Login | None, str]] = {}
        self._peers: dict[ProcessKey, Address] = {}

    def see(self, event: Event) -> None:
        process = event.process
        parent = (process.ppid, process.parent_start)
        if process.key not in self._of:
            above = self._offered.get(parent) or self._of.get(parent, (None, ""))
            self._of[process.key] = self._made.pop((parent, process.pid), above)
        login, daemon = self._of[process.key]
        name = process.exe.split("/")[-1] or process.command
        other = not (daemon and name.startswith(daemon)) or process.login_uid == process.uid
        if login and not login.user and other:
            login = Login(login.remote, process.user)
            self._of[process.key] = (login, daemon)
        if "fork" in event.triggers:
            self._made[process.key, event.child] = self._offered.get(process.key) or self._of[process.key]
        elif "connect" in event.triggers and event.remote and event.remote.family in ("inet", "inet6"):
            self._peers[process.key] = event.remote
        event.login, event.peer = login, self._peers.get(process.key)

    def doubt(self, daemon: ProcessKey | None) -> None:
        """A login may be missing: whose the next children are is not known."""
        self._offered = {key: found for key, found in self._offered.items() if daemon is not None and key != daemon}
        self._made = {key: found for key, found in self._made.items() if daemon is not None and key[0] != daemon}

    def take(self, event: Event, remote: Address) -> None:
        process = event.process
        daemon = process.exe.split("/")[-1] or process.command
        if "exec" in event.triggers:
            self._offered.pop(process.key, None)
            self._of[process.key] = (Login(remote), daemon)
            event.login = Login(remote)
        else:
            self._offered[process.key] = (Login(remote), daemon)
            self._of[process.key] = (self._of[process.key][0], daemon)


class Oracle:
    """Feed it what an Engine is fed: the lines must be the same."""

    def __init__(self, behaviors: BehaviorSet) -> None:
        self._behaviors = behaviors
        self._machines = {behavior.name: _machine(behavior) for behavior in behaviors if behavior.enabled}
        self._runs: list[_Run] = []
        self._seen: dict[ProcessKey, Process] = {}
        self._parents: dict[ProcessKey, ProcessKey] = {}  # as it was when the process was first seen
        self._ended: set[ProcessKey] = set()
        self._logins = _Logins()
        self._now = 0
        self._moves = 0
        self._lines: list[Line] = []
        self._calls: list[tuple[Event, dict[str, int]]] = []  # every event ever fed
        self._told: set[int] = set()  # the id of every event in a line of an operation
        self._fed: list[Event] = []  # keeps ids unique
        self._life: Event | None = None  # the exec or exit that activities are being told of
        self._losses: list[int] = []  # ns since boot
        self._held: set[tuple[ProcessKey, str]] = set()  # whose machines of which behaviors were denied records

    def feed(self, event: Event) -> list[Line]:
        """The lines of the timeouts before it, then its own."""
        self._wait(event.time)
        self._fed.append(event)
        process = event.process
        self._parents.setdefault(process.key, (process.ppid, process.parent_start))
        self._seen[process.key] = process
        self._logins.see(event)
        for trigger in event.triggers:
            self._step("operation", trigger, event, event, False)
        verbs = {line.verb for line in self._lines if line.layer == "operation"}
        if event.triggers[0] in LIFE and event.triggers[0] not in self._behaviors.verbs():
            assert event.triggers[0] not in verbs
            self._live(event)
        if "exit" in event.triggers:
            self._ended.add(process.key)
            self._runs = [run for run in self._runs if run.behavior.per == "path" or run.owner.key != process.key]
            self._held = {(owner, name) for owner, name in self._held if owner != event.process.key}
        elif "rename" in event.triggers and event.file and event.to and event.file.path != event.to.path:
            mine = [r for r in self._runs if r.owner.key == event.process.key and r.behavior.per == "file"]
            mine += [r for r in self._runs if r.behavior.per == "path"]
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
        """Forgets everything; activities that are sure of their line write it before, those longest untouched first."""
        for run in sorted(self._runs, key=lambda run: run.touched):
            if run.behavior.layer == "activity" and run in self._runs and _sure(run.behavior, _state(run)):
                assert run.last is not None
                run.partial = True
                time = max(self._now, run.last.time)
                self._give(
                    run, "exit", replace(run.last, triggers=("exit",), time=time, calls={}, eager=False), None, False
                )
        self._runs.clear()
        return self._written()

    def taint(self, missing: Loss | Held) -> None:
        """Marks everything that is under way; if it is known whose records are missing, what they would have moved."""
        if isinstance(missing, Held) and missing.process:
            process, denied = self._seen.get(missing.process.key, missing.process), set()
            self._logins.doubt(process.key)
            for behavior in (*self._behaviors.enabled("operation"), *self._behaviors.enabled("activity")):
                denied.add((process.key if behavior.per != "path" else _ANYONE, behavior.name))
                if any(trigger.startswith("child.") for trigger in behavior.triggers):
                    ancestor = self._ancestor(behavior, process)
                    denied |= {(ancestor.key, behavior.name)} if ancestor else set()
            for run in self._runs:
                run.partial = run.partial or (_owner(run), run.behavior.name) in denied
            self._held |= denied
            return
        for run in self._runs:
            run.partial = True
        self._losses.append(missing.since_boot or 2**63)
        self._logins.doubt(None)

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
            due = [(run.due, self._rank(run.behavior), _owner(run), str(run.sub)) for run in self._runs if run.due]
            first = min(due, default=None)
            if first is None or first[0] is None or first[0] > time:
                break
            run = next(r for r in self._runs if (r.due, self._rank(r.behavior), _owner(r), str(r.sub)) == first)
            assert run.last is not None
            run.due = None
            self._now = max(self._now, first[0])
            event = replace(run.last, triggers=("timeout",), time=first[0], calls={}, eager=False)
            self._give(run, "timeout", event, None, False)
        self._now = max(self._now, time)

    def _live(self, event: Event) -> None:
        """An exec or exit that no operation tells of."""
        line = None
        if "exec" in event.triggers:
            self._replace(event)
            what = (Part("exe", event.process.exe or None),)
            line = Line(event.time, event.process, "exec", what, "exec", events=[event], login=event.login)
        self._life = event
        self._step("activity", event.triggers[0], event, line, False)
        self._life = None

    def _replace(self, event: Event) -> None:
        """The program before has ended, for machines that do not wait for an exec."""
        mine = [r for r in self._runs if r.owner.key == event.process.key and r.behavior.per == "process"]
        for run in sorted(mine, key=lambda run: run.began):
            waits = any("exec" in each.triggers and _state(run) in each.sources for each in run.behavior.transitions)
            if run.behavior.layer == "activity" and not waits:
                assert run.last is not None
                life, self._life = self._life, None
                ended = replace(run.last, triggers=("exit",), time=event.time, calls={}, eager=False)
                self._give(run, "exit", ended, None, False)
                self._life = life
                self._runs = [each for each in self._runs if each is not run]

    def _rank(self, behavior: Behavior) -> tuple[bool, str]:
        return (behavior.layer == "activity", behavior.name)

    def _step(self, layer: str, trigger: str, event: Event, raw: _Raw, partial: bool) -> None:
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
        """The nearest living one with a machine, else that matches; one never seen is known by its number only."""
        nearest = None
        for generation in range(max(each.depth for each in self._behaviors if each.enabled)):
            key = self._parents.get(process.key, (0, 0))
            if key[0] == 0:
                break
            process = self._seen.get(key) or Process(pid=key[0], start=key[1])
            probe = Event((), 0, process, {})
            if key in self._ended or not all(_holds(condition, probe, {}) for condition in behavior.match):
                continue
            if generation < behavior.depth:
                nearest = nearest or process
                if any(run.behavior is behavior and run.owner.key == key for run in self._runs):
                    return process
        return nearest

    def _find(self, behavior: Behavior, owner: Process, sub: _Sub) -> _Run:
        for run in self._runs:
            if run.behavior is behavior and run.sub == sub and (behavior.per == "path" or run.owner.key == owner.key):
                return run
        run = _Run(behavior, owner, sub)
        missed = any(owner.start < moment for moment in self._losses) or (_owner(run), behavior.name) in self._held
        missed = missed or (behavior.per == "path" and bool(self._losses))
        run.partial = behavior.lasting and missed
        self._machines[behavior.name].add_model(run)
        return run

    def _give(self, run: _Run, word: str, event: Event, raw: _Raw, partial: bool, owner: Process | None = None) -> None:
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
        if taken.anew and run in self._runs:
            run.path, run.events, run.operations, run.lives = [run.behavior.initial], [], [], []
            run.saved, run.gathered = {}, {}
        run.owner = owner or run.owner
        run.last = event
        run.partial = run.partial or partial
        run.path = run.path or [before]
        if isinstance(raw, Line):
            run.operations.append(raw)
        elif raw is not None and not (run.events and run.events[-1] is raw):
            run.events.append(raw)
        if self._life is not None and run.behavior.layer == "activity":
            run.lives.append(self._life)
        for saved, source in taken.saves:
            run.saved[saved] = FIELDS[source].get(event)
        for name, source in taken.gathers:
            run.saved[name] = _joined(run.gathered.setdefault(name, []), FIELDS[source].get(event))
        if taken.login and (remote := FIELDS[taken.login].get(event)) is not None:
            self._logins.take(event, remote)
        after = _state(run)
        ended = after == run.behavior.initial
        if not ended and run.path[-1] != after:
            run.path.append(after)
        wait = dict(run.behavior.timeouts).get(after)
        run.due = self._now + wait if wait and not ended else None
        if run not in self._runs:
            self._runs.append(run)
        self._moves += 1
        run.touched = self._moves
        run.began = run.began or self._moves
        if ended:
            self._runs.remove(run)
            self._machines[run.behavior.name].remove_model(run)
        if taken.emit:
            self._write(run, taken, word, event)

    def _write(self, run: _Run, taken: Transition, word: str, event: Event) -> None:
        behavior = run.behavior
        assert taken.emit is not None
        template = taken.emit.object
        if template is None:
            plain = word.removeprefix("child.")
            verbs = {word: (word,) for word in LIFE} | self._behaviors.verbs()
            words = (plain,) if behavior.layer == "operation" else verbs.get(plain, ())
            template = default_object(words, behavior.per)
        parts: list[str | Part] = []
        for piece in template:
            if isinstance(piece, tuple):
                name = piece[0]
                value = FIELDS[name].get(event) if name in FIELDS else run.saved.get(name)
                whole, _, aspect = name.partition(".")
                if aspect in ("path", "paths"):
                    value = FIELDS[whole].get(event) if whole in FIELDS else run.saved.get(whole)
                elif aspect == "top":
                    value = _tops(run.gathered[whole]) if whole in run.gathered else None
                elif aspect:
                    value = len(run.gathered.get(whole, ()))
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
            operations=list(run.operations),
            operation_count=len(run.operations),
            login=event.login,
        )
        if behavior.layer == "activity":
            each = {id(event): event for operation in run.operations for event in operation.events}
            line.events = list(each.values())
            self._told.update(id(life) for life in run.lives)
            run.operations, run.lives = [], []
            run.saved = {name: value for name, value in run.saved.items() if name not in run.gathered}
            run.gathered = {}
        self._lines.append(line)
        if behavior.layer == "operation":
            self._told.update(id(each) for each in run.events)
            seen = replace(event, triggers=(line.verb,), process=run.owner, calls={}, eager=False)
            self._step("activity", line.verb, seen, line, run.partial)


def _owner(run: _Run) -> ProcessKey:
    return _ANYONE if run.behavior.per == "path" else run.owner.key


def _joined(values: list[Any], value: Any) -> Gathered:
    """Everything that was gathered and is different, the first 64 of it shown."""
    known = [each.path if isinstance(each, File) else each for each in values]
    if value is not None and (value.path if isinstance(value, File) else value) not in known:
        values.append(value)
    return Gathered(tuple(values[:64]), len(values))


def _sure(behavior: Behavior, state: str) -> bool:
    """Whether on no way from here the machine can end without a line, as its process may end anywhere."""
    seen, ahead = set(), [state]
    while ahead:
        here = ahead.pop()
        if here in seen:
            continue
        seen.add(here)
        leaving = [each for each in behavior.transitions if here in each.sources]
        ends = [each for each in leaving if "exit" in each.triggers and each.emit and not each.conditions]
        quiet = [each.dest or behavior.initial for each in leaving if not each.emit]
        if here == behavior.initial or not ends or behavior.initial in quiet:
            return False
        ahead += quiet
    return True


def _tops(values: list[Any]) -> Gathered:
    """Those that are below no other."""
    paths = [each.path for each in values if isinstance(each, File)]
    found = [
        each
        for each in values
        if isinstance(each, File) and not any(each.path.startswith(f"{path}/") for path in paths)
    ]
    return Gathered(tuple(found[:64]), len(found))


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
    if behavior.per in ("file", "path"):
        return event.file.path if event.file else ""
    if behavior.per == "connection":
        return event.session or ""
    return None


def _holds(condition: Condition, event: Event, saved: dict[str, Any]) -> bool:
    value = FIELDS[condition.field].get(event) if condition.field in FIELDS else saved.get(condition.field)
    if condition.kind == "paths":
        return any(_test("path", test, File(each), saved, event) for each in value or () for test in condition.tests)
    if condition.kind == GATHERED:
        value = value.count if value else 0
    if value is None:
        return False
    return any(_test(condition.kind, test, value, saved, event) for test in condition.tests)


def _test(kind: str, test: Test, value: Any, saved: dict[str, Any], event: Event) -> bool:
    if test.how in ("saved", "field"):
        other = saved.get(str(test.value)) if test.how == "saved" else FIELDS[str(test.value)].get(event)
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
