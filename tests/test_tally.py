# SPDX-License-Identifier: Apache-2.0
"""The sums add up, and say so: at the end, and on the way, when some of what was seen is nowhere yet."""

from __future__ import annotations

from panorama.tally import Tally

PARTS = {
    "in_lines": {"open": 2, "read": 1},
    "ignored": {"locale": {"open": 1}, "pipes": {"read": 3, "close": 1}, "unused": {}},
    "unexplained": {"close": 4, "open": 5},
    "held": {"write": 6},
    "lost": {"read": 7},
}
SEEN = {"open": 8, "read": 11, "close": 5, "write": 6}


def test_at_the_end_everything_is_somewhere() -> None:
    tally = Tally(seen=SEEN, **PARTS, lines=9, skipped=2)  # type: ignore[arg-type]
    assert tally.missing() == {}
    assert tally.text().splitlines() == [
        "9 lines; 30 events = 3 in lines + 5 ignored + 9 unexplained + 6 held back + 7 lost",
        "  ignored      pipes: 3 read, 1 close",
        "  ignored      locale: 1 open",
        "  unexplained  5 open, 4 close",
        "  held back    6 write",
        "  lost         7 read",
        "  skipped      2 records that did not decode, came again or too late",
    ]


def test_what_is_nowhere_at_the_end_is_said() -> None:
    tally = Tally(seen=SEEN | {"chmod": 1}, **PARTS)  # type: ignore[arg-type]
    assert tally.missing() == {"chmod": 1}
    assert tally.equation().endswith(" + 7 lost + 1 unaccounted for")


def test_on_the_way_some_is_in_machines_and_some_under_way() -> None:
    """Under way is what is nowhere: it is not read yet, or in a session that is still open."""
    tally = Tally(seen=SEEN | {"chmod": 3}, **PARTS, waiting={"chmod": 2}, so_far=True, early=4)  # type: ignore[arg-type]
    assert tally.equation() == (
        "33 events = 3 in lines + 5 ignored + 9 unexplained + 6 held back + 7 lost + 2 in machines + 1 under way"
    )
    assert tally.missing() == {"chmod": 1}
    assert tally.rows()[-2:] == [
        ("in machines", "2 chmod"),
        ("early", "4 operations, written while a machine had them: too many were held"),
    ]
    assert Tally(so_far=True).equation().endswith(" + 0 in machines + 0 under way")
