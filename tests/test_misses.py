# SPDX-License-Identifier: Apache-2.0
"""What a kernel that skipped calls of the sensor may have kept from us: told, in doubt, and the same in a replay."""

from __future__ import annotations

import io
import json

import pytest
from event_samples import SHELL, child_of, point, time_at

from panorama.event import Item, Loss
from panorama.ignore import IgnoreRules
from panorama.machines.compiler import compile_behaviors
from panorama.machines.spec import read_behaviors
from panorama.output.line import Line
from panorama.pipeline import Pipeline
from panorama.trace import Trace, TraceHeader, TraceWriter

PACK = """
behavior: pack
summary: Changes a mode, then removes a name.
layer: operation
per: process
initial: idle
transitions:
  - {trigger: chmod, source: idle, dest: seen}
  - {trigger: unlink, source: seen, dest: idle, emit: pack}
"""
LATER = child_of(SHELL, 9000, "cat")
MISSED = Loss(time_at(2), -1, 0, 5, since_boot=LATER.start, missed=True)
ITEMS: list[Item] = [
    point(SHELL, "chmod", "/d/g", 1),
    MISSED,
    point(SHELL, "unlink", "/d/g", 3),
    point(LATER, "chmod", "/d/h", 4),
    Loss(time_at(5), -1, 0, 2, missed=True),
    point(LATER, "unlink", "/d/h", 6),
]


def lines_of(items: list[Item]) -> tuple[list[Line], Pipeline]:
    lines: list[Line] = []
    pipeline = Pipeline(compile_behaviors(read_behaviors({"pack.yaml": PACK})), IgnoreRules([]), lines.append, SHELL)
    pipeline.take(items)
    pipeline.finish()
    return lines, pipeline


def test_it_is_told_in_its_place_and_what_was_under_way_is_in_doubt() -> None:
    """Not what began later. They were never records, so none of those is missing."""
    lines, pipeline = lines_of([*ITEMS[:4], ITEMS[5]])
    assert [(line.verb, line.certainty) for line in lines] == [
        ("lost", "certain"),
        ("pack", "partial"),
        ("pack", "certain"),
    ]
    assert lines[0].object == ("up to 5 events (skipped by the kernel)",)
    assert pipeline.losses == 0


@pytest.mark.parametrize("numbered", [True, False])
def test_a_replay_says_the_same(numbered: bool) -> None:
    """From a trace with numbers and from one without; nothing is missing from it."""
    stream = io.StringIO()
    writer = TraceWriter(stream, TraceHeader())
    for item in ITEMS:
        writer.write(item)
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    kept = [line if numbered else {name: line[name] for name in line if name != "number"} for line in written]
    trace = Trace(io.BytesIO("".join(f"{json.dumps(line)}\n" for line in kept).encode()), "t", print)
    read = list(trace)
    assert read == ITEMS
    assert (trace.missing, trace.problems) == (0, 0)
    assert lines_of(read)[0] == lines_of(ITEMS)[0]
