# SPDX-License-Identifier: Apache-2.0
"""How machines came to their lines, or did not: as plain data for JSON, and for people.

The data has everything as it is: times in ns since 1970, whole paths. People get the time of day, and the place of a
transition without the folder. Names are quoted as in lines (quoting.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Any

from ..event import Address, Event, File, Process
from ..machines.compiler import Table
from ..machines.model import Behavior, Condition, Test, Transition
from ..machines.ways import Refusal, Step, Way
from ..output.context import stamp
from ..output.line import Gathered
from ..output.quoting import quote

__all__ = ["beginning_facts", "beginning_text", "way_facts", "way_text"]

Facts = dict[str, Any]

_WIDEST = 48  # columns of an event's object that others are aligned to


def way_facts(way: Way) -> Facts:
    """A machine's way; if it has not led to a line, what stopped it and what it waited for."""
    facts: Facts = {**_whose(way.table.behavior), "process": _process(way.process), "states": list(way.states)}
    facts["steps"] = [_step(way, step) for step in way.steps]
    if not way.said:
        facts["stopped"] = [_refusal(way, refusal) for refusal in way.refusals.values()]
        facts["waited_for"] = _awaited(way.table.behavior, way.steps[-1].dest)
    return facts


def beginning_facts(behavior: Behavior, processes: int, matching: int, refusals: Iterable[Refusal]) -> Facts:
    """Why no machine of a behavior began: how many processes there were, of them how many it is for."""
    facts: Facts = {**_whose(behavior), "processes": processes, "matching": matching}
    facts["match"] = [_wanted(condition, {}) for condition in behavior.match]
    facts["begins_with"] = _awaited(behavior, behavior.initial)
    facts["stopped"] = [_refusal(None, refusal) for refusal in refusals]
    return facts


def way_text(facts: Facts, zone: tzinfo | None = None) -> list[str]:
    """The lines below the head, which is the caller's."""
    steps = facts["steps"]
    ways = [f"{step['source']} -> {step['dest'] or 'end'}{', anew' if step['anew'] else ''}" for step in steps]
    event_width = min(_WIDEST, max(len(_event_text(step)) for step in steps))
    way_width = max(map(len, ways))
    told = []
    for step, way in zip(steps, ways, strict=True):
        what = f"{_event_text(step):{event_width}}  {way:{way_width}}  {_short(step['at'])}"
        told.append(f"  {_clock(step, zone)}  {what}")
        told += [f"{'':19}{name} = {_value_text(value)}" for name, value in step["kept"].items()]
    if "stopped" in facts:
        if steps[-1]["dest"]:
            told.append(f"  it waited in {facts['states'][-1]} for {_list(facts['waited_for'])}")
        told += _stopped_text(facts["stopped"], zone)
    return told


def beginning_text(facts: Facts, zone: tzinfo | None = None) -> list[str]:
    """Why none began."""
    told = []
    if facts["match"]:
        told.append(f"  it is for processes with {' and '.join(facts['match'])}")
        told.append(f"  of {facts['processes']} processes {facts['matching']} are such")
    told.append(f"  it begins with {_list(facts['begins_with'])}")
    return told + _stopped_text(facts["stopped"], zone)


def _stopped_text(stopped: list[Facts], zone: tzinfo | None) -> list[str]:
    told = []
    for each in stopped:
        found = "there is none" if each["found"] is None else f"found {_value_text(each['found'])}"
        others = f" (and {each['count'] - 1} more that did not fit)" if each["count"] > 1 else ""
        told.append(f"  {_clock(each, zone)}  {_event_text(each)}")
        told.append(f"{'':19}{_short(each['at'])} wants {each['wanted']}; {found}{others}")
    return told


def _whose(behavior: Behavior) -> Facts:
    return {"behavior": behavior.name, "layer": behavior.layer, "path": behavior.path}


def _process(process: Process) -> Facts:
    return {"pid": process.pid, "start": process.start, "command": process.command}


def _step(way: Way, step: Step) -> Facts:
    kept = {name: _plain(value) for name, value in step.kept.items()}
    where = {"source": step.source, "dest": step.dest, "at": _at(way.table, step.transition)}
    return _event(step.event, step.trigger, way.process) | where | {"anew": step.transition.anew, "kept": kept}


def _refusal(way: Way | None, refusal: Refusal) -> Facts:
    owner = way.process if way else refusal.event.process
    facts = _event(refusal.event, refusal.trigger, owner) | {"at": _at(refusal.table, refusal.transition)}
    facts["wanted"] = _wanted(refusal.condition, refusal.saved)
    return facts | {"found": _plain(refusal.found), "count": refusal.count}


def _event(event: Event, trigger: str, owner: Process) -> Facts:
    """`process` is there if it is another than the machine's."""
    facts: Facts = {"time": event.time, "cpu": event.cpu, "sequence": event.sequence, "trigger": trigger}
    named = (("file", event.file), ("to", event.to), ("remote", event.remote), ("local", event.local))
    facts |= {name: _plain(value) for name, value in named if value is not None}
    if event.process.key != owner.key:
        facts["process"] = _process(event.process)
    return facts


def _at(table: Table, transition: Transition) -> str:
    return f"{table.behavior.path}:{transition.line}"


def _awaited(behavior: Behavior, state: str | None) -> list[str]:
    """The triggers on which a machine goes on from a state, with the lines of their transitions."""
    lines: dict[str, list[str]] = {}
    for transition in behavior.transitions:
        if state in transition.sources:
            for trigger in transition.triggers:
                lines.setdefault(trigger, []).append(str(transition.line))
    return [f"{trigger} ({Path(behavior.path).name}:{','.join(numbers)})" for trigger, numbers in lines.items()]


def _wanted(condition: Condition, saved: Mapping[str, Any]) -> str:
    return f"{condition.field}: {' or '.join(_test(test, saved) for test in condition.tests)}"


def _test(test: Test, saved: Mapping[str, Any]) -> str:
    value = test.value
    if isinstance(value, tuple):
        host, port = value
        return host if port < 0 else f"{host}:{port}"
    if test.how == "saved":
        return f"{value}, which is {_value_text(_plain(saved.get(str(value))))}"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"the field {text}" if test.how == "field" else test.operator + quote(text)


def _plain(value: Any) -> Any:
    if isinstance(value, File):
        return value.path
    if isinstance(value, Address):
        return str(value)
    if isinstance(value, Gathered):
        return [_plain(each) for each in value.values]
    return value if isinstance(value, str | int | None) else str(value)


def _value_text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_value_text, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "nothing" if value is None else quote(str(value))


def _event_text(event: Facts) -> str:
    end = "local" if event["trigger"] in ("bind", "listen") else "remote"
    what = " -> ".join([quote(event[name]) for name in ("file", "to", end) if name in event])
    by = event.get("process")
    who = f"by {quote(by['command'])}[{by['pid']}]" if by else ""
    which = f"{event['cpu']}:{event['sequence']}"
    return f"{which:6} {event['trigger']:7} {what} {who}".rstrip()


def _clock(event: Facts, zone: tzinfo | None) -> str:
    return stamp(event["time"], zone).partition(" ")[2]


def _short(at: str) -> str:
    return at.rpartition("/")[2]


def _list(words: list[str]) -> str:
    return ", ".join(words) or "nothing"
