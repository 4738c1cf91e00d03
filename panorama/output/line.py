# SPDX-License-Identifier: Apache-2.0
"""A line: what a machine says was done, before any format made text of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..event import Address, Event, File, Login, Process, ProcessKey

__all__ = ["MOST_OPERATIONS", "SEVERITIES", "Gathered", "Line", "Part"]

# syslog's names (RFC 5424, table 2), most severe first; the index is the numeric severity
SEVERITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")

MOST_OPERATIONS = 256  # that a line keeps as its evidence


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a machine gathered: `count` different values, the first of them kept."""

    values: tuple[File | Address | str | int | bool, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Part:
    """A field's value inside an object: `field` is its name in the behavior language."""

    field: str
    value: File | Address | Gathered | str | int | bool | None


@dataclass(slots=True)
class Line:
    """One line, structured: who (`process`) did what (`verb`) to what (`object`), and why we say so.

    `object` is the emit template filled in: literal text as str, fields as Part, in order. `events` are the events
    the machine took since it was last in its initial state, the completing one last. An activity has them of the
    `operations` that it stands for; it keeps the latest, `operation_count` says how many there were.
    """

    time: int  # ns since 1970-01-01 UTC: when it was complete
    process: Process
    verb: str
    object: tuple[str | Part, ...]
    behavior: str
    layer: str = "operation"
    severity: str = "info"
    attack: tuple[str, ...] = ()
    states: tuple[str, ...] = ()  # the states the machine went through, the first one initial
    events: list[Event] = field(default_factory=list)
    certainty: str = "certain"  # partial: records were lost while the machine ran
    operations: list[Line] = field(default_factory=list)
    operation_count: int = 0
    login: Login | None = None  # of the process
    within: ProcessKey | None = field(default=None, compare=False)  # whose activity is sure to tell of this operation
    sequence: int = 0  # counts the lines of this host; 0: not numbered
    repeated: int = 0  # so many times more happened what the line before says; 0: this line says something itself
    previous: int | None = None  # sequence of the line before it in the same sink, where that is not sequence - 1
    chain: str = ""  # hash over this line and the ones before it in the same sink, hexadecimal; "" without chaining
