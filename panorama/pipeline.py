# SPDX-License-Identifier: Apache-2.0
"""The way of the data in user space, the same for a kernel and for a trace: event -> rules -> machines -> sinks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from .event import Event, Held, Item, Loss, Member, Process
from .floods import Floods
from .ignore import IgnoreRules
from .machines.compiler import Program
from .machines.engine import Engine
from .machines.holding import MOST_HELD
from .machines.runner import Watcher
from .output.line import Line
from .output.notice import notice
from .tally import Tally, added

__all__ = ["Pipeline", "sums_of"]

_BATCH = 256
_EARLY_EVERY = 60 * 10**9  # ns


class Pipeline:
    """Feed it items in order with `take`, then `finish` once. `deliver` gets each line.

    It reads no clock: what it does depends on the items alone, so a trace gives the same lines again. What was lost or
    held back is told in the name of `recorder`, the Panorama that sensed it: this process unless given. `log` is a
    value of the setting of that name.
    """

    def __init__(
        self,
        program: Program,
        rules: IgnoreRules,
        deliver: Callable[[Line], None],
        recorder: Process | None = None,
        log: str = "all",
        watcher: Watcher | None = None,
        most_held: int = MOST_HELD,
    ) -> None:
        self.engine = Engine(program, hold=log == "activities", watcher=watcher, most_held=most_held)
        self.rules = rules
        self.lines = 0
        self.losses = 0  # records that never came
        self._deliver = deliver
        self._recorder = recorder
        self._early = 0  # operations written before their activities were over, of which that was said
        self._early_due = 0
        self._floods = Floods(recorder)

    def take(self, items: Iterable[Item]) -> None:
        """In small batches: a processor does the same thing many times much faster than many things in turn."""
        source = iter(items)
        keep, feed, floods, holding = self.rules.keep, self.engine.feed, self._floods, self.engine.holding
        while batch := list(islice(source, _BATCH)):
            lines: list[Line] = []
            for item in batch:
                if floods:
                    lines += self._told(item)
                if isinstance(item, Loss):
                    lines += self._lost(item)
                elif isinstance(item, Held):
                    self.engine.taint(item)
                    floods.take(item)
                elif isinstance(item, Member):
                    self.engine.admit(item)
                elif keep(item):
                    lines += feed(item)
                    if holding.overflowed != self._early and item.time >= self._early_due:
                        lines.append(self._too_many(item.time))
                else:
                    lines += self.engine.advance(item.time)
            self._write(lines)

    def _lost(self, loss: Loss) -> list[Line]:
        self.engine.taint(loss)
        if loss.missed:
            words = f"up to {loss.count} events (skipped by the kernel)"
            return [notice(loss.time, "lost", words, process=self._recorder)]
        self.losses += loss.count
        if not loss.count:
            return []
        which = f"{loss.first} to {loss.first + loss.count - 1}"
        where = f"cpu {loss.cpu}, sequence {which}" if loss.cpu >= 0 else f"records {which} of the trace"
        return [notice(loss.time, "lost", f"{loss.count} events ({where})", process=self._recorder)]

    def _too_many(self, time: int) -> Line:
        """More operations waited for their activities than may: at most once a minute, and at the end."""
        early, self._early = self.engine.holding.overflowed - self._early, self.engine.holding.overflowed
        self._early_due = time + _EARLY_EVERY
        words = (
            f"{early} operations before their activities were over: no more than {self.engine.holding.most} can wait"
        )
        return notice(time, "wrote", words, process=self._recorder)

    def _told(self, item: Item) -> list[Line]:
        """What is to be said of floods before an item."""
        lines = self._floods_until(item.time)
        if isinstance(item, Event) and "exit" in item.triggers:
            lines += self._floods.ended(item.process, item.time)
        return lines

    def _floods_until(self, time: int) -> list[Line]:
        """The lines on floods that are due by then, in turn with the timeouts of machines."""
        lines: list[Line] = []
        while self._floods.next_due <= time:
            lines += self.engine.advance(self._floods.next_due)
            lines += self._floods.next_line()
        return lines

    def advance(self, time: int) -> None:
        """Lets timeouts run out that were due by `time` (ns since 1970): nothing may happen for long."""
        self._write(self._floods_until(time) + self.engine.advance(time))

    @property
    def next_due(self) -> int:
        """Nothing runs out before that (ns since 1970), see `advance`."""
        return min(self.engine.next_due, self._floods.next_due)

    def finish(self) -> None:
        """The end of the input: every machine says what it still has to say."""
        lines = self._floods.rest() + self.engine.finish()
        if self.engine.holding.overflowed != self._early:
            lines.append(self._too_many(self._early_due))
        self._write(lines)

    def tally(
        self, seen: dict[str, int], lost: dict[str, int], unexplained: dict[str, int], held: dict[str, int]
    ) -> Tally:
        """The sums so far, with what the sensor counted on its own side."""
        counted = self.engine.accounts
        return Tally(
            seen=seen,
            in_lines=dict(counted.in_lines),
            ignored={name: dict(counts) for name, counts in self.rules.ignored.items()},
            unexplained=added(unexplained, counted.unexplained),
            held=held,
            lost=lost,
            waiting=dict(counted.held()),
            lines=self.lines,
            early=self.engine.holding.overflowed,
        )

    def _write(self, lines: list[Line]) -> None:
        for line in lines:
            self.lines += 1
            self._deliver(line)


def sums_of(pipeline: Pipeline, sums: Mapping[str, Any], skipped: int, damaged: bool = False) -> Tally:
    """The pipeline's sums joined with the sensor's, which are also the last line of a trace.

    Of a damaged trace, one that records are missing from, what the sensor saw and nobody got is what they told of.
    """
    seen, lost, unexplained, held = (_counts(sums, name) for name in ("seen", "lost", "unexplained", "held"))
    tally = pipeline.tally(seen, lost, unexplained, held)
    ignored = sums.get("ignored")
    if isinstance(ignored, dict):
        for name, calls in ignored.items():
            if isinstance(calls, dict):
                tally.ignored[name] = added(tally.ignored.get(name, {}), calls)
    tally.skipped = skipped
    if damaged:
        tally.lost = added(tally.lost, {name: gap for name, gap in tally.missing().items() if gap > 0})
    return tally


def _counts(sums: Mapping[str, Any], name: str) -> dict[str, int]:
    found = sums.get(name)
    return {trigger: n for trigger, n in found.items() if isinstance(n, int)} if isinstance(found, dict) else {}
