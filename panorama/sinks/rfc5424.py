# SPDX-License-Identifier: Apache-2.0
"""Syslog messages as RFC 5424 has them: a line's header and structured data, and its text behind them.

    <PRI>1 TIME HOST panorama PID VERB [panorama@32473 host="..." boot="..." sequence="..." ...] TEXT

TIME is when the line was complete. PID is Panorama's own, whose change tells of a restart (6.2.6); that of the program
is in TEXT. What numbers the lines (host, boot, sequence, and with hash chaining previous and chain) proves completeness
whatever the format of TEXT; what a line does not have is left out. 32473 is the enterprise number for examples (RFC
5612), Panorama has none. TEXT is UTF-8, yet has no byte order mark in front, which 6.4 would have: rsyslog stores the
mark with the text (8.2302, measured), and no JSON may begin with one.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache

from ..event import Process
from ..output.context import Context, utc_stamp
from ..output.formats import Formatter
from ..output.identity import structured_data
from ..output.line import SEVERITIES, Line
from ..output.quoting import CUT

__all__ = ["FACILITIES", "MESSAGE_BYTES", "Messages", "cut", "head_bytes", "priority"]

FACILITIES = {"user": 1, "daemon": 3, "auth": 4, "authpriv": 10} | {f"local{n}": 16 + n for n in range(8)}

MESSAGE_BYTES = 8096  # what rsyslog's maxMessageSize=8k comes to, measured; the rest it cuts without saying so

_MESSAGE_ID = 32  # bytes, RFC 5424 6.2.7
_HOST = 255  # bytes, 6.2.4
_NOT_PRINTABLE = re.compile(r"[^!-~]")  # PRINTUSASCII, 6


def priority(facility: str, severity: str) -> int:
    """PRI, facility times 8 plus severity (RFC 5424 6.2.1, RFC 3164 4.1.1)."""
    return FACILITIES[facility] * 8 + SEVERITIES.index(severity if severity in SEVERITIES else "info")


class Messages:
    """Makes of a line its messages, of at most `limit` bytes each, one for each text that `formatter` gives."""

    def __init__(self, formatter: Formatter, context: Context, facility: str, limit: int) -> None:
        self._formatter = formatter
        self._facility = facility
        self._limit = limit
        self._host = _word(context.host, _HOST)
        self._context = context
        self._process = os.getpid()

    def __call__(self, line: Line) -> list[bytes]:
        texts = self._formatter(line)  # first: chaining is done on the way
        head = (
            f"<{priority(self._facility, line.severity)}>1 {utc_stamp(line.time)} {self._host} panorama"
            f" {self._process} {_word(line.verb, _MESSAGE_ID)} {structured_data(line, self._context)} "
        )
        return [cut(f"{head}{text}".encode("utf-8", "backslashreplace"), self._limit) for text in texts]


def head_bytes(context: Context) -> int:
    """The length of the longest header and structured data there can be in front of a text."""
    host = len(_word(context.host, _HOST))
    header = len("<191>1 2026-04-02T16:52:27.276747Z  panorama 4194304  ") + host + _MESSAGE_ID
    longest = Line(0, Process(0, 0, 0), "", (), "", sequence=2**63, previous=2**63, chain="0" * 64)
    return header + len(structured_data(longest, context).encode()) + 1


def cut(message: bytes, limit: int) -> bytes:
    """At most `limit` bytes, saying so if bytes had to go. Formats cut the object first; this is the last resort."""
    if len(message) <= limit:
        return message
    return message[: limit - len(CUT)].decode("utf-8", "ignore").encode() + CUT.encode()


@lru_cache(1024)
def _word(text: str, limit: int) -> str:
    """A field of the header: printable ASCII without spaces, `-` for nothing."""
    return _NOT_PRINTABLE.sub("_", text)[:limit] or "-"
