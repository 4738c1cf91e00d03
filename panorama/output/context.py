# SPDX-License-Identifier: Apache-2.0
"""What a format needs beside the line itself. Formats read no clock, file or environment: it comes in through here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

__all__ = ["Context", "live_context", "milliseconds", "stamp", "utc_stamp"]

_LAST_NS = 2**63 - 1  # in the year 2262; a later or negative time, which is brought here, comes from a damaged record


@dataclass(frozen=True, slots=True)
class Context:
    """Where the lines were made, and how to write them. On replay `host` and `boot_id` are those of the trace."""

    host: str = ""
    boot_id: str = ""
    zone: tzinfo | None = None  # of the times in text, v6 and v7; None is the local one. json is always UTC
    debug: bool = False  # text: descriptor, byte counts and states behind each line
    colour: bool = False  # text: the verb in a colour that tells the severity
    limit: int = 0  # longest line in bytes that the sink can take, 0 for any length


def live_context(boot_id: str = "/proc/sys/kernel/random/boot_id") -> Context:
    """The context of this machine; `boot_id` is the file to read, and what cannot be read is left empty."""
    try:
        with open(boot_id, encoding="ascii") as file:
            booted = file.read().strip()
    except (OSError, UnicodeDecodeError):
        booted = ""
    return Context(host=os.uname().nodename, boot_id=booted)  # the same name as gethostname(2)


def stamp(time: int, zone: tzinfo | None = None) -> str:
    """`YYYY-MM-DD HH:MM:SS.ffffff` in `zone`, rounded down."""
    seconds, rest = divmod(min(max(time, 0), _LAST_NS), 1_000_000_000)
    return f"{_second(seconds, zone)}.{rest // 1000:06d}"


@lru_cache(maxsize=64)  # a record has the same time several times
def utc_stamp(time: int) -> str:
    """`YYYY-MM-DDTHH:MM:SS.ffffffZ` (RFC 3339), rounded down."""
    seconds, rest = divmod(min(max(time, 0), _LAST_NS), 1_000_000_000)
    return f"{_utc_second(seconds)}.{rest // 1000:06d}Z"


def milliseconds(time: int) -> int:
    """Since 1970, rounded down."""
    return min(max(time, 0), _LAST_NS) // 1_000_000


@lru_cache(maxsize=64)
def _utc_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=64)
def _second(seconds: int, zone: tzinfo | None) -> str:
    return datetime.fromtimestamp(seconds, zone).strftime("%Y-%m-%d %H:%M:%S")
