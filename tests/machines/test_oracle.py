# SPDX-License-Identifier: Apache-2.0
"""The engine against a second interpreter, and against its own books, on random behaviors and events."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from behavior_strategies import SECOND, behavior_texts, events
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panorama.event import Event, Held, Loss
from panorama.machines.accounts import Accounts
from panorama.machines.compiler import compile_behaviors
from panorama.machines.engine import Engine
from panorama.machines.oracle import Oracle
from panorama.machines.spec import read_behaviors
from panorama.output.line import Line

_MISSING = st.dictionaries(
    st.integers(0, 30), st.sampled_from(["lost", "lost a while ago", "held", "held"]), max_size=3
)

patient = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@patient
@given(texts=behavior_texts(), stream=events(), missing=_MISSING)
def test_engine_and_oracle_write_the_same_lines(
    texts: dict[str, str], stream: list[Event], missing: dict[int, str]
) -> None:
    """Timeouts, saved values, children, exits, records that are missing and both layers included."""
    behaviors = read_behaviors(texts)
    engine, oracle = Engine(compile_behaviors(behaviors)), Oracle(behaviors)
    for number, event in enumerate(stream):
        assert engine.feed(event) == oracle.feed(event)
        if number in missing:
            engine.taint(_gap(missing[number], event))
            oracle.taint(_gap(missing[number], event))
    end = stream[-1].time + 5 * SECOND
    assert engine.advance(end) == oracle.advance(end)
    assert engine.finish() == oracle.finish()
    received, in_lines = oracle.sums()
    assert dict(engine.accounts.received) == received
    assert dict(engine.accounts.in_lines) == in_lines


@patient
@given(texts=behavior_texts(), stream=events(), most=st.integers(1, 5))
def test_every_call_is_somewhere_at_every_moment(texts: dict[str, str], stream: list[Event], most: int) -> None:
    """received = in lines + unexplained + held, even where machines have to go for lack of room."""
    engine = Engine(compile_behaviors(read_behaviors(texts)), most_machines=most)
    accounts = engine.accounts
    for event in stream:
        engine.feed(event)
        assert len(engine) <= 2 * most
        assert accounts.received == accounts.in_lines + accounts.unexplained + accounts.held()
    engine.finish()
    assert len(engine) == 0
    assert accounts.held() == {}
    total = sum((sum(event.calls.values()) for event in stream), 0)
    assert accounts.received == accounts.in_lines + accounts.unexplained
    assert accounts.received.total() == total


@patient
@given(texts=behavior_texts(), stream=events())
def test_the_same_events_give_the_same_lines(texts: dict[str, str], stream: list[Event]) -> None:
    """Neither the order of the files nor what another engine did matters."""
    behaviors = read_behaviors(texts)
    again = read_behaviors(dict(reversed(texts.items())))
    program = compile_behaviors(behaviors)
    assert program.digest == compile_behaviors(again).digest
    one, other, third = Engine(program), Engine(program), Engine(compile_behaviors(again))
    for event in stream:
        assert one.feed(event) == other.feed(event) == third.feed(event)


@patient
@given(texts=behavior_texts(), stream=events(), missing=_MISSING)
def test_plans_change_nothing(texts: dict[str, str], stream: list[Event], missing: dict[int, str]) -> None:
    """Neither lines nor accounts nor what is alive; streams come twice, so that plans are used again."""
    program = compile_behaviors(read_behaviors(texts))
    planning, stepping = Engine(program), Engine(program, plans=False)
    later = stream[-1].time - stream[0].time + SECOND
    for number, event in enumerate([*stream, *(replace(event, time=event.time + later) for event in stream)]):
        assert planning.feed(event) == stepping.feed(event)
        assert len(planning) == len(stepping)
        for one, other in zip(_books(planning.accounts), _books(stepping.accounts), strict=True):
            assert one == other
        if number in missing:
            planning.taint(_gap(missing[number], event))
            stepping.taint(_gap(missing[number], event))
    assert planning.advance(event.time + 5 * SECOND) == stepping.advance(event.time + 5 * SECOND)
    assert planning.finish() == stepping.finish()
    assert planning.accounts.unexplained == stepping.accounts.unexplained


@patient
@given(texts=behavior_texts(), stream=events(), missing=_MISSING)
def test_what_is_held_back_is_evidence_or_written_late(
    texts: dict[str, str], stream: list[Event], missing: dict[int, str]
) -> None:
    """Every operation is written once, or is evidence of an activity, never neither; but for parts of a whole that an
    ancestor tells, the activities are the same."""
    program = compile_behaviors(read_behaviors(texts))
    telling, holding = Engine(program), Engine(program, hold=True)
    told, held = [], []
    for number, event in enumerate(stream):
        told += telling.feed(event)
        held += holding.feed(event)
        if number in missing:
            telling.taint(_gap(missing[number], event))
            holding.taint(_gap(missing[number], event))
    told += telling.finish()
    held += holding.finish()
    assert len(holding.holding) == 0
    activities = _of("activity", held)
    parts = _of("activity", told)
    for line in activities:
        parts.remove(line)
    for line in parts:
        others = [other for other in activities if other.process.key != line.process.key]
        assert line.severity == "notice"
        assert line.operations
        assert all(any(operation in other.operations for other in others) for operation in line.operations)
    evidence = {id(operation) for line in activities for operation in line.operations}
    written = _of("operation", held)
    assert not evidence & {id(line) for line in written}
    known = [*written, *{id(operation): operation for line in activities for operation in line.operations}.values()]
    everything = _of("operation", told)
    for line in everything:
        assert line in known
        known.remove(line)
    assert [line for line in known if line.behavior != "exec"] == []
    assert holding.accounts.in_lines == telling.accounts.in_lines


def _of(layer: str, lines: list[Line]) -> list[Line]:
    return [line for line in lines if line.layer == layer]


def _gap(kind: str, event: Event) -> Loss | Held:
    """Records missing before the next event."""
    if kind == "held":
        return Held(event.time, 3, 100, event.process)
    return Loss(event.time, 0, 0, 1, since_boot=25 if kind == "lost a while ago" else 0)


def _books(accounts: Accounts) -> tuple[Counter[str], ...]:
    return accounts.received, accounts.in_lines, accounts.unexplained, accounts.held()
