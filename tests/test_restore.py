# SPDX-License-Identifier: Apache-2.0
"""A trace whose lines are missing, come again or in another order: what of it is read, and what is told of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorama.errors import Problem
from panorama.event import Event, Held, Item, Loss, Process
from panorama.trace import Trace, TraceHeader, TraceWriter

ALICE = Process(42, 7, 1, user="alice", command="cat")


def event(time: int, **more: Any) -> Event:
    return Event(("read",), time, ALICE, {"read": 1}, **more)


def written(items: list[Item]) -> list[dict[str, Any]]:
    """The lines of a trace with an end."""
    stream = io.StringIO()
    writer = TraceWriter(stream, TraceHeader())
    for item in items:
        writer.write(item)
    writer.end({"seen": {"read": len(items)}})
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def reading(lines: list[dict[str, Any]]) -> tuple[Trace, list[Item], list[Problem]]:
    problems: list[Problem] = []
    trace = Trace(io.BytesIO("".join(f"{json.dumps(line)}\n" for line in lines).encode()), "t", problems.append)
    return trace, list(trace), problems


def in_order(numbers: list[int | None]) -> tuple[list[int | tuple[int, int]], Trace, list[Problem]]:
    """What is read of a trace of nine events whose lines come in this order, None for the end: times, and losses."""
    lines = written([event(time) for time in range(1, 10)])
    chosen = [lines[-1] if number is None else lines[1 + number] for number in numbers]
    trace, items, problems = reading([*lines[:2], *chosen])
    found = [(item.first, item.count) if isinstance(item, Loss) else item.time for item in items]
    return found, trace, problems


@pytest.mark.parametrize(
    ("numbers", "read", "skipped"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, None], [1, 2, 3, 4, 5, 6, 7, 8, 9], 0),
        ([2, 1, 3, 9, 5, 6, 7, 8, 4, None], [1, 2, 3, 4, 5, 6, 7, 8, 9], 0),
        ([1, 2, 5, 6, 8, 9, None], [1, 2, (3, 2), 5, 6, (7, 1), 8, 9], 0),
        ([3, 4, 5, 6, 7, 8, 9, None], [(1, 2), 3, 4, 5, 6, 7, 8, 9], 0),
        ([1, 2, 3, None], [1, 2, 3, (4, 6)], 0),
        ([None], [(1, 9)], 0),
        ([1, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8, 9, 1, None], [1, 2, 3, 4, 5, 6, 7, 8, 9], 4),
        ([1, 3, 3, 2, 4, 5, 6, 7, 8, 9, None], [1, 2, 3, 4, 5, 6, 7, 8, 9], 1),
        ([None, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 6, 7, 8, 9], 0),
        ([1, 2, 3], [1, 2, 3], 0),  # cut short: there is no end to say that there was more
    ],
)
def test_lines_come_in_the_order_of_their_numbers_once_and_gaps_are_told(
    numbers: list[int | None], read: list[int | tuple[int, int]], skipped: int
) -> None:
    found, trace, problems = in_order(numbers)
    assert found == read
    assert trace.missing == sum(each[1] for each in read if isinstance(each, tuple))
    assert all(problem.what.endswith("came before, or is too late") for problem in problems)
    assert len(problems) == trace.problems == skipped


@given(st.lists(st.integers(1, 9) | st.none(), max_size=14))
def test_whatever_the_order_what_is_read_counts_up_with_its_gaps(numbers: list[int | None]) -> None:
    """Each line once; what is told missing is exactly what did not come before the last that did, or the end."""
    found, trace, _ = in_order(numbers)
    counted = [
        number for each in found for number in (range(each[0], sum(each)) if isinstance(each, tuple) else [each])
    ]
    came = {number for number in numbers if number}
    assert counted == list(range(1, 1 + (9 if None in numbers else max(came, default=0))))
    assert {each for each in found if isinstance(each, int)} == came
    assert trace.missing == len(counted) - len(came)


def test_what_comes_when_it_was_told_missing_is_skipped() -> None:
    """There is an end to waiting."""
    lines = written([event(time) for time in range(1, 1001)])
    moved = [*lines[:12], *lines[13:700], lines[12], *lines[700:]]
    trace, items, problems = reading(moved)
    assert items[:12] == [*(event(time) for time in range(1, 11)), Loss(12, -1, 11, 1), event(12)]
    assert len(items) == 1000
    assert [str(problem) for problem in problems] == ["t:700:1: record 11 of the trace came before, or is too late"]
    assert trace.missing == 1


def test_a_line_that_does_not_decode_is_missing() -> None:
    """It is skipped, and its place told."""
    lines = written([event(1), event(2), event(3)])
    lines[3]["calls"] = "none"
    trace, items, problems = reading(lines)
    assert items == [event(1), Loss(3, -1, 2, 1), event(3)]
    assert (trace.missing, len(problems)) == (1, 1)


def test_a_number_that_is_far_off_stops_nothing() -> None:
    """The others are read as they come."""
    lines = written([event(time) for time in range(1, 1001)])
    lines[500]["number"] = 10**15
    _, items, _ = reading(lines)
    assert [item.time for item in items if isinstance(item, Event)] == [*range(1, 499), *range(500, 1001), 499]


@pytest.mark.parametrize("number", ["1", True, [], None, 1.5])
def test_a_number_that_is_none_is_told(number: Any) -> None:
    lines = written([event(1)])
    lines[2]["number"] = number
    _, items, problems = reading(lines)
    assert [problem.what.split(" cannot")[0] for problem in problems] == ["'number'"]
    assert items == [Loss(0, -1, 1, 1)]


def of_cpus(items: list[Item], change: Callable[[dict[str, Any]], object] = lambda line: None) -> list[Item]:
    """What is read of a trace whose lines have no numbers."""
    lines = written(items)
    for line in lines:
        line.pop("number", None)
        change(line)
    return reading(lines)[1]


def counted(cpu: int, sequence: int) -> Event:
    return event(100 + sequence, cpu=cpu, sequence=sequence)


def test_without_numbers_what_cpus_counted_tells_of_gaps() -> None:
    """Each cpu for itself."""
    items: list[Item] = [counted(0, 0), counted(1, 0), counted(0, 1), counted(1, 3), counted(0, 2), counted(2, 1)]
    first, second = Loss(103, 1, 1, 2), Loss(101, 2, 0, 1)
    assert of_cpus(items) == [*items[:3], first, *items[3:5], second, *items[5:]]


def test_without_numbers_a_gap_that_is_told_already_is_not_told_again() -> None:
    """What the trace does not tell of it is."""
    told = Loss(5, 0, 1, 3, since_boot=7)
    assert of_cpus([counted(0, 0), told, counted(0, 4)]) == [counted(0, 0), told, counted(0, 4)]
    assert of_cpus([told, counted(0, 5)]) == [Loss(5, 0, 0, 1), told, Loss(105, 0, 4, 1), counted(0, 5)]


def test_without_numbers_nothing_of_a_cpu_is_taken_twice_or_late() -> None:
    items: list[Item] = [counted(1, 0), counted(1, 1), counted(1, 1), counted(1, 3), counted(1, 2), counted(1, 4)]
    assert of_cpus(items) == [items[0], items[1], Loss(103, 1, 2, 1), items[3], items[5]]


def test_events_outside_the_count_are_read_as_they_come() -> None:
    """Sessions that were still open, and what people write by hand."""
    items: list[Item] = [event(1), event(2), counted(0, 1), event(3), Held(4, 5, 6), counted(0, 2), event(2)]
    assert of_cpus(items) == items


def test_the_same_file_is_read_with_numbers_and_without() -> None:
    items: list[Item] = [counted(0, 0), counted(1, 0), replace(counted(0, 1), fd=4), counted(1, 1)]
    assert of_cpus(items) == reading(written(items))[1] == items
