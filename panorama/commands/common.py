# SPDX-License-Identifier: Apache-2.0
"""What several commands share: options, loading behaviors, and the loop around the sensor."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .. import __version__
from ..demand import demand_of
from ..errors import UsageError
from ..ignore import IgnoreRules, load_ignore
from ..machines.compiler import Program, compile_behaviors
from ..machines.model import BehaviorSet
from ..machines.spec import load_behaviors
from ..output.context import Context, live_context
from ..output.formats import FORMATS
from ..output.line import Line
from ..output.sinks import Sink
from ..output.text import HEADER, wants_colour
from ..paths import BEHAVIORS
from ..pipeline import Pipeline
from ..plain import nearest
from ..sensor.live import Sensor
from ..tally import Tally, added
from ..trace import TraceHeader, TraceWriter, create_trace

__all__ = ["Loaded", "Session", "add_behavior_options", "add_format_option", "console_context", "load", "record_to", "stopped"]

SITE_BEHAVIORS = Path("/etc/panorama/behaviors")
_POLL = 0.5  # s


@dataclass(frozen=True)
class Loaded:
    """Behaviors compiled, and the ignore rules beside them."""

    program: Program
    rules: IgnoreRules


def add_behavior_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-b",
        "--behaviors",
        metavar="PATH",
        action="append",
        type=Path,
        help="a behavior file or a folder of them; may be given more than once (default: the shipped ones"
        f" and those in {SITE_BEHAVIORS})",
    )
    parser.add_argument(
        "--enable",
        metavar="NAME",
        action="append",
        default=[],
        help="switch on a behavior that is shipped but off, such as exec",
    )
    parser.add_argument(
        "--ignore", metavar="FILE", type=Path, help="ignore rules (default: ignore.yaml beside the behaviors)"
    )


def add_format_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=sorted(FORMATS), default="text", help="how lines are written (default: text)")


def load(arguments: argparse.Namespace) -> Loaded:
    """What the options ask for, or InputError with everything wrong in it."""
    given: list[Path] = arguments.behaviors or [BEHAVIORS, *([SITE_BEHAVIORS] if SITE_BEHAVIORS.is_dir() else [])]
    behaviors = _switched_on(load_behaviors(given), arguments.enable)
    beside = [path / "ignore.yaml" for path in reversed(given) if path.is_dir()] + [BEHAVIORS / "ignore.yaml"]
    rules = load_ignore(arguments.ignore or next((path for path in beside if path.exists()), beside[-1]))
    return Loaded(compile_behaviors(behaviors), rules)


def _switched_on(behaviors: BehaviorSet, names: Sequence[str]) -> BehaviorSet:
    known = [behavior.name for behavior in behaviors]
    for name in names:
        if name not in known:
            raise UsageError(f"--enable: there is no behavior '{name}'{nearest(name, known)}")
    return BehaviorSet(tuple(replace(each, enabled=each.enabled or each.name in names) for each in behaviors))


def console_context(debug: bool, stream: int = 1) -> Context:
    """For people: colours if that is a terminal and they do not mind."""
    file = sys.stdout if stream == 1 else sys.stderr
    return replace(live_context(), debug=debug, colour=wants_colour(file, os.environ))


def header(format_name: str) -> str:
    return HEADER if format_name == "text" else ""


def record_to(path: str | None, loaded: Loaded, command: Sequence[str] = ()) -> TraceWriter | None:
    if not path:
        return None
    context = live_context()
    return create_trace(
        path,
        TraceHeader(
            kernel=platform.release(),
            host=context.host,
            boot_id=context.boot_id,
            command=tuple(command),
            panorama=__version__,
            behaviors=loaded.program.digest,
            started=time.time_ns(),
        ),
    )


class stopped:
    """True once somebody asked to stop: SIGTERM, SIGINT. `on_hangup` is called for SIGHUP."""

    def __init__(self, on_hangup: Callable[[], None] = lambda: None, ignore_interrupt: bool = False) -> None:
        self._asked = False
        self._on_hangup = on_hangup
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._hangup)
        del ignore_interrupt

    def __bool__(self) -> bool:
        return self._asked

    def _stop(self, *_: object) -> None:
        self._asked = True

    def _hangup(self, *_: object) -> None:
        self._on_hangup()


class Session:
    """A sensor, its pipeline and where the lines go: the loop that `run`, `watch` and `record` have in common."""

    def __init__(
        self, loaded: Loaded, sinks: Sequence[Sink], trace: TraceWriter | None, follow: bool, long_open: float
    ) -> None:
        self.sinks = sinks
        self._trace = trace
        self._loaded = loaded
        self.pipeline = Pipeline(loaded.program, loaded.rules, self._deliver)
        rules = loaded.rules
        self.sensor = Sensor(
            demand_of(loaded.program, rules),
            ignores=lambda event: rules.match(event) is not None,
            follow=follow,
            long_open=long_open,
        )

    def _deliver(self, line: Line) -> None:
        for sink in self.sinks:
            sink.write(line)

    def turn(self, timeout: float = _POLL) -> None:
        """One round: what came, what timed out, what waits in sinks."""
        items = self.sensor.poll(timeout)
        if self._trace:
            for item in items:
                self._trace.write(item)
        self.pipeline.take(items)
        if not items:
            self.pipeline.advance(time.time_ns())
        for sink in self.sinks:
            sink.flush()

    def end(self) -> Tally:
        """Stops the sensor, writes what is left, and returns the sums."""
        items = self.sensor.stop()
        if self._trace:
            for item in items:
                self._trace.write(item)
        self.pipeline.take(items)
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
        if self._trace:
            self._trace.end(sums)
            self._trace.close()
        return sums_of(self.pipeline, sums, self.sensor.skipped)


def sums_of(pipeline: Pipeline, sums: dict[str, dict[str, int] | dict[str, dict[str, int]]], skipped: int) -> Tally:
    """The pipeline's sums joined with the sensor's, which are also the last line of a trace."""
    tally = pipeline.tally(_counts(sums, "seen"), _counts(sums, "lost"), _counts(sums, "unexplained"))
    ignored = sums.get("ignored")
    if isinstance(ignored, dict):
        for name, calls in ignored.items():
            if isinstance(calls, dict):
                tally.ignored[name] = added(tally.ignored.get(name, {}), calls)
    tally.skipped = skipped
    return tally


def _counts(sums: dict[str, dict[str, int] | dict[str, dict[str, int]]], name: str) -> dict[str, int]:
    found = sums.get(name, {})
    return {trigger: n for trigger, n in found.items() if isinstance(n, int)}


@contextmanager
def closing(sinks: Sequence[Sink]) -> Iterator[None]:
    try:
        yield
    finally:
        for sink in sinks:
            sink.close()
