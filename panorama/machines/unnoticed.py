# SPDX-License-Identifier: Apache-2.0
"""What no behavior would notice, so that the kernel need not send it.

Everything that is not known of such an event is taken as possible, so an answer may be yes too often, never no.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..vocabulary import SESSION_TRIGGERS
from .model import Behavior, Condition, Transition

__all__ = ["notices_own_changes", "notices_untouched"]

_Known = Mapping[str, int | bool]

_UNTOUCHED: _Known = {"created": False, "truncated": False, "bytes_read": 0, "bytes_written": 0}
_OWN: tuple[_Known, ...] = ({"created": True, "truncated": False}, {"created": False, "truncated": True})
_CHANGES = frozenset(("chmod", "chown"))


def notices_untouched(behavior: Behavior) -> bool:
    """Whether open and close alone can give a line, or leave a machine behind in another state than its first."""
    if behavior.layer != "operation" or behavior.per != "file":
        return False
    states = {behavior.initial}
    for trigger in ("open", "close"):
        after = set()
        for state in states:
            candidates = _candidates(behavior, state, trigger, _UNTOUCHED)
            if any(transition.emit for transition in candidates):
                return True
            after |= _after(candidates, behavior, state, _UNTOUCHED)
        states = after
    return states != {behavior.initial}


def notices_own_changes(behavior: Behavior) -> bool:
    """Whether it matters that a process sets mode or owner of a file that it has made or emptied and still has open.

    It does not if a machine is told nothing by that which it does not learn from the session when the file is closed:
    that leads it to the same state, and until then neither that state nor the first one has anything to say.
    """
    words = set(behavior.triggers)
    if behavior.layer != "operation" or not {word.removeprefix("child.") for word in words} & _CHANGES:
        return False
    if behavior.per != "file" or any(word.startswith("child.") for word in words):
        return True
    return any(_leads_elsewhere(behavior, own) for own in _OWN)


def _leads_elsewhere(behavior: Behavior, own: _Known) -> bool:
    first, changes = behavior.initial, _CHANGES & set(behavior.triggers)
    opened = _silently(behavior, first, "open", own)
    if opened is None or len(opened) != 1:
        return True
    [made] = opened
    for state in behavior.states:
        for change in changes:
            after = _silently(behavior, state, change, own)
            if after not in ({state}, {made} if state == first else {state}):
                return True
    if _silently(behavior, made, "open", own) != {made}:
        return True
    others = set(behavior.triggers) - set(SESSION_TRIGGERS) - _CHANGES
    for state in (first, made):
        for trigger in others:
            after = _silently(behavior, state, trigger, {})
            if after is None or not after <= {first, made}:
                return True
    return False


def _silently(behavior: Behavior, state: str, trigger: str, known: _Known) -> set[str] | None:
    """The states that may come next; None if a line may be written or a value saved."""
    candidates = _candidates(behavior, state, trigger, known)
    if any(transition.emit or transition.saves for transition in candidates):
        return None
    return _after(candidates, behavior, state, known)


def _candidates(behavior: Behavior, state: str, trigger: str, known: _Known) -> list[Transition]:
    """The transitions that may be taken; none after the first that will be."""
    found = []
    for transition in behavior.transitions:
        fits = trigger in transition.triggers and state in transition.sources
        if fits and all(_holds(condition, known) is not False for condition in transition.conditions):
            found.append(transition)
            if _certain(transition, known):
                break
    return found


def _after(candidates: list[Transition], behavior: Behavior, state: str, known: _Known) -> set[str]:
    after = {transition.dest or behavior.initial for transition in candidates}
    return after if candidates and _certain(candidates[-1], known) else after | {state}


def _certain(transition: Transition, known: _Known) -> bool:
    return all(_holds(condition, known) for condition in transition.conditions)


def _holds(condition: Condition, known: _Known) -> bool | None:
    """None where that cannot be known."""
    if condition.field not in known:
        return None
    value = known[condition.field]
    answer: bool | None = False
    for test in condition.tests:
        if test.how in ("saved", "field"):
            answer = None
        elif test.how == "equal" and test.value == value:
            return True
        elif test.how == "compare" and isinstance(test.value, int):
            bound = test.value
            signs = {"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}
            if signs.get(test.operator, value != bound):
                return True
    return answer
