# SPDX-License-Identifier: Apache-2.0
"""What several commands share: options, loading behaviors, and the loop around the sensor."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..demand import demand_of
from ..errors import InputError, PanoramaError, Problem, SinkError, UsageError
from ..ignore import IgnoreRules, load_ignore
from ..machines.compiler import Program, compile_behaviors
from ..machines.model import BehaviorSet
from ..machines.spec import load_behaviors
from ..output.context import Context, live_context
from ..output.formats import FORMATS
from ..output.line import Line
from ..output.notice import myself
from ..output.sinks import File, Sink
from ..output.text import HEADER, wants_colour
from ..paths import BEHAVIORS
from ..pipeline import Pipeline
from ..plain import nearest
from ..sensor.live import Sensor
from ..tally import Tally, added
from ..trace import TraceHeader
from .recording import Recording

__all__ = [
    "Loaded",
    "Session",
    "add_behavior_options",
    "add_format_option",
    "add_long_open_option",
    "closing",
    "console_context",
    "header",
    "load",
    "not_written",
    "record_to",
    "reopen",
    "said",
    "stopped",
    "sums_of",
]

SITE_BEHAVIORS = Path("/etc/panorama/behaviors")
_POLL = 0.5  # s
_LATE = 10**9  # ns an event may be old when it is read: timeouts wait for it, as they will in a replay


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


def add_long_open_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--long-open",
        metavar="SECONDS",
        type=_seconds,
        default=30.0,
        help="report a file that stays open after so long (default: 30)",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds")
    return seconds


def add_format_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        type=_format,
        default="text",
        metavar="{" + ",".join(sorted(FORMATS)) + "}",
        help="how lines are written (default: text)",
    )


def _format(name: str) -> str:
    if name not in FORMATS:
        near = nearest(name, FORMATS) or f"; there are {', '.join(sorted(FORMATS))}"
        raise argparse.ArgumentTypeError(f"there is no format '{name}'{near}")
    return name


def load(arguments: argparse.Namespace) -> Loaded:
    """What the options ask for, or InputError with everything wrong in it."""
    given: list[Path] = arguments.behaviors or [BEHAVIORS, *([SITE_BEHAVIORS] if SITE_BEHAVIORS.is_dir() else [])]
    beside = [path / "ignore.yaml" for path in reversed(given) if path.is_dir()] + [BEHAVIORS / "ignore.yaml"]
    if arguments.ignore and not arguments.ignore.exists():
        raise UsageError(f"--ignore: there is no file {arguments.ignore}")
    problems: list[Problem] = []
    behaviors, rules = BehaviorSet(()), IgnoreRules([])
    try:
        behaviors = load_behaviors(given)
    except InputError as error:
        problems += error.problems
    try:
        rules = load_ignore(arguments.ignore or next((path for path in beside if path.exists()), beside[-1]))
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    return Loaded(compile_behaviors(_switched_on(behaviors, arguments.enable)), rules)


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


def record_to(path: str, loaded: Loaded, command: Sequence[str] = ()) -> Recording:
    """A new trace at `path`; SinkError if it cannot be made."""
    context, recorder = live_context(), myself()
    return Recording(
        path,
        TraceHeader(
            kernel=platform.release(),
            host=context.host,
            boot_id=context.boot_id,
            command=tuple(command),
            panorama=__version__,
            behaviors=loaded.program.digest,
            started=time.time_ns(),
            pid=recorder.pid,
            ppid=recorder.ppid,
            user=recorder.user,
        ),
    )


class stopped:
    """True once somebody asked to stop: SIGTERM, SIGINT; `by` has which. SIGHUP never kills, see `hung_up`.

    The handlers only make a note, because they run in the middle of anything.
    """

    def __init__(self) -> None:
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


class Session:
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

    def _deliver(self, line: Line) -> None:
        for sink in self.sinks:
            sink.write(line)

    def turn(self, timeout: float = _POLL) -> None:
        """One round: what came, what timed out, what waits in sinks."""
        items = self.sensor.poll(timeout)
        if self.trace:
            for item in items:
                self.trace.write(item)
        self.pipeline.take(items)
        if not items:
            self.pipeline.advance(time.time_ns() - _LATE)
        for sink in self.sinks:
            sink.flush()

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


def sums_of(pipeline: Pipeline, sums: Mapping[str, Any], skipped: int) -> Tally:
    """The pipeline's sums joined with the sensor's, which are also the last line of a trace."""
    tally = pipeline.tally(_counts(sums, "seen"), _counts(sums, "lost"), _counts(sums, "unexplained"))
    ignored = sums.get("ignored")
    if isinstance(ignored, dict):
        for name, calls in ignored.items():
            if isinstance(calls, dict):
                tally.ignored[name] = added(tally.ignored.get(name, {}), calls)
    tally.skipped = skipped
    return tally


def _counts(sums: Mapping[str, Any], name: str) -> dict[str, int]:
    found = sums.get(name)
    return {trigger: n for trigger, n in found.items() if isinstance(n, int)} if isinstance(found, dict) else {}


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
