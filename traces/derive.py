#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes traces of what is hard to record from recorded ones: `make traces` runs it, tests compare with its result.

lossy: records missing, as the sensor tells it. pid-reuse: one pid for process after process, none seen to end.
reordered: what two cpus reported comes in another order than it happened.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from panorama.event import Event, Item, Loss  # noqa: E402
from panorama.tally import added  # noqa: E402
from panorama.trace import Trace, TraceWriter, read_trace  # noqa: E402

Items = list[Item]

BLOCK = 8


def lossy(items: Items, end: dict[str, dict[str, int]], offset: int = 4) -> Items:
    """Three in twenty records of each cpu are gone; in their place a loss, before the next record of that cpu."""
    kept: Items = []
    expected: dict[int, int] = {}
    for item in items:
        assert isinstance(item, Event)
        if offset <= item.sequence % 20 < offset + 3:
            end["lost"] = added(end["lost"], item.calls)
            continue
        first = expected.get(item.cpu, 0)
        if item.sequence > first:
            kept.append(Loss(item.time, item.cpu, first, item.sequence - first))
        expected[item.cpu] = item.sequence + 1
        kept.append(item)
    return kept


def pid_reuse(items: Items, end: dict[str, dict[str, int]]) -> Items:
    """All processes but the shell have the pid of the first of them, and their own start; their ends are missing."""
    events = [item for item in items if isinstance(item, Event)]
    shell = events[0].process.pid
    pid = next(event.process.pid for event in events if event.process.pid != shell)
    others = [replace(e, process=replace(e.process, pid=pid)) if e.process.pid != shell else e for e in events]
    kept = [event for event in others if event.process.pid == shell or "exit" not in event.triggers]
    end["seen"] = end["seen"] | {"exit": end["seen"]["exit"] - (len(others) - len(kept))}
    return kept


def reordered(items: Items, end: dict[str, dict[str, int]]) -> Items:
    """In every block of eight, what one cpu reported comes after what the next one did."""
    events = [item for item in items if isinstance(item, Event)]
    blocks = [events[at : at + BLOCK] for at in range(0, len(events), BLOCK)]
    return [event for block in blocks for event in sorted(block, key=lambda event: -event.cpu)]


# name: the trace it is made of, and how
DERIVED: dict[str, tuple[str, Callable[[Items, dict[str, dict[str, int]]], Items]]] = {
    "lossy": ("zip-and-unzip", lossy),
    "pid-reuse": ("cp-and-mv", pid_reuse),
    "reordered": ("ssh", reordered),
}


def derived(name: str) -> str:
    """The text of a derived trace."""
    source, change = DERIVED[name]
    trace: Trace = read_trace(HERE / f"{source}.jsonl", _fail)
    items = list(trace)
    end = dict(trace.end or {})
    stream = io.StringIO()
    writer = TraceWriter(stream, trace.header)
    for item in change(items, end):
        writer.write(item)
    writer.end(end)
    return stream.getvalue()


def _fail(problem: object) -> None:
    raise ValueError(str(problem))


if __name__ == "__main__":
    for name in DERIVED:
        (HERE / f"{name}.jsonl").write_text(derived(name), "ascii")
        print(f"{name}.jsonl", flush=True)
