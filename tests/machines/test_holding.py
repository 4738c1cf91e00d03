# SPDX-License-Identifier: Apache-2.0
"""Under `log: activities` operations wait for the activities they may belong to; never too many, never in silence."""

from __future__ import annotations

from event_samples import SHELL, child_of, point, session, shown

from panorama.ignore import IgnoreRules
from panorama.machines.compiler import compile_behaviors
from panorama.machines.spec import read_behaviors
from panorama.output.line import Line
from panorama.pipeline import Pipeline

READ = """\
behavior: read
summary: A sample.
layer: operation
per: file
initial: new
transitions:
- {trigger: read, source: new, emit: read}
"""
BOTH = """\
behavior: both
summary: Two files read by one program.
layer: activity
per: process
initial: idle
transitions:
- {trigger: read, source: idle, dest: one, save: {first: file}}
- {trigger: read, source: one, emit: "read-both {first} {file}"}
"""


WATCHES = """\
behavior: watches
summary: A file read and changed.
layer: activity
per: process
hold: false
initial: idle
transitions:
- {trigger: read, source: idle, dest: one}
- {trigger: chmod, source: one}
- {trigger: remove, source: one, emit: never}
"""
CHMOD = """\
behavior: chmod
summary: A sample.
layer: operation
per: process
initial: any
transitions:
- {trigger: chmod, source: any, emit: chmod}
- {trigger: unlink, source: any, emit: remove}
"""


def piped(most_held: int, lines: list[Line]) -> Pipeline:
    program = compile_behaviors(read_behaviors({"read.yaml": READ, "both.yaml": BOTH}))
    return Pipeline(program, IgnoreRules([]), lines.append, SHELL, "activities", most_held=most_held)


def test_what_waited_is_evidence_or_is_told_when_its_machine_gives_up() -> None:
    lines: list[Line] = []
    pipeline = piped(10, lines)
    one, other = child_of(SHELL, 201, "one"), child_of(SHELL, 202, "other")
    pipeline.take([session(one, "open read close", "/a"), session(other, "open read close", "/b", 1)])
    assert lines == []
    assert len(pipeline.engine.holding) == 2
    pipeline.take([session(one, "open read close", "/c", 2), point(other, "exit", second=3)])
    assert [shown(line) for line in lines] == ["one read-both a c", "other read b"]
    assert [shown(line) for line in lines[0].operations] == ["one read a", "one read c"]
    assert len(pipeline.engine.holding) == 0


def test_the_one_that_waits_longest_has_to_go_and_that_is_said() -> None:
    """At once for the first, then once a minute, and what is left at the end."""
    lines: list[Line] = []
    pipeline = piped(2, lines)
    for number in range(5):
        pipeline.take([session(child_of(SHELL, 201 + number, "tool"), "open read close", f"/{number}", number)])
    said = "bash wrote {} operations before their activities were over: no more than 2 can wait"
    assert [shown(line) for line in lines] == ["tool read 0", said.format(1), "tool read 1", "tool read 2"]
    pipeline.take([session(child_of(SHELL, 300, "tool"), "open read close", "/late", 70)])
    assert [shown(line) for line in lines[4:]] == ["tool read 3", said.format(3)]
    pipeline.take([session(child_of(SHELL, 301, "tool"), "open read close", "/later", 71)])
    pipeline.finish()
    assert [shown(line) for line in lines[6:]] == ["tool read 4", "tool read late", "tool read later", said.format(1)]
    assert pipeline.engine.holding.overflowed == 5


def test_a_machine_that_holds_nothing_lets_nothing_go() -> None:
    lines: list[Line] = []
    program = compile_behaviors(
        read_behaviors({"read.yaml": READ, "both.yaml": BOTH, "watches.yaml": WATCHES, "chmod.yaml": CHMOD})
    )
    pipeline = Pipeline(program, IgnoreRules([]), lines.append, SHELL, "activities")
    one = child_of(SHELL, 201, "one")
    pipeline.take([session(one, "open read close", "/a"), point(one, "chmod", "/a", 1, mode=0o600)])
    assert [shown(line) for line in lines] == ["one chmod a"]
    pipeline.take([session(one, "open read close", "/b", 2)])
    assert [shown(line) for line in lines[1:]] == ["one read-both a b"]


def test_what_was_told_early_is_evidence_all_the_same() -> None:
    lines: list[Line] = []
    pipeline = piped(1, lines)
    one, other = child_of(SHELL, 201, "one"), child_of(SHELL, 202, "other")
    pipeline.take([session(one, "open read close", "/a"), session(other, "open read close", "/b", 1)])
    pipeline.take([session(one, "open read close", "/c", 2)])
    assert [shown(line) for line in lines if line.process == one] == ["one read a", "one read-both a c"]
    assert [shown(line) for line in lines[-1].operations] == ["one read a", "one read c"]
