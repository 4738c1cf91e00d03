# SPDX-License-Identifier: Apache-2.0
"""What must be true of a behavior as a whole for it to make sense at all. Finer judgements are lint's, not ours."""

from __future__ import annotations

from collections.abc import Iterator

from .model import Behavior, Transition

__all__ = ["unsound"]

Place = tuple[int, int]
Finding = tuple[Place, str, str]  # where, what, hint


def unsound(behavior: Behavior) -> Iterator[Finding]:
    """Everything that cannot be meant, with its line and column."""
    top = (behavior.line, 1)
    if not any(behavior.initial in transition.sources for transition in behavior.transitions):
        yield top, f"no transition leaves the initial state '{behavior.initial}'", "no machine would ever start"
    if not any(transition.emit for transition in behavior.transitions):
        yield top, "no transition emits a line", ""
    left = {source for transition in behavior.transitions for source in transition.sources}
    for transition in behavior.transitions:
        if transition.dest and transition.dest not in left | {behavior.initial, *behavior.declared}:
            what = f"no transition leaves the state '{transition.dest}'"
            yield _place(transition), what, f"if machines shall stay there, put '{transition.dest}' under states"
    yield from _timeouts(behavior)


def _place(transition: Transition) -> Place:
    return (transition.line, transition.column)


def _timeouts(behavior: Behavior) -> Iterator[Finding]:
    top, waiting = (behavior.line, 1), dict(behavior.timeouts)
    if behavior.initial in waiting:
        yield top, f"the initial state '{behavior.initial}' cannot have a timeout", "no machine is waiting in it"
    timed = [transition for transition in behavior.transitions if "timeout" in transition.triggers]
    for transition in timed:
        if not any(source in waiting for source in transition.sources):
            names = ", ".join(f"'{source}'" for source in transition.sources)
            yield _place(transition), f"no timeout is set for {names}", "set it: states: {name: {timeout: 30s}}"
    for state in waiting:
        if not any(state in transition.sources for transition in timed):
            what = f"the state '{state}' has a timeout, but no transition takes it"
            yield top, what, "give it one: {trigger: timeout}"
    circle = _circle(timed, set(waiting) - {behavior.initial})
    if circle:
        yield top, f"timeouts lead round in a circle: {' -> '.join(circle)}", "end it in a state without a timeout"


def _circle(timed: list[Transition], waiting: set[str]) -> list[str]:
    """A way from a state to itself by nothing but timeouts: once there, a machine would never rest."""
    after: dict[str, set[str]] = {state: set() for state in waiting}
    for transition in timed:
        for source in waiting.intersection(transition.sources):
            after[source] |= {transition.dest} & waiting if transition.dest else set()
    for start in sorted(waiting):
        way, seen = [[start]], {start}
        for path in way:  # grows while it is walked: breadth first
            for state in sorted(after[path[-1]]):
                if state == start:
                    return [*path, start]
                if state not in seen:
                    seen.add(state)
                    way.append([*path, state])
    return []
