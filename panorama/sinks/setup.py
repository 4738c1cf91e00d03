# SPDX-License-Identifier: Apache-2.0
"""What a sink is opened with: its settings, how it formats lines, and where they wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..output.context import Context
from ..output.formats import Formatter, formatter
from ..output.line import Line
from ..reading.keys import Key
from .queues import Memory, Queue

__all__ = ["Setup", "Sink", "SinkType", "Style"]

MEMORY_BYTES = 4 << 20


class Sink(Protocol):
    """Takes lines and never blocks. `dropped` were lost for good, `waiting` may still go out; both are for the sums.

    `queue` is where they wait; `busy` says that `flush` should be called again soon; `trouble` is why nothing goes out
    at present, or "".
    """

    @property
    def queue(self) -> Queue: ...

    @property
    def dropped(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def busy(self) -> bool: ...

    @property
    def trouble(self) -> str: ...

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


@dataclass(frozen=True, slots=True)
class Setup:
    """`values` are the settings, checked against the KEYS, with defaults. `queue` is where lines wait.

    `wrap` goes around the formatter: it sees every text before the sink does (see service/chain.py).
    """

    name: str
    values: Mapping[str, Any]
    style: Style = field(default_factory=Style)
    queue: Queue = field(default_factory=lambda: Memory(MEMORY_BYTES))
    wrap: Callable[[Formatter], Formatter] = lambda made: made

    def formatter(self, limit: int = 0) -> Formatter:
        """For sinks other than the console: no colours, lines of at most `limit` bytes, 0 for any."""
        return self.wrap(formatter(self.style.format, replace(self.style.context, colour=False, limit=limit)))


@dataclass(frozen=True, slots=True)
class SinkType:
    """A word for `type:` in the configuration. `formats` are those it can carry, the first one its default.

    `keeps`: its lines can wait on disk (`policy: full`). `structured`: it ships sequence, previous and chain of a line
    beside the text, so that the format need not have a place for them.
    """

    keys: Mapping[str, Key]
    open: Callable[[Setup], Sink]
    remote: bool = False
    formats: tuple[str, ...] = ("text", "json", "v6", "v7", "ecs", "cef", "ocsf")
    keeps: bool = True
    structured: bool = False
