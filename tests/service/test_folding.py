# SPDX-License-Identifier: Apache-2.0
"""Identical lines become one and a count; nothing else changes, and no line is lost."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from output_samples import UTC_CONTEXT, read_line, removed, tree_removed

from panorama.output.line import MOST_OPERATIONS, Line
from panorama.output.text import text_line
from panorama.service.folding import Folder

SECOND = 10**9


def line(verb: str, at: int) -> Line:
    return replace(read_line(), verb=verb, time=read_line().time + at * SECOND)


def said(lines: list[Line]) -> list[str]:
    return [text_line(each, UTC_CONTEXT).partition("scp ")[2] for each in lines]


def test_repetitions_become_one_line_with_their_number_and_the_time_of_the_last() -> None:
    folder = Folder()
    given = [line("read", at) for at in range(4)] + [line("write", 5)]
    out = [each for one in given for each in folder.take(one)]
    assert said(out) == [
        "read f2.txt:3015807",
        "read f2.txt:3015807 ... repeated 3 times",
        "write f2.txt:3015807",
    ]
    assert [each.time for each in out] == [given[0].time, given[3].time, given[4].time]
    assert folder.end() == []


def test_a_single_repetition_stays_as_it_is() -> None:
    folder = Folder()
    out = [each for at in range(2) for each in folder.take(line("read", at))] + folder.end()
    assert said(out) == ["read f2.txt:3015807"] * 2


def test_what_is_repeated_for_long_is_told_every_ten_seconds() -> None:
    folder = Folder()
    out = [each for at in range(0, 31) for each in folder.take(line("read", at))] + folder.end()
    assert sum(each.repeated or 1 for each in out) == 31
    assert [each.repeated for each in out] == [0, 10, 10, 10]


def test_repeated_activities_keep_the_operations_of_all() -> None:
    """The latest of them, each once, and the number of all."""
    folder = Folder()
    given = [
        replace(tree_removed(["a", "b"]), operations=[removed(number=2 * at), removed(number=2 * at + 1)])
        for at in range(MOST_OPERATIONS)
    ]
    first, rest = [each for one in given for each in folder.take(one)] + folder.end()
    assert (first.operation_count, rest.operation_count) == (2, 2 * MOST_OPERATIONS - 2)
    assert rest.operations == [each for one in given for each in one.operations][-MOST_OPERATIONS:]


def test_what_is_done_in_another_login_is_no_repetition() -> None:
    folder = Folder()
    given = [tree_removed(["a"]), tree_removed(["a"]), tree_removed(["a"]), tree_removed(["a"], login=None)]
    out = [each for one in given for each in folder.take(one)] + folder.end()
    assert [(each.login is not None, each.repeated) for each in out] == [(True, 0), (True, 2), (False, 0)]


def test_it_comes_without_another_line_when_its_time_is_up() -> None:
    folder = Folder()
    for at in range(3):
        folder.take(line("read", at))
    start = read_line().time
    assert folder.due == start + 11 * SECOND
    assert folder.expire(start + 10 * SECOND) == []
    assert said(folder.expire(start + 11 * SECOND)) == ["read f2.txt:3015807 ... repeated 2 times"]
    assert folder.due == 0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 8)), max_size=60))
def test_counts_add_up_and_the_order_stays(steps: list[tuple[str, int]]) -> None:
    folder = Folder()
    now = 0
    came: list[str] = []
    out: list[Line] = []
    for verb, pause in steps:
        now += pause
        came.append(verb)
        out += folder.take(line(verb, now))
    out += folder.end()
    assert [verb for each in out for verb in [each.verb] * (each.repeated or 1)] == came
