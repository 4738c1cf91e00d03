# SPDX-License-Identifier: Apache-2.0
"""Lines to systemd's journal, with their parts as fields of their own: `journalctl -t panorama PANORAMA_VERB=connect`.

It speaks the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL) itself, because libsystemd's
sd_journal_send forgets a message without a word where the socket is missing, and blocks while journald is busy. Any
bytes may be in a field. journald itself throws away what one unit writes too fast, unless its LogRateLimitIntervalSec
is 0, as in the unit that Panorama comes with.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
from collections.abc import Mapping

from ..output.context import Context
from ..output.formats import Formatter
from ..output.journal import journal_fields
from ..output.line import SEVERITIES, Line
from ..reading.keys import Key
from .queues import Queue
from .setup import Setup
from .sockets import SocketSink

__all__ = ["KEYS", "Journal", "opened"]

KEYS = {"path": Key("path", "the journal's socket for native messages", "/run/systemd/journal/socket")}

_SEALED = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class Journal(SocketSink):
    """`path` is journald's socket. MESSAGE is the line as the format writes it."""

    def __init__(self, formatter: Formatter, path: str, context: Context, queue: Queue | None = None) -> None:
        super().__init__(formatter, path, queue)
        self._context = context

    def _encode(self, text: str, line: Line) -> bytes:
        level = SEVERITIES.index(line.severity if line.severity in SEVERITIES else "info")
        own = {"MESSAGE": text, "PRIORITY": str(level), "SYSLOG_IDENTIFIER": "panorama", "SYSLOG_FACILITY": "3"}
        return _entry({**own, "SYSLOG_PID": str(os.getpid()), **journal_fields(line, self._context)})

    def _transmit(self, connection: socket.socket, data: bytes) -> int:
        try:
            connection.send(data, socket.MSG_NOSIGNAL)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            _send_as_file(connection, data)
        return len(data)


def opened(setup: Setup) -> Journal:
    """The journal, there or not."""
    return Journal(setup.formatter(), setup.values["path"], setup.style.context, setup.queue)


def _entry(fields: Mapping[str, str | bytes]) -> bytes:
    """`NAME=value` and a newline; for a value that has one: name, newline, length in 64 bits, value, newline."""
    parts = []
    for name, value in fields.items():
        data = value if isinstance(value, bytes) else value.encode("utf-8", "backslashreplace")
        if b"\n" in data:
            parts += [name.encode(), b"\n", len(data).to_bytes(8, "little"), data, b"\n"]
        else:
            parts += [name.encode(), b"=", data, b"\n"]
    return b"".join(parts)


def _send_as_file(connection: socket.socket, data: bytes) -> None:
    """What is too long for a datagram goes as a sealed file in memory, whose descriptor is sent."""
    file = os.memfd_create("panorama", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALED)
        descriptors = array.array("i", [file])
        connection.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)], socket.MSG_NOSIGNAL)
    finally:
        os.close(file)
