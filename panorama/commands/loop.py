# SPDX-License-Identifier: Apache-2.0
"""The loop around the sensor that `run`, `watch` and `record` share, and how it is stopped."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from ..demand import demand_of
from ..pipeline import Pipeline, sums_of
from ..sensor.live import Sensor
from ..service.delivery import Delivery
from ..tally import Tally, added
from .options import Loaded
from .recording import Recording

__all__ = ["Loop", "said", "settle", "stopped"]

_IDLE = 60.0  # s without anything to do
_MOST_NOTES = 4096  # bytes, one for each signal
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
    """True once somebody asked to stop: SIGTERM, SIGINT; `by` has which. SIGHUP and SIGUSR1 never kill: see `hung_up`
    and `asked`.

    The handlers only make a note, because they run in the middle of anything; `wakes` is a descriptor that can be read
    when one did, for who waits.
    """

    def __init__(self) -> None:
        self.wakes, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self.by: set[int] = set()
        self._hung_up = self._asked = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._hangup)
        signal.signal(signal.SIGUSR1, self._ask)

    def __bool__(self) -> bool:
        return bool(self.by)

    def hung_up(self) -> bool:
        """Whether SIGHUP came since this was asked last."""
        asked, self._hung_up = self._hung_up, False
        return asked

    def asked(self) -> bool:
        """Whether SIGUSR1 came since this was asked last: somebody wants the sums so far."""
        asked, self._asked = self._asked, False
        return asked

    def woken(self) -> None:
        """Takes the notes away from `wakes`."""
        os.read(self.wakes, _MOST_NOTES)

    def _stop(self, number: int, _: object) -> None:
        self.by.add(number)

    def _hangup(self, *_: object) -> None:
        self._hung_up = True

    def _ask(self, *_: object) -> None:
        self._asked = True


class Loop:
    """A sensor, its pipeline and where the lines go: the loop that `run`, `watch` and `record` have in common."""

    def __init__(
        self,
        loaded: Loaded,
        delivery: Delivery,
        trace: Recording | None,
        follow: bool,
        long_open: float,
        ring_pages: int = 4096,
        process_limit: int = 0,
        global_limit: int = 0,
        log: str = "all",
    ) -> None:
        self.delivery = delivery
        self.trace = trace
        self._asked: Callable[[], bool] = lambda: False
        self.every = float("inf")  # s that a round may take at most
        self.loaded = loaded
        self.pipeline = Pipeline(loaded.program, loaded.rules, delivery.take, log=log)
        rules = loaded.rules
        self.sensor = Sensor(
            demand_of(loaded.program, rules),
            ignores=lambda event: rules.match(event) is not None,
            follow=follow,
            long_open=long_open,
            ring_pages=ring_pages,
            process_limit=process_limit,
            global_limit=global_limit,
        )
        settle()

    def start(self, stop: stopped) -> None:
        """From here on things are seen; a signal ends a wait for more, and SIGUSR1 has the sums so far printed."""
        self._asked = stop.asked
        self.sensor.start()
        self.sensor.wake_on(stop.wakes, stop.woken)

    def turn(self, timeout: float | None = None) -> None:
        """One round: what came, what timed out, what waits in sinks. Without `timeout` it waits until there is work."""
        items = self.sensor.poll(self._patience() if timeout is None else timeout)
        if self.trace:
            for item in items:
                self.trace.write(item)
        self.pipeline.take(items)
        now = time.time_ns()
        if not items:
            self.pipeline.advance(now - _LATE)
        self.delivery.turn(now)
        if self._asked():
            print(said(self.sums()), file=sys.stderr)

    def _patience(self) -> float:
        """How long there is nothing to do, in seconds, if nothing happens."""
        if any(sink.busy for sink in self.delivery.sinks):
            return _RETRY
        due = self.pipeline.next_due + _LATE
        if self.delivery.due:
            due = min(due, self.delivery.due)
        return min(_IDLE, self.every, max(0.0, (due - time.time_ns()) / 1e9))

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
        sums = self._sensed()
        if self.trace:
            self.trace.end({**sums, "time": now})
        return sums_of(self.pipeline, sums, self.sensor.skipped)

    def sums(self) -> Tally:
        """The sums so far."""
        tally = sums_of(self.pipeline, self._sensed(), self.sensor.skipped)
        tally.so_far = True
        return tally

    def _sensed(self) -> dict[str, Any]:
        """What the sensor counted on its own side, ignored syscalls by the names of the rules."""
        counts = self.sensor.kernel.counts()
        names = [rule.name for rule in self.loaded.rules.rules]
        ignored: dict[str, dict[str, int]] = {}
        for rules in (counts.ignored, self.sensor.ignored):
            for number, calls in rules.items():
                name = names[number] if number < len(names) else f"rule {number}"
                ignored[name] = added(ignored.get(name, {}), calls)
        return {
            "seen": counts.seen,
            "held": counts.held,
            "lost": added(counts.lost, self.sensor.lost),
            "unexplained": added(counts.unexplained, self.sensor.unexplained),
            "ignored": ignored,
        }


def said(tally: Tally, delivery: Delivery | None = None) -> str:
    """The sums for people. A delivery that is given has been closed; what its sinks could not write is said."""
    left = delivery.not_written() if delivery else ""
    return f"panorama: {tally.text()}" + (f"\n  {left}" if left else "")
