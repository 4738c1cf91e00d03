# SPDX-License-Identifier: Apache-2.0
"""The kernel's running counts of what it held back, to reports that tell each record once."""

from __future__ import annotations

from typing import cast

import pytest

from panorama.event import Held, Process, ProcessKey
from panorama.sensor.held import HeldBack
from panorama.sensor.kernel import Kernel

ALIVE = Process(1, 500, command="init")  # pid 1 is there on every machine
GONE = Process((1 << 22) + 1, 900, command="gone")  # no pid is that high, proc(5)


class Table:
    """What HeldBack asks of the kernel."""

    def __init__(self) -> None:
        self.rates = (100, 1000)
        self.limited = True
        self.counts: dict[ProcessKey, tuple[int, int]] = {}
        self.looks = 0

    def held(self) -> int:
        return sum(map(sum, self.counts.values()))

    def held_by_process(self) -> dict[ProcessKey, tuple[int, int]]:
        self.looks += 1
        return dict(self.counts)

    def forget_held(self, process: ProcessKey) -> None:
        del self.counts[process]


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def back(table: Table) -> HeldBack:
    return HeldBack(cast(Kernel, table))


def who(key: ProcessKey) -> Process:
    return {ALIVE.key: ALIVE, GONE.key: GONE}[key]


def test_a_record_tells_what_is_new_since_the_one_before(back: HeldBack) -> None:
    """By limit; two processors that overtake each other do not make it twice as much, or less than nothing."""
    assert back.carried(ALIVE, (3, 0), 10) == [Held(10, 3, 100, ALIVE)]
    assert back.carried(ALIVE, (3, 0), 11) == []
    assert back.carried(ALIVE, (9, 2), 12) == [Held(12, 6, 100, ALIVE), Held(12, 2, 1000, ALIVE, everyone=True)]
    assert back.carried(ALIVE, (7, 2), 13) == []
    assert back.carried(ALIVE, (10, 2), 14) == [Held(14, 1, 100, ALIVE)]
    assert back.carried(GONE, (1, 0), 15) == [Held(15, 1, 100, GONE)]


def test_the_table_tells_what_no_record_has(table: Table, back: HeldBack) -> None:
    """Once; what records brought after the look is not told again."""
    assert back.carried(ALIVE, (3, 0), 10) == [Held(10, 3, 100, ALIVE)]
    table.counts = {ALIVE.key: (8, 0), GONE.key: (0, 4)}
    back.look(0)
    assert back.carried(ALIVE, (9, 0), 11) == [Held(11, 6, 100, ALIVE)]
    assert back.found(12, who) == [Held(12, 4, 1000, GONE, everyone=True)]
    assert back.found(13, who) == []


def test_the_table_is_looked_at_only_if_something_was_counted(table: Table, back: HeldBack) -> None:
    for now in range(4):
        back.look(now)
    assert table.looks == 0
    table.counts = {ALIVE.key: (1, 0)}
    for now in range(4):
        back.look(now)
    assert table.looks == 1
    assert back.due > 3
    table.limited = False
    assert back.due == 2**63


def test_a_process_that_ended_unheard_leaves_the_table(table: Table, back: HeldBack) -> None:
    """The record of its end was lost: what it carried is found here, and nothing of it stays."""
    table.counts = {ALIVE.key: (1, 0), GONE.key: (2, 0)}
    back.look(0)
    assert [item.process for item in back.found(5, who)] == [ALIVE, GONE]
    assert table.counts == {ALIVE.key: (1, 0)}


def test_what_is_told_of_is_forgotten_with_the_table_s_entry(table: Table, back: HeldBack) -> None:
    """A process that ended is not kept, one that came since the look is."""
    back.carried(GONE, (5, 0), 1)
    table.counts = {ALIVE.key: (1, 0)}
    back.look(0)
    back.carried(Process(7, 7), (2, 0), 2)
    back.found(3, who)
    assert back._told.keys() == {ALIVE.key, (7, 7)}


def test_those_who_share_a_bucket_have_no_name(table: Table, back: HeldBack) -> None:
    """It is told with the time since boot, as only younger processes cannot have missed anything."""
    table.counts = {(0, 0): (5, 0)}
    back.look(0)
    (item,) = back.found(5, who)
    assert (item.process, item.count) == (None, 5)
    assert item.since_boot > 0
