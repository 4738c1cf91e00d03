# SPDX-License-Identifier: Apache-2.0
"""Held-back operations: each is written or stands in an activity that is, none twice, and none is made up."""

from __future__ import annotations

from collections import Counter

from behavior_strategies import SECOND, behavior_texts, events
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panorama.event import Event, Held, Item, Loss
from panorama.ignore import IgnoreRules
from panorama.machines.compiler import Program, compile_behaviors
from panorama.machines.spec import read_behaviors
from panorama.output.line import Line
from panorama.pipeline import Pipeline

_GAPS = st.dictionaries(st.integers(0, 29), st.sampled_from(["lost", "held"]), max_size=3)
_Said = tuple[object, ...]


def said(line: Line) -> _Said:
    """What tells one operation from another."""
    return line.behavior, line.time, line.process.key, line.verb, line.object, line.states


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=behavior_texts(), stream=events(), gaps=_GAPS)
def test_no_operation_is_lost_by_being_held_back(
    texts: dict[str, str], stream: list[Event], gaps: dict[int, str]
) -> None:
    """Under `activities` what is not written stands in an activity that is, with all that it stands for."""
    program = compile_behaviors(read_behaviors(texts))
    items: list[Item] = []
    for number, event in enumerate(stream):
        if number in gaps:
            lost, held = Loss(event.time, 0, number, 1), Held(event.time, 1, 100, event.process)
            items.append(lost if gaps[number] == "lost" else held)
        items.append(event)
    everything, activities = run(program, items, "all"), run(program, items, "activities")
    seen, written = Counter(map(said, everything)), Counter(map(said, activities))
    within = {said(each) for line in activities for each in line.operations}
    assert not written - seen
    missing = seen - written
    for line in everything:
        if said(line) in missing:
            parts = line.operations if line.layer == "activity" else [line]
            assert {said(each) for each in parts} <= within


def run(program: Program, items: list[Item], log: str) -> list[Line]:
    """The lines; at every moment all that was received is in a line, unexplained or with a machine."""
    lines: list[Line] = []
    pipeline = Pipeline(program, IgnoreRules([]), lines.append, log=log)
    accounts = pipeline.engine.accounts
    for item in items:
        pipeline.take([item])
        assert accounts.received == accounts.in_lines + accounts.unexplained + accounts.held()
    pipeline.advance(items[-1].time + 5 * SECOND)
    pipeline.finish()
    assert accounts.received == accounts.in_lines + accounts.unexplained
    return lines
