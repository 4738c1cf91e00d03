# SPDX-License-Identifier: Apache-2.0
"""The loop around the sensor that `run`, `watch` and `record` share, and how it is stopped."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..demand import demand_of
from ..errors import PanoramaError, SinkError
from ..output.line import Line
from ..pipeline import Pipeline, sums_of
from ..sensor.live import Sensor
from ..sinks import File, Sink
from ..tally import Tally, added
from .options import Loaded
from .recording import Recording

__all__ = ["Loop", "closing", "not_written", "reopen", "said", "settle", "stopped"]

_IDLE = 60.0  # s without anything to do
_RETRY = 0.5  # s until a sink that could not take lines is asked again
_LATE = 10**9  # ns an event may be old when it is read: timeouts wait for it, as they will in a replay


def settle() -> None:
    """What is there now stays, so that the garbage collector need not look at it again and again.

    What comes later has no cycles: reference counts free it, and collections may be rare.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class stopped:
    """True once somebody asked to stop: SIGTERM, SIGINT; `by` has which. SIGHUP never kills, see `hung_up`.

    The handlers only make a note, because they run in the middle of anything; `wakes` is a descriptor that can be read
    when one did, for who waits.
    """

    def __init__(self) -> None:
        self.wakes, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self.by: set[int] = set()
        self._hung_up = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._hangup)

    def __bool__(self) -> bool:
        return bool(self.by)

    def hung_up(self) -> bool:
        """Whether SIGHUP came since this was asked last."""
        asked, self._hung_up = self._hung_up, False
        return asked

    def _stop(self, number: int, _: object) -> None:
        self.by.add(number)

    def _hangup(self, *_: object) -> None:
        self._hung_up = True


class Loop:
    """A sensor, its pipeline and where the lines go: the loop that `run`, `watch` and `record` have in common."""

    def __init__(
        self,
        loaded: Loaded,
        sinks: Sequence[Sink],
        trace: Recording | None,
        follow: bool,
        long_open: float,
        ring_pages: int = 4096,
    ) -> None:
        self.sinks = sinks
        self.trace = trace
        self._loaded = loaded
        self.pipeline = Pipeline(loaded.program, loaded.rules, self._deliver)
        rules = loaded.rules
        self.sensor = Sensor(
            demand_of(loaded.program, rules),
            ignores=lambda event: rules.match(event) is not None,
            follow=follow,
            long_open=long_open,
            ring_pages=ring_pages,
        )
        settle()

    def _deliver(self, line: Line) -> None:
        for sink in self.sinks:
            sink.write(line)

    def start(self, stop: stopped) -> None:
        """From here on things are seen; a signal ends a wait for more."""
        self.sensor.start()
        self.sensor.wake_on(stop.wakes)

    def turn(self, timeout: float | None = None) -> None:
        """One round: what came, what timed out, what waits in sinks. Without `timeout` it waits until there is work."""
        items = self.sensor.poll(self._patience() if timeout is None else timeout)
        if self.trace:
            for item in items:
                self.trace.write(item)
        self.pipeline.take(items)
        if not items:
            self.pipeline.advance(time.time_ns() - _LATE)
        for sink in self.sinks:
            sink.flush()

    def _patience(self) -> float:
        """How long there is nothing to do, in seconds, if nothing happens."""
        if any(sink.busy for sink in self.sinks):
            return _RETRY
        due = self.pipeline.next_due + _LATE - time.time_ns()
        return min(_IDLE, max(0.0, due / 1e9))

    def end(self) -> Tally:
        """Stops the sensor, writes what is left, and returns the sums."""
        items = self.sensor.stop()
        if self.trace:
            for item in items:
                self.trace.write(item)
        self.pipeline.take(items)
        now = time.time_ns()
        self.pipeline.advance(now)
        self.pipeline.finish()
        counts = self.sensor.kernel.counts()
        names = [rule.name for rule in self._loaded.rules.rules]
        ignored: dict[str, dict[str, int]] = {}
        for rules in (counts.ignored, self.sensor.ignored):
            for number, calls in rules.items():
                name = names[number] if number < len(names) else f"rule {number}"
                ignored[name] = added(ignored.get(name, {}), calls)
        sums = {
            "seen": counts.seen,
            "lost": added(counts.lost, self.sensor.lost),
            "unexplained": added(counts.unexplained, self.sensor.unexplained),
            "ignored": ignored,
        }
        if self.trace:
            self.trace.end({**sums, "time": now})
        return sums_of(self.pipeline, sums, self.sensor.skipped)


def said(tally: Tally, sinks: Sequence[Sink] = ()) -> str:
    """The sums for people. `sinks` have been closed by then; what they could not write is said."""
    return f"panorama: {tally.text()}" + (f"\n  {not_written(sinks)}" if not_written(sinks) else "")


def not_written(sinks: Sequence[Sink]) -> str:
    """What is to be said of lines that closed sinks could not write; empty if they wrote all."""
    count = sum(sink.dropped + sink.waiting for sink in sinks)
    return f"sinks: {count} line{'s' * (count != 1)} not written" if count else ""


def reopen(sinks: Sequence[Sink]) -> None:
    """After a log rotation: files go on under their names; one that cannot be opened keeps the old file and says so."""
    for sink in sinks:
        if isinstance(sink, File):
            try:
                sink.reopen()
            except SinkError as error:
                print(f"panorama: {error}; going on in the old file", file=sys.stderr)


@contextmanager
def closing(sinks: Sequence[Sink]) -> Iterator[None]:
    """Closes every sink, also if closing one of them fails."""
    try:
        yield
    finally:
        _close(sinks)


def _close(sinks: Sequence[Sink]) -> None:
    failed: PanoramaError | None = None
    for sink in sinks:
        try:
            sink.close()
        except PanoramaError as error:
            failed = failed or error
    if failed:
        raise failed
