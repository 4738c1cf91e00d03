# SPDX-License-Identifier: Apache-2.0
"""Where lines go. A sink is added by writing a module here and one line in SINKS."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..errors import SinkError
from ..output.context import Context
from ..output.formats import FORMATS, Formatter, formatter
from ..output.line import Line
from .console import Console
from .file import File
from .syslog import MESSAGE_BYTES, Syslog

__all__ = ["SINKS", "Console", "File", "Sink", "Style", "Syslog", "open_sink"]


class Sink(Protocol):
    """Takes lines and never blocks. `dropped` were lost for good, `waiting` may still go out; both are for the sums."""

    @property
    def dropped(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    def write(self, line: Line) -> None: ...

    def flush(self, seconds: float = 0.0) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Style:
    """How a sink writes: format, its context, a header line for the console, and whether to wait for slow readers."""

    format: str = "text"
    context: Context = field(default_factory=Context)
    header: str = ""
    patient: bool = False

    def formatter(self, limit: int = 0) -> Formatter:
        """For sinks other than the console: no colours, lines of at most `limit` bytes, 0 for any."""
        return formatter(self.format, replace(self.context, colour=False, limit=limit))


def open_sink(spec: str, style: Style | None = None) -> Sink:
    """The sink `spec` names: `console`, `file:/path`, `syslog`, `syslog:/path/to/socket`. SinkError if it is wrong."""
    style = style or Style()
    name, _, target = spec.partition(":")
    if name not in SINKS:
        raise SinkError(f"unknown sink '{name}'; {_nearest(name, SINKS)}")
    if style.format not in FORMATS:
        raise SinkError(f"unknown format '{style.format}'; {_nearest(style.format, FORMATS)}")
    return SINKS[name](target, style)


def _console(target: str, style: Style) -> Sink:
    if target:
        raise SinkError(f"sink 'console' takes no '{target}'")
    return Console(formatter(style.format, style.context), header=style.header, patient=style.patient)


def _file(target: str, style: Style) -> Sink:
    if not target:
        raise SinkError("sink 'file' needs a path: file:/var/log/panorama.log")
    return File(style.formatter(), os.path.abspath(target))


def _syslog(target: str, style: Style) -> Sink:
    return Syslog(style.formatter(MESSAGE_BYTES - _PREFIX_BYTES), target or "/dev/log")


_PREFIX_BYTES = len("<191>panorama[4194304]: ")  # pid_max is at most 2**22, proc(5)

SINKS: dict[str, Callable[[str, Style], Sink]] = {"console": _console, "file": _file, "syslog": _syslog}


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f"did you mean '{close[0]}'?" if close else f"there are {', '.join(sorted(known))}"
