# SPDX-License-Identifier: Apache-2.0
"""Events as the sensor would report them, in few words; and running behaviors on them as a dialogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from panorama.event import Address, Event, File, Process
from panorama.machines.compiler import Program, compile_behaviors
from panorama.machines.engine import Engine
from panorama.machines.spec import read_behaviors
from panorama.output.line import Line
from panorama.output.objects import object_text

START = 1775148747_000000000  # 2026-04-02 16:52:27 UTC
SECOND = 10**9

SHELL = Process(100, 1000, 1, 1, uid=1000, euid=1000, user="alice", command="bash", exe="/usr/bin/bash")


def child_of(parent: Process, pid: int, command: str, **more: Any) -> Process:
    """A process that `parent` made."""
    fields = {"command": command, "exe": f"/usr/bin/{command}", **more}
    return replace(parent, pid=pid, start=1000 + pid, ppid=parent.pid, parent_start=parent.start, **fields)


def session(process: Process, steps: str, path: str, second: float = 0, **more: Any) -> Event:
    """A file from open to close: session(SHELL, "open read close", "/etc/hosts")."""
    triggers = tuple(steps.split())
    calls = dict.fromkeys(triggers, 1)
    return Event(triggers, time_at(second), process, calls, file=file(path), fd=3, **more)


def point(process: Process, trigger: str, path: str = "", second: float = 0, to: str = "", **more: Any) -> Event:
    """One syscall: point(SHELL, "unlink", "/tmp/x")."""
    where = {"file": file(path)} if path else {}
    where |= {"to": file(to)} if to else {}
    return Event((trigger,), time_at(second), process, {trigger: 1}, **where, **more)


def eager(process: Process, trigger: str, path: str, second: float = 0, **more: Any) -> Event:
    """A step of a session, told at once; the session counts its calls."""
    return Event((trigger,), time_at(second), process, {}, file=file(path), eager=True, **more)


def connection(process: Process, steps: str, remote: str, second: float = 0, number: int = 7, **more: Any) -> Event:
    """What happened on a socket: connection(SHELL, "connect", "10.0.0.1:22")."""
    triggers = tuple(steps.split())
    calls = dict.fromkeys(triggers, 1)
    end = address(remote)
    return Event(triggers, time_at(second), process, calls, remote=end, session=number, protocol="tcp", **more)


def address(text: str) -> Address:
    """`host:port` or `[v6]:port`."""
    host, _, port = text.rpartition(":")
    return Address("inet6", host[1:-1], int(port)) if host.startswith("[") else Address("inet", host, int(port))


def file(path: str) -> File:
    """A file whose inode follows from its path."""
    return File(path, inode=sum(path.encode()), kind="file")


def time_at(second: float) -> int:
    """So many seconds after the test began."""
    return START + round(second * SECOND)


@dataclass
class Dialogue:
    """Behaviors by file name, and an engine that runs them: say(event) == [line, ...]."""

    texts: Mapping[str, str]
    program: Program = field(init=False)
    engine: Engine = field(init=False)
    lines: list[Line] = field(default_factory=list)  # of the last event

    def __post_init__(self) -> None:
        self.program = compile_behaviors(read_behaviors(self.texts))
        self.engine = Engine(self.program)

    def say(self, *events: Event) -> list[str]:
        """Feeds the events and gives their lines as `command verb object`, inodes left out."""
        self.lines = [line for event in events for line in self.engine.feed(event)]
        return [shown(line) for line in self.lines]

    def wait(self, second: float) -> list[str]:
        """Lets the time pass to so many seconds after the test began."""
        self.lines = self.engine.advance(time_at(second))
        return [shown(line) for line in self.lines]


def shown(line: Line) -> str:
    """A line as examples are written."""
    parts = [
        replace(part, value=replace(part.value, inode=0))
        if not isinstance(part, str) and isinstance(part.value, File)
        else part
        for part in line.object
    ]
    return f"{line.process.command} {line.verb} {object_text(replace(line, object=tuple(parts), events=[]))}".rstrip()
