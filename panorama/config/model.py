# SPDX-License-Identifier: Apache-2.0
"""The configuration as plain immutable data: checked, with every default filled in, and where each value comes from.

The attributes of Config are the keys of settings.py with `_` for `.`; those of the sinks likewise. Knows no YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from ..output.line import SEVERITIES, Line
from ..sinks import SINKS, SinkType

__all__ = ["COMMAND_LINE", "DEFAULT", "Config", "Filter", "Origin", "SinkConfig"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from: a place in a file, or `path` alone for what is no file."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


DEFAULT = Origin("default")
COMMAND_LINE = Origin("command line")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which lines a sink gets."""

    layer: tuple[str, ...]
    severity: str
    behavior: tuple[str, ...]  # globs

    def passes(self, line: Line) -> bool:
        """Whether the sink gets this line; it always gets what Panorama says of itself."""
        return line.layer == "panorama" or self.admits(line.layer, line.severity, line.behavior)

    def admits(self, layer: str, severity: str, behavior: str) -> bool:
        """Whether lines of this behavior pass."""
        return (
            layer in self.layer
            and SEVERITIES.index(severity) <= SEVERITIES.index(self.severity)
            and any(fnmatchcase(behavior, pattern) for pattern in self.behavior)
        )


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """One sink. `values` are the settings of its type, complete, as Setup wants them; `limit` is in bytes."""

    name: str
    type: str
    format: str
    policy: str  # full or drop
    limit: int
    filter: Filter
    values: Mapping[str, Any]

    @property
    def kind(self) -> SinkType:
        return SINKS[self.type]


@dataclass(frozen=True, slots=True)
class Config:
    """`path` is the file it was read from, "" if there was none. Sizes are in bytes, times in seconds.

    `origins` says of each key (`limits.process`, `sinks.siem.address`) and of each item of a list in the file
    (`behaviors.enable[0]`) where it comes from; what is not in it is a default.
    """

    path: str
    behaviors_folders: tuple[str, ...]
    behaviors_enable: tuple[str, ...]
    behaviors_disable: tuple[str, ...]
    ignore: tuple[str, ...]
    log: str
    long_open: float
    ring_buffer: int
    limits_process: int
    limits_global: int
    fold: bool
    chain: bool
    spool_folder: str
    spool_limit: int
    sinks: tuple[SinkConfig, ...]
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def origin(self, key: str) -> Origin:
        """Where the value of a key comes from."""
        return self.origins.get(key, DEFAULT)

    def setting(self, key: str) -> Any:
        """The value of a key of SETTINGS."""
        return getattr(self, key.replace(".", "_"))

    def with_settings(self, values: Mapping[str, Any], origin: Origin = COMMAND_LINE) -> Config:
        """The same with other values of SETTINGS, or of `sinks`, and their origin."""
        kept = {key: place for key, place in self.origins.items() if not any(_below(key, name) for name in values)}
        named = {key.replace(".", "_"): value for key, value in values.items()}
        return replace(self, **named, origins=kept | dict.fromkeys(values, origin))


def _below(key: str, name: str) -> bool:
    return key == name or key.startswith((f"{name}.", f"{name}["))
