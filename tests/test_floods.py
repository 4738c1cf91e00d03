# SPDX-License-Identifier: Apache-2.0
"""What rate limits held back, from reports to lines, through the pipeline as a trace has it."""

from __future__ import annotations

import pytest
from event_samples import SECOND, SHELL, START, child_of, point, session

from panorama.event import Held, Item, Process
from panorama.ignore import IgnoreRules
from panorama.machines.compiler import compile_behaviors
from panorama.machines.spec import read_behaviors
from panorama.output.line import Line
from panorama.output.objects import object_text
from panorama.pipeline import Pipeline, sums_of
from panorama.tally import Tally

CAT, DOG = child_of(SHELL, 201, "cat"), child_of(SHELL, 202, "dog")

TIMED = """
behavior: timed
summary: A name removed, a second later.
layer: operation
per: process
initial: idle
states: {waiting: {timeout: 1s}}
transitions:
- {trigger: unlink, source: idle, dest: waiting}
- {trigger: timeout, source: waiting, emit: late}
"""


def held(process: Process | None, count: int, second: float, rate: int = 100, everyone: bool = False) -> Held:
    return Held(START + round(second * SECOND), count, rate, process, everyone)


class Talk:
    """A pipeline with one behavior; `said` are its lines as seconds and words."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.pipeline = Pipeline(
            compile_behaviors(read_behaviors({"timed.yaml": TIMED})), IgnoreRules([]), self.lines.append, SHELL
        )

    def say(self, *items: Item) -> Talk:
        self.pipeline.take(items)
        return self

    @property
    def said(self) -> list[tuple[float, str]]:
        return [((line.time - START) / SECOND, f"{line.verb} {object_text(line)}") for line in self.lines]


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_reports_of_a_second_are_one_line(talk: Talk) -> None:
    """It comes with the first thing that happens a second after the first of them, and then with the next second's."""
    talk.say(*(held(CAT, 5, number / 10) for number in range(10)), session(DOG, "open close", "/x", 0.99))
    assert talk.said == []
    talk.say(session(DOG, "open close", "/x", 1.5), held(CAT, 7, 1.6), session(DOG, "open close", "/x", 2.5))
    assert talk.said == [(1, "held 50 events of cat[201], limit 100 a second")]
    talk.say(session(DOG, "open close", "/x", 2.7))
    assert talk.said[1:] == [(2.6, "held 7 events of cat[201], limit 100 a second")]


def test_a_line_does_not_wait_for_something_to_happen(talk: Talk) -> None:
    """`next_due` says when; asked earlier there is nothing."""
    talk.say(held(CAT, 5, 0.5))
    assert talk.pipeline.next_due == START + 1.5 * SECOND
    talk.pipeline.advance(talk.pipeline.next_due - 1)
    assert talk.said == []
    talk.pipeline.advance(talk.pipeline.next_due)
    assert talk.said == [(1.5, "held 5 events of cat[201], limit 100 a second")]
    assert talk.pipeline.next_due > START + 100 * SECOND


def test_each_process_has_its_own_line(talk: Talk) -> None:
    """At its own time, and its last when it ends."""
    talk.say(held(CAT, 5, 0), held(DOG, 6, 0.2), held(CAT, 1, 0.3), point(DOG, "exit", second=0.4))
    assert talk.said == [(0.4, "held 6 events of dog[202], limit 100 a second")]
    talk.pipeline.finish()
    assert talk.said[1:] == [(0.3, "held 6 events of cat[201], limit 100 a second")]


def test_the_limit_of_all_is_one_line_for_all(talk: Talk) -> None:
    """Also when a process ends; it names the process if there is but one. A process's own limit is told beside it."""
    talk.say(held(CAT, 5, 0, everyone=True), held(DOG, 6, 0.2, 100, True), held(DOG, 1, 0.2, 40))
    talk.say(point(DOG, "exit", second=0.4), held(CAT, 9, 2, everyone=True))
    talk.pipeline.finish()
    assert talk.said == [
        (0.4, "held 1 events of dog[202], limit 40 a second"),
        (1, "held 11 events of 2 processes, limit 100 a second for all processes"),
        (2, "held 9 events of cat[201], limit 100 a second for all processes"),
    ]


def test_what_is_nobodys(talk: Talk) -> None:
    """More processes than the kernel has buckets for."""
    talk.say(held(None, 5, 0), held(None, 5, 0.1))
    talk.pipeline.finish()
    assert talk.said == [(0.1, "held 10 events of processes that are too many to be told apart, limit 100 a second")]


def test_lines_on_floods_and_timeouts_are_in_the_order_of_time(talk: Talk) -> None:
    """However many are due at once: what is said does not depend on when somebody looked."""
    items = [point(DOG, "unlink", "/x", 0.1), held(CAT, 5, 0.2), point(SHELL, "unlink", "/y", 0.3), held(DOG, 2, 0.4)]
    talk.say(*items)
    talk.pipeline.advance(START + 9 * SECOND)
    assert [second for second, _ in talk.said] == [1.1, 1.2, 1.3, 1.4]
    slowly = Talk().say(*items)
    for tenth in range(4, 90):
        slowly.pipeline.advance(START + tenth * SECOND // 10)
    assert slowly.said == talk.said


def test_the_sums_have_a_place_of_their_own_for_it(talk: Talk) -> None:
    """The end of a trace says it by trigger; one that was recorded before there were limits has none."""
    talk.say(point(CAT, "unlink", "/x"))
    talk.pipeline.finish()
    ends = {"seen": {"unlink": 4, "open": 2}, "held": {"unlink": 2, "open": 2}, "lost": {"unlink": 1}}
    tally = sums_of(talk.pipeline, ends, 0)
    assert tally.missing() == {}
    assert tally.text().splitlines() == [
        "0 lines; 6 events = 0 in lines + 0 ignored + 1 unexplained + 4 held back + 1 lost",
        "  unexplained  1 unlink",
        "  held back    2 unlink, 2 open",
        "  lost         1 unlink",
    ]
    assert sums_of(talk.pipeline, {"seen": {"unlink": 1}}, 0) == Tally(seen={"unlink": 1}, unexplained={"unlink": 1})
