# SPDX-License-Identifier: Apache-2.0
"""Whether a behavior would notice a file that was opened and closed and nothing else; if none does, none is sent."""

from __future__ import annotations

from .model import Behavior, Condition, Transition

__all__ = ["notices_untouched"]

_UNTOUCHED: dict[str, int | bool] = {"created": False, "truncated": False, "bytes_read": 0, "bytes_written": 0}


def notices_untouched(behavior: Behavior) -> bool:
    """Whether open and close alone can give a line, or leave a machine behind in another state than its first.

    Everything the session does not decide is taken as possible, so the answer may be yes too often, never no.
    """
    if behavior.layer != "operation" or behavior.per != "file":
        return False
    states = {behavior.initial}
    for trigger in ("open", "close"):
        after = set()
        for state in states:
            candidates = _candidates(behavior, state, trigger)
            if any(transition.emit for transition in candidates):
                return True
            after |= {transition.dest or behavior.initial for transition in candidates}
            if not any(not transition.conditions for transition in candidates):
                after.add(state)
        states = after
    return states != {behavior.initial}


def _candidates(behavior: Behavior, state: str, trigger: str) -> list[Transition]:
    """The transitions that may be taken; none after the first that needs nothing."""
    found = []
    for transition in behavior.transitions:
        fits = trigger in transition.triggers and state in transition.sources
        if fits and all(_possible(condition) for condition in transition.conditions):
            found.append(transition)
            if not transition.conditions:
                break
    return found


def _possible(condition: Condition) -> bool:
    if condition.field not in _UNTOUCHED:
        return True
    value = _UNTOUCHED[condition.field]
    for test in condition.tests:
        if test.how == "saved" or (test.how == "equal" and test.value == value):
            return True
        if test.how == "compare" and isinstance(test.value, int):
            bound = test.value
            signs = {"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}
            if signs.get(test.operator, value != bound):
                return True
    return False
