# SPDX-License-Identifier: Apache-2.0
"""Lines to the local syslog daemon, as syslog(3) sends them: `<PRI>panorama[pid]: text` to /dev/log.

There is no time stamp, the daemon adds that of arrival; the line has its own. A daemon that is not there yet, restarts
or is slow costs nothing but room in the queue.
"""

from __future__ import annotations

import errno
import os
import socket

from ..output.formats import Formatter
from ..output.line import SEVERITIES, Line
from ..reading.keys import Key
from .queues import Queue
from .rfc5424 import FACILITIES, MESSAGE_BYTES, cut, priority
from .setup import Setup
from .sockets import SocketSink

__all__ = ["KEYS", "Syslog", "opened"]

_PREFIX_BYTES = len("<191>panorama[4194304]: ")  # pid_max is at most 2**22, proc(5)

KEYS = {
    "path": Key("path", "the socket of the syslog daemon", "/dev/log"),
    "facility": Key("word", "the facility of the messages", "daemon", choices=tuple(FACILITIES)),
}


class Syslog(SocketSink):
    """`path` is the daemon's socket: datagrams, or a stream (syslog-ng's unix-stream)."""

    def __init__(
        self, formatter: Formatter, path: str = "/dev/log", facility: str = "daemon", queue: Queue | None = None
    ) -> None:
        super().__init__(formatter, path, queue)
        self._heads = {
            severity: f"<{priority(facility, severity)}>panorama[{os.getpid()}]: " for severity in SEVERITIES
        }

    def _encode(self, text: str, line: Line) -> bytes:
        head = self._heads.get(line.severity) or self._heads["info"]
        message = f"{head}{text}".encode("utf-8", "backslashreplace")
        return cut(message, MESSAGE_BYTES) + b"\0"  # ends a message on a stream; not sent in a datagram

    def _transmit(self, connection: socket.socket, data: bytes) -> int:
        if connection.type == socket.SOCK_STREAM:
            return connection.send(data, socket.MSG_NOSIGNAL)
        message = data[:-1]
        while True:
            try:
                connection.send(message)
                return len(data)
            except OSError as error:  # a socket with a tiny buffer (net.core.wmem_default): better some than none
                if error.errno != errno.EMSGSIZE or len(message) < 64:
                    raise
                message = cut(message, len(message) // 2)


def opened(setup: Setup) -> Syslog:
    """The local syslog daemon, there or not."""
    made = setup.formatter(MESSAGE_BYTES - _PREFIX_BYTES)
    return Syslog(made, setup.values["path"], setup.values["facility"], setup.queue)
