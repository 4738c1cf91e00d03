# SPDX-License-Identifier: Apache-2.0
"""Real programs under the real sensor: `told` runs a shell script and gives the lines of what it did.

One eBPF program is compiled and attached for the whole session; each test follows the processes it starts, through a
pipeline of its own. Where the kernel refuses eBPF the tests skip, with the reason; with CI set that fails the run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from panorama.commands.options import Loaded
from panorama.demand import demand_of
from panorama.errors import CannotSense
from panorama.event import Event, File, Loss
from panorama.ignore import load_ignore
from panorama.machines.compiler import Program, compile_behaviors
from panorama.machines.spec import load_behaviors
from panorama.output.line import Gathered, Line, Part
from panorama.output.objects import object_text
from panorama.paths import BEHAVIORS
from panorama.pipeline import Pipeline
from panorama.sensor.kernel import Demand, Kernel
from panorama.sensor.live import Sensor


@dataclass
class Told:
    """What was said of one run. `words` are lines as "command verb object", without inodes."""

    lines: list[Line] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    status: int = 0
    output: str = ""

    @property
    def words(self) -> list[str]:
        return [words(line) for line in self.lines]

    def of(self, *commands: str) -> list[str]:
        """Only what these commands did."""
        return [words(line) for line in self.lines if line.process.command in commands]


def words(line: Line) -> str:
    """The line without time, ids and inodes."""
    parts = tuple(Part(part.field, _plain(part.value)) if isinstance(part, Part) else part for part in line.object)
    bare = Line(line.time, line.process, line.verb, parts, line.behavior, events=line.events)
    return f"{line.process.command} {line.verb} {object_text(bare)}".rstrip()


def _plain(value: Any) -> Any:
    if isinstance(value, Gathered):
        return Gathered(tuple(map(_plain, value.values)), value.count)
    return File(value.path, mark=value.mark) if isinstance(value, File) else value


class Watcher:
    """A sensor for a set of behaviors, and a way to run something under it. `log` is what `run` tells."""

    def __init__(self, loaded: Loaded, operations: Program, sensor: Sensor, log: str) -> None:
        self.loaded = loaded
        self.sensor = sensor
        self._operations = operations
        self._log = log

    def run(
        self, script: str, cwd: Path, also: tuple[int, ...] = (), settle: float = 0.1, log: str | None = None
    ) -> Told:
        """Runs a script in bash under watch until it and its descendants have ended, and what `also` did meanwhile."""
        told = Told()
        log = log or self._log
        program = self._operations if log == "operations" else self.loaded.program
        pipeline = Pipeline(program, load_ignore(BEHAVIORS / "ignore.yaml"), told.lines.append, log=log)
        self.drain()
        gate, opener = os.pipe()
        begun, begins = os.pipe()  # the shell says that it is one: its own exec is over before it is followed
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(cwd), "LC_ALL": "C.UTF-8", "TERM": "dumb"}
        with subprocess.Popen(
            [
                "/bin/bash",
                "--norc",
                "-c",
                f"echo >&{begins}; exec {begins}>&-; read <&{gate}; exec {gate}<&-\n{script}",
            ],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[gate, begins],
            text=True,
            errors="surrogateescape",
        ) as process:
            os.close(gate)
            os.close(begins)
            os.read(begun, 1)
            os.close(begun)
            for pid in (process.pid, *also):
                self.sensor.follow(pid)
            os.write(opener, b"\n")
            os.close(opener)
            deadline = time.monotonic() + 600
            while process.poll() is None and time.monotonic() < deadline:
                self._turn(pipeline, told)
            assert process.returncode is not None, f"still running after 600 s: {script}"
            told.status = process.returncode
            told.output = process.stdout.read() if process.stdout else ""
        end = time.monotonic() + 10
        while self.sensor.kernel.following() > len(also) and time.monotonic() < end:
            self._turn(pipeline, told)
        quiet = time.monotonic() + settle
        while time.monotonic() < quiet:
            if self._turn(pipeline, told):
                quiet = time.monotonic() + settle
        pipeline.finish()
        for pid in also:
            self.sensor.kernel.unfollow(pid)
        return told

    def drain(self) -> None:
        """Lets go of what earlier tests left behind."""
        while self.sensor.poll(0):
            pass

    def _turn(self, pipeline: Pipeline, told: Told) -> int:
        items = self.sensor.poll(0.05)
        told.events += [item for item in items if isinstance(item, Event)]
        told.losses += [item for item in items if isinstance(item, Loss)]
        pipeline.take(items)
        return len(items)


def open_sensor(behaviors: list[Path], log: str = "all") -> Watcher:
    program = compile_behaviors(load_behaviors(behaviors))
    operations = compile_behaviors(load_behaviors(behaviors, activities=False))
    rules = load_ignore(BEHAVIORS / "ignore.yaml")
    sensor = Sensor(demand_of(program, rules), lambda event: rules.match(event) is not None, follow=True)
    sensor.start()
    return Watcher(Loaded(program, rules), operations, sensor, log)


@pytest.fixture(scope="session", autouse=True)
def _able() -> None:
    """The one reason to skip a live test: the kernel refuses eBPF. With CI set any skip fails the run."""
    try:
        Kernel(Demand(frozenset({"unlink"}))).close()
    except CannotSense as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def watcher() -> Iterator[Watcher]:
    found = open_sensor([BEHAVIORS], "operations")
    yield found
    found.sensor.kernel.close()


@pytest.fixture
def told(watcher: Watcher, tmp_path: Path) -> Callable[..., Told]:
    """Runs a script in the test's own folder; gives what was told of it."""

    def run(script: str, **options: object) -> Told:
        return watcher.run(script, tmp_path, **options)  # type: ignore[arg-type]

    return run


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a server; it is ended with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*command: str, **options: object) -> subprocess.Popen[bytes]:
        running.append(subprocess.Popen(command, **options))  # type: ignore[call-overload]
        return running[-1]

    yield start
    for process in running:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
