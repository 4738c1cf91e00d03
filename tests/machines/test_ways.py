# SPDX-License-Identifier: Apache-2.0
"""Who watches machines changes nothing, and sees all that they do."""

from __future__ import annotations

from itertools import pairwise

from behavior_strategies import SECOND, behavior_texts, events
from hypothesis import HealthCheck, given, settings

from panorama.event import Event
from panorama.machines.compiler import compile_behaviors
from panorama.machines.engine import Engine
from panorama.machines.machine import MOST_EVENTS
from panorama.machines.spec import read_behaviors
from panorama.machines.ways import Way, Ways


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=behavior_texts(), stream=events())
def test_the_way_of_each_line_is_seen_and_the_lines_are_the_same(texts: dict[str, str], stream: list[Event]) -> None:
    """Steps join; the last one writes the line; the states are those that the line has."""
    program, ways = compile_behaviors(read_behaviors(texts)), Ways()
    watched, alone = Engine(program, watcher=ways), Engine(program)
    end = stream[-1].time + 5 * SECOND
    lines = [line for event in stream for line in watched.feed(event)]
    assert lines == [line for event in stream for line in alone.feed(event)]
    rest = [*watched.advance(end), *watched.finish()]
    assert rest == [*alone.advance(end), *alone.finish()]
    for line in [*lines, *rest]:
        way = ways.to(line)
        assert way
        assert way.table.behavior.name == line.behavior
        assert way.steps[-1].event.time == line.time
        emit = way.steps[-1].transition.emit
        assert emit
        assert emit.verb == line.verb
        assert len(line.states) >= MOST_EVENTS or way.states == line.states
        check(way)
    for behavior in program.behaviors:
        for way in ways.unsaid(behavior.name):
            assert not any(step.transition.emit for step in way.steps)
            assert way.table.behavior == behavior
            check(way)
            for refusal in way.refusals.values():
                state = way.steps[-1].dest
                assert state in refusal.transition.sources
                assert refusal.trigger in refusal.transition.triggers


def check(way: Way) -> None:
    """It begins in the first state, or anew in any, and goes on where it came to."""
    assert way.steps[0].source == way.table.states[0] or way.steps[0].transition.anew
    for step, following in pairwise(way.steps):
        assert (step.dest, step.source in step.transition.sources) == (following.source, True)
