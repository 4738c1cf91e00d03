# SPDX-License-Identifier: Apache-2.0
"""What the kernel need not send makes no difference: the same lines with it and without."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from event_samples import SHELL, point, session

from panorama.event import Event
from panorama.machines.compiler import compile_behaviors
from panorama.machines.engine import Engine
from panorama.machines.model import Behavior, BehaviorSet, Condition, Emit, Test, Transition
from panorama.machines.spec import load_behaviors
from panorama.machines.unnoticed import notices_own_changes
from panorama.output.objects import object_text
from panorama.paths import BEHAVIORS

MADE = Condition("created", (Test("equal", True),), "flag")
EMPTIED = Condition("truncated", (Test("equal", True),), "flag")


def behavior(*transitions: Transition, per: str = "file") -> Behavior:
    return Behavior("b", "A sample.", "operation", per, "new", transitions)


def move(trigger: str, source: str, dest: str | None = None, *conditions: Condition, emit: str = "") -> Transition:
    return Transition((trigger,), (source,), dest, conditions, emit=Emit(emit) if emit else None)


OPENED = (move("open", "new", "own", MADE), move("open", "new", "own", EMPTIED))
CHANGED = (move("chmod", "new", "own", MADE), move("chmod", "new", "own", EMPTIED))
SAYS = move("chmod", "new", emit="chmod")
FOLLOWED = move("chmod", "own", "own")


@pytest.mark.parametrize(
    ("sample", "notices"),
    [
        (behavior(*OPENED, move("close", "own")), False),
        (behavior(*OPENED, *CHANGED, SAYS, FOLLOWED), False),
        (behavior(*OPENED, SAYS, FOLLOWED), True),  # the change alone gives a line
        (behavior(*CHANGED, SAYS, FOLLOWED), True),  # the session will not lead there
        (behavior(*OPENED[:1], *CHANGED, SAYS, FOLLOWED), True),  # not that of an emptied file
        (behavior(*OPENED, *CHANGED, SAYS, move("chmod", "own", emit="chmod")), True),
        (behavior(*OPENED, *CHANGED, SAYS, FOLLOWED, move("unlink", "own", emit="lost")), True),
        (behavior(*OPENED, *CHANGED, SAYS, FOLLOWED, move("unlink", "own")), False),
        (behavior(*OPENED, *CHANGED, SAYS, FOLLOWED, move("unlink", "new", "gone")), True),
        (behavior(*OPENED, *CHANGED, SAYS, FOLLOWED, move("open", "own", "again")), True),
        (behavior(move("chmod", "new", emit="chmod"), per="process"), True),
        (behavior(move("child.chmod", "new", emit="chmod"), per="process"), True),
    ],
)
def test_own_changes(sample: Behavior, notices: bool) -> None:
    assert notices_own_changes(sample) is notices


def test_the_behaviors_that_come_with_it_do_not_notice() -> None:
    program = compile_behaviors(load_behaviors([BEHAVIORS]))
    assert "chmod" in program.triggers
    assert not program.keeps_own_changes


def streams() -> Iterator[list[Event]]:
    """A file that was there or not is made or emptied, its mode set while open, and something may happen meanwhile."""
    befores: list[list[Event]] = [
        [],
        [session(SHELL, "open write close", "/f", 1, created=True)],
        [point(SHELL, "chmod", "/f", 1)],
        [point(SHELL, "mkdir", "/f", 1), point(SHELL, "rename", "/f", 1.5, to="/g")],
    ]
    betweens: list[tuple[list[Event], str]] = [
        ([], "/f"),
        ([point(SHELL, "unlink", "/f", 4)], "/f"),
        ([point(SHELL, "rename", "/f", 4, to="/g")], "/g"),
        ([point(SHELL, "mkdir", "/d", 4)], "/f"),
    ]
    afters: list[list[Event]] = [
        [],
        [point(SHELL, "chmod", "/f", 7), point(SHELL, "chmod", "/g", 8)],
        [point(SHELL, "unlink", "/f", 7), session(SHELL, "open read close", "/f", 8)],
    ]
    for before in befores:
        for between, name in betweens:
            for after in afters:
                for how in ("created", "truncated"):
                    changes = [point(SHELL, "chmod", "/f", 3, **{how: True})] * 2
                    end = session(SHELL, "open write close", name, 5, **{how: True})
                    yield [*before, *changes, *between, end, *after]


def told(program_of: Behavior, events: list[Event]) -> list[str]:
    engine = Engine(compile_behaviors(BehaviorSet((program_of,))))
    lines = [line for event in events for line in engine.feed(event)]
    return [f"{line.verb} {object_text(line)} {line.time} {line.states}" for line in [*lines, *engine.finish()]]


def test_without_own_changes_the_lines_are_the_same() -> None:
    """Random behaviors that do not notice them, on streams with and without them."""
    dice = random.Random(7)
    states, triggers = ("new", "own", "more"), ("open", "close", "chmod", "chmod", "unlink", "rename", "mkdir")
    found = 0
    for _ in range(20_000):
        sample = behavior(
            *OPENED,
            *(
                move(
                    dice.choice(triggers),
                    dice.choice(states),
                    dice.choice((None, *states[1:])),
                    *dice.choice(((), (), (MADE,), (EMPTIED,))),
                    emit=dice.choice(("", "", "say")),
                )
                for _ in range(dice.randint(2, 6))
            ),
        )
        if "chmod" not in sample.triggers or notices_own_changes(sample):
            continue
        found += 1
        for events in streams():
            fewer = [
                event for event in events if not (event.created or event.truncated) or event.triggers[0] != "chmod"
            ]
            assert told(sample, fewer) == told(sample, events), sample
        if found == 40:
            break
    assert found == 40
