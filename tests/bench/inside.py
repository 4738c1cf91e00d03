# SPDX-License-Identifier: Apache-2.0
"""The only module that calls Panorama's own functions; everything else runs its commands. Runs as a process of its own:

    python -m tests.bench.inside syscalls                the syscalls whose tracepoints the default behaviors need
    python -m tests.bench.inside sums WORD ...           the command `panorama WORD ...`, its sums as JSON
    python -m tests.bench.inside stages TRACE LOAD ...   seconds that each stage takes alone, on one CPU, as JSON
    python -m tests.bench.inside machines TRACE [OPTION ...]  the state machines alone with these behaviors, and --log

A stage that cannot be called any more as it is here gives its error instead of a number.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from panorama.commands.options import Loaded, add_behavior_options, add_log_option, configured, loaded
from panorama.demand import demand_of
from panorama.event import Event

from .bench import pin

T = TypeVar("T")


def _loaded(options: Sequence[str] = ()) -> tuple[Loaded, str]:
    """What these options of `panorama replay` load, and its `log`."""
    parser = argparse.ArgumentParser()
    add_behavior_options(parser)
    add_log_option(parser)
    config = configured(parser.parse_args(options))
    return loaded(config), config.log


def syscalls() -> list[str]:
    from panorama.sensor.probes import needed
    from panorama.sensor.source import served, text

    loaded, _ = _loaded()
    probes = needed(demand_of(loaded.program, loaded.rules).counted, served(text()), False)
    names = {
        probe.tracepoint.removeprefix("syscalls:sys_").partition("_")[2]
        for probe in probes
        if ":sys_" in probe.tracepoint
    }
    return sorted(names | {"execve", "execveat"})  # these Panorama sees by other tracepoints


def sums(words: list[str]) -> int:
    """The real command; only the text of the sums is another one."""
    from panorama.cli import main
    from panorama.tally import Tally

    def text(tally: Tally) -> str:
        return json.dumps({**dataclasses.asdict(tally), "missing": tally.missing()})

    Tally.text = text  # type: ignore[assignment, method-assign]
    return main(words)


class Stages:
    """Each takes what the one before it gave. `command` is the load, `options` say which behaviors."""

    def __init__(self, trace: str, command: Sequence[str], options: Sequence[str] = ()) -> None:
        self._trace, self._command = trace, command
        (self._loaded, self._log), self._loading = _timed(lambda: _loaded(options))
        self._items: list[Any] = []
        self._kept: list[Any] = []
        self._lines: list[Any] = []

    def all(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for stage in (self.decode, self.read, self.rules, self.machines, self.format):
            try:
                records, calls, seconds = stage()
                told[stage.__name__] = {"records": records, "events": calls, "seconds": seconds}
            except Exception as error:  # the others are worth having all the same
                told[stage.__name__] = {"error": f"{type(error).__name__}: {error}"}
        return told

    def loaded(self) -> dict[str, Any]:
        """What loading took, and the machines: with all of the trace, and with the later half of it alone."""
        self.read()
        self.rules()
        run = self._machines()
        half = len(self._kept) // 2
        _, first = _timed(lambda: run(self._kept[:half]))
        _, second = _timed(lambda: run(self._kept[half:]))
        return {
            "behaviors": sum(behavior.enabled for behavior in self._loaded.program.behaviors),
            "loading": self._loading,
            "records": len(self._kept),
            "events": _calls(self._kept),
            "seconds": first + second,
            "later": second / (len(self._kept) - half),
        }

    def decode(self) -> tuple[int, int, float]:
        """Records as bytes, captured while the load ran, to Events."""
        from panorama.sensor.live import Sensor

        sensor = Sensor(demand_of(self._loaded.program, self._loaded.rules))
        with sensor:
            sensor.start()
            raw: list[bytes] = []
            with subprocess.Popen([*self._command], stdout=subprocess.DEVNULL) as load:
                while load.poll() is None:
                    raw += sensor.kernel.records(0.02)
            raw += sensor.kernel.take()
            sensor.kernel.stop()
            events, seconds = _timed(lambda: sensor._decode(raw))
        return len(raw), _calls(events), seconds

    def read(self) -> tuple[int, int, float]:
        from panorama.trace import read_trace

        self._items, seconds = _timed(lambda: list(read_trace(self._trace, lambda _: None)))
        return len(self._items), _calls(self._items), seconds

    def rules(self) -> tuple[int, int, float]:
        keep = self._loaded.rules.keep
        events = [item for item in self._items if isinstance(item, Event)]
        self._kept, seconds = _timed(lambda: [event for event in events if keep(event)])
        return len(events), _calls(events), seconds

    def machines(self) -> tuple[int, int, float]:
        run = self._machines()
        self._lines, seconds = _timed(lambda: run(self._kept))
        return len(self._kept), _calls(self._kept), seconds

    def _machines(self) -> Callable[[list[Any]], list[Any]]:
        """A new engine: events to lines."""
        from panorama.machines.engine import Engine

        feed = Engine(self._loaded.program, hold=self._log == "activities").feed

        def run(events: list[Any]) -> list[Any]:
            lines = []
            for event in events:
                lines += feed(event)
            return lines

        return run

    def format(self) -> tuple[int, int, float]:
        from panorama.output.context import Context
        from panorama.output.formats import formatter

        make = formatter("text", Context())
        _, seconds = _timed(lambda: [make(line) for line in self._lines])
        return len(self._lines), 0, seconds


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    gc.collect()
    gc.freeze()  # what earlier stages hold is not theirs to look through
    begin = time.perf_counter()
    result = work()
    return result, time.perf_counter() - begin


def _calls(items: list[Any]) -> int:
    return sum(sum(item.calls.values()) for item in items if isinstance(item, Event))


def main() -> int:
    word, *rest = sys.argv[1:]
    if word == "sums":
        return sums(rest)
    if word == "syscalls":
        print(json.dumps(syscalls()))
    elif word == "machines":
        trace, *options = rest
        os.sched_setaffinity(0, {pin()})
        print(json.dumps(Stages(trace, (), options).loaded()))
    else:
        trace, *command = rest
        os.sched_setaffinity(0, {pin()})
        print(json.dumps(Stages(trace, command).all()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
