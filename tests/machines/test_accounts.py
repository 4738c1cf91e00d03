# SPDX-License-Identifier: Apache-2.0
"""Conservation: with any behaviors, rules and losses, every syscall that the sensor saw is in exactly one place."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from behavior_strategies import SECOND, behavior_texts, events
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panorama.event import Event, Held, Item, Loss
from panorama.ignore import IgnoreRules, Rule
from panorama.machines.compiler import compile_behaviors
from panorama.machines.spec import read_behaviors
from panorama.output.line import Line
from panorama.pipeline import Pipeline, sums_of
from panorama.tally import Tally

_RULES = [
    Rule("deep", "", paths=("/d/",)),
    Rule("a", "", paths=("/a",), only_read=True),
    Rule("gzip", "", exes=("/bin/gzip",)),
    Rule("b", "", paths=("/b",), exes=("/bin/sh",)),
]
_FATES = ("comes", "comes", "comes", "lost", "held", "held by the common limit", "held, nobody knows whose")


@dataclass
class _Kernel:
    """What the kernel counts of the events it sees, and what it sends of them."""

    seen: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    sequence: int = 0

    def send(self, event: Event, fate: str) -> Item:
        """The event, or what is told instead."""
        self.seen.update(event.calls)
        if fate.startswith("held"):
            self.held.update(event.calls)
            known = fate != "held, nobody knows whose"
            return Held(event.time, 1, 100, event.process if known else None, fate != "held", 0 if known else 30)
        self.sequence += 1
        if fate == "lost":
            self.lost.update(event.calls)
            return Loss(event.time, 0, self.sequence - 1, 1, since_boot=self.sequence % 3 * 20)
        return replace(event, sequence=self.sequence - 1)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    texts=behavior_texts(),
    stream=events(),
    rules=st.lists(st.sampled_from(_RULES), max_size=3, unique_by=lambda rule: rule.name),
    fates=st.lists(st.sampled_from(_FATES), min_size=30, max_size=30),
)
def test_all_that_was_seen_is_somewhere_at_every_moment(
    texts: dict[str, str], stream: list[Event], rules: list[Rule], fates: list[str]
) -> None:
    """In lines, ignored, unexplained, held back, lost, or, until the end, with machines that may yet say something."""
    kernel, lines = _Kernel(), list[Line]()
    pipeline = Pipeline(compile_behaviors(read_behaviors(texts)), IgnoreRules(rules), lines.append)

    def so_far() -> Tally:
        sums = {"seen": dict(kernel.seen), "lost": dict(kernel.lost), "held": dict(kernel.held)}
        return sums_of(pipeline, sums, 0)

    for event, fate in zip(stream, fates, strict=False):
        pipeline.take([kernel.send(event, fate)])
        assert so_far().missing() == {}
    pipeline.advance(stream[-1].time + 5 * SECOND)
    assert so_far().missing() == {}
    pipeline.finish()
    assert (so_far().missing(), so_far().waiting) == ({}, {})
    assert pipeline.lines == len(lines)
    gaps = sum(fate == "lost" for _, fate in zip(stream, fates, strict=False))
    assert pipeline.losses == gaps == sum(line.verb == "lost" for line in lines)
