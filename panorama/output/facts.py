# SPDX-License-Identifier: Apache-2.0
"""What the formats with named fields say of a line, worked out once: the rows of fields.py take from here.

Knows no format. What needs no working out is read from the line, its process and its completing event directly.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, NamedTuple

from ..event import Address, Event, File, Process
from .context import Context
from .line import Gathered, Line, Part
from .objects import address_text, evidence, object_text
from .quoting import quote

__all__ = ["Actor", "Ends", "Facts", "entity", "exit_code", "part_record", "part_text"]

_MOST_EVENTS = 100  # in one record; `event_count` has the true number
_MOST_WHEN_CUT = 16  # events, operations, and values that were gathered


class Facts:
    """One line, with what all its events come to. `cut` is set where a sink's limit made something go."""

    __slots__ = ("began", "context", "cut", "event", "events", "line", "read", "written")

    def __init__(self, line: Line, context: Context) -> None:
        self.line = line
        self.context = context
        self.cut = False
        self.event: Event | None = None  # the one that completed the line
        self.events = events = line.events if len(line.events) == 1 else list(evidence(line))
        self.began = line.time
        self.read = self.written = 0
        if events:
            self.event = events[-1]
            self.began = min([event.began or event.time for event in events])
            self.read = sum([event.bytes_read for event in events])
            self.written = sum([event.bytes_written for event in events])

    @property
    def actor(self) -> Actor:
        return Actor(self.line.process, self.context.boot_id)

    @property
    def file(self) -> File | None:
        return self.event.file if self.event else None

    @property
    def to(self) -> File | None:
        return self.event.to if self.event else None

    @property
    def result(self) -> File | None:
        """The file under the name it has afterwards."""
        event = self.event
        if event is None or event.to is None:
            return event.file if event else None
        old, new = event.file, event.to
        return new if old is None or new.inode else File(new.path, old.inode, old.device, old.kind, new.mark)

    @property
    def original(self) -> File | None:
        """The name that the file had before, where it has got another."""
        return self.event.file if self.event and self.event.to else None

    @property
    def ends(self) -> Ends | None:
        event = self.event
        if event is None or (event.remote is None and event.local is None):
            return None
        return Ends(event, self.read, self.written)

    @property
    def id(self) -> str:
        """Unique among all lines of all hosts, the same in all sinks; "" for a line without a number."""
        return f"{self.context.boot_id}-{self.line.sequence}" if self.context.boot_id and self.line.sequence else ""

    @property
    def message(self) -> str:
        """`command verb object`, escaped as in the text format."""
        line = self.line
        return f"{quote(line.process.command)} {quote(line.verb)} {object_text(line)}".rstrip()

    @property
    def others(self) -> list[Part]:
        """What the object names beside the files and addresses of the completing event."""
        event = self.event
        told = (event.file, event.to, event.local, event.remote) if event else ()
        parts = [part for part in self.line.object if isinstance(part, Part) and part.value not in told]
        return [_shortened(part) for part in parts] if self.cut else parts

    @property
    def latest(self) -> list[Event]:
        """The latest of the events, as many as a record has room for."""
        return self.events[-(_MOST_WHEN_CUT if self.cut else _MOST_EVENTS) :]

    @property
    def operations(self) -> list[Line] | None:
        """The latest of an activity's operations."""
        return (self.line.operations[-_MOST_WHEN_CUT:] if self.cut else self.line.operations) or None


class Actor(NamedTuple):
    """The process of a line, and the boot that makes its start time mean something."""

    process: Process
    boot_id: str

    @property
    def id(self) -> str:
        return entity(self.boot_id, self.process.pid, self.process.start)

    @property
    def parent_id(self) -> str:
        return entity(self.boot_id, self.process.ppid, self.process.parent_start)

    @property
    def command_line(self) -> str:
        return " ".join(self.process.argv)

    @property
    def parent_command_line(self) -> str:
        return " ".join(self.process.parent_argv)


@lru_cache(maxsize=4096)
def entity(boot_id: str, pid: int, start: int) -> str:
    """A process's name among all processes of all hosts: pids are used again, this is not. "" if unknown."""
    if not boot_id or not start:
        return ""
    return hashlib.sha256(f"{boot_id} {pid} {start}".encode()).hexdigest()[:32]


class Ends:
    """A connection seen from the network: `source` is who asked for it, `destination` who was asked.

    Where nobody asked yet (listen), this end is the destination and there is no source.
    """

    __slots__ = ("destination", "direction", "protocol", "received", "sent", "source")

    def __init__(self, event: Event, read: int, written: int) -> None:
        self.source: Address | None = event.local
        self.destination: Address | None = event.remote
        self.direction = "egress"
        self.protocol = event.protocol
        self.sent, self.received = written, read  # by the source
        if "accept" in event.triggers:
            self.direction = "ingress"
            self.source, self.destination = event.remote, event.local
            self.sent, self.received = read, written
        elif "listen" in event.triggers or "bind" in event.triggers:
            self.direction = ""
            self.source, self.destination = None, event.local
        elif "exec" in event.triggers:  # the program was started at a connection that may have begun at either end
            self.direction = ""

    @property
    def family(self) -> str:
        """inet, inet6 or unix."""
        end = self.destination or self.source
        return end.family if end else ""


def exit_code(event: Event) -> int | None:
    """What the process gave to exit(2), or minus the number of the signal that ended it."""
    if "exit" not in event.triggers:
        return None
    signal = event.status & 0x7F
    return -signal if signal else event.status >> 8 & 0xFF


def part_record(part: Part) -> dict[str, Any]:
    """A part of the object as json has it."""
    value = part.value
    if isinstance(value, Gathered):
        return {"field": part.field, "values": [_value_record(each) for each in value.values], "count": value.count}
    return {"field": part.field} | _value_record(value)


def part_text(part: Part) -> str | list[str]:
    """The same as text; a file by its path."""
    value = part.value
    return [_value_text(each) for each in value.values] if isinstance(value, Gathered) else _value_text(value)


def _value_record(value: File | Address | str | int | bool | None) -> dict[str, Any]:
    if isinstance(value, File):
        names = ("path", "name", "inode", "device", "kind", "mark")
        return {"file": {name: getattr(value, name) for name in names if getattr(value, name)}}
    if isinstance(value, Address):
        host = {"host": value.host} if value.host else {}
        port = {} if value.family == "unix" else {"port": value.port}
        return {"address": {"family": value.family} | host | port}
    return {} if value == "" else {"value": value}


def _value_text(value: File | Address | str | int | bool | None) -> str:
    if isinstance(value, File):
        return value.path
    return address_text(value) if isinstance(value, Address) else str(value)


def _shortened(part: Part) -> Part:
    value = part.value
    if not isinstance(value, Gathered):
        return part
    return Part(part.field, Gathered(value.values[:_MOST_WHEN_CUT], value.count))
