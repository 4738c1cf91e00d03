# SPDX-License-Identifier: Apache-2.0
"""Lines to the local syslog daemon, as syslog(3) sends them: `<PRI>panorama[pid]: text` to /dev/log.

PRI is facility times 8 plus severity (RFC 3164 4.1.1, RFC 5424 6.2.1). There is no time stamp, the daemon adds that of
arrival; the line has its own. A daemon that is not there yet, restarts or is slow costs nothing but room in the buffer.
"""

from __future__ import annotations

import errno
import os
import select
import socket

from ..errors import SinkError
from ..output.formats import Formatter
from ..output.line import SEVERITIES
from ..output.quoting import CUT
from ..reading.keys import Key
from .buffered import BUFFER_BYTES, BufferedSink
from .setup import Setup

__all__ = ["FACILITIES", "KEYS", "MESSAGE_BYTES", "Syslog", "opened"]

FACILITIES = {"user": 1, "daemon": 3, "auth": 4, "authpriv": 10} | {f"local{n}": 16 + n for n in range(8)}

MESSAGE_BYTES = 8096  # what rsyslog's maxMessageSize=8k comes to, measured; the rest it cuts without saying so
_PREFIX_BYTES = len("<191>panorama[4194304]: ")  # pid_max is at most 2**22, proc(5)
_LONGEST_PATH = 107  # sockaddr_un.sun_path without its NUL, unix(7)

KEYS = {
    "path": Key("path", "the socket of the syslog daemon", "/dev/log"),
    "facility": Key("word", "the facility of the messages", "daemon", choices=tuple(FACILITIES)),
}


class Syslog(BufferedSink):
    """`path` is the daemon's socket: datagrams, or a stream where it listens for that (syslog-ng's unix-stream)."""

    def __init__(
        self,
        formatter: Formatter,
        path: str = "/dev/log",
        facility: str = "daemon",
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        super().__init__(formatter, buffer_bytes)
        if len(os.fsencode(path)) > _LONGEST_PATH:
            raise SinkError(f"syslog socket path longer than {_LONGEST_PATH} bytes: {path}")
        self._path = path
        self._socket: socket.socket | None = None
        levels = {severity: FACILITIES[facility] * 8 + level for level, severity in enumerate(SEVERITIES)}
        self._heads = {severity: f"<{level}>panorama[{os.getpid()}]: " for severity, level in levels.items()}

    def _encode(self, text: str, severity: str) -> bytes:
        head = self._heads.get(severity) or self._heads["info"]
        message = f"{head}{text}".encode("utf-8", "backslashreplace")
        return _cut(message, MESSAGE_BYTES) + b"\0"  # ends a message on a stream; not sent in a datagram

    def _send(self, data: bytes) -> int:
        tries = 1 if self._socket is None else 2  # a daemon that was restarted takes the line at once
        for _ in range(tries):
            begun = self._sent > 0
            try:
                if self._socket is None:
                    self._socket = _connect(self._path)
                return _send(self._socket, data)
            except BlockingIOError:  # its queue is full
                return 0
            except OSError:  # not there (ENOENT, ECONNREFUSED), or no longer (ENOTCONN, EPIPE, ECONNRESET)
                self._release()
                self._restart()
            if begun:
                break  # `data` is the rest of a line whose beginning went to the old daemon
        return 0

    def _wait(self, seconds: float | None) -> bool:
        if self._socket is None:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def _release(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def opened(setup: Setup) -> Syslog:
    """The local syslog daemon, there or not."""
    made = setup.formatter(MESSAGE_BYTES - _PREFIX_BYTES)
    return Syslog(made, setup.values["path"], setup.values["facility"])


def _connect(path: str) -> socket.socket:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        connection = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
        try:
            connection.connect(path)
        except OSError as error:
            connection.close()
            if error.errno != errno.EPROTOTYPE or kind == socket.SOCK_STREAM:
                raise
        else:
            return connection
    raise AssertionError("the last kind either connects or raises")


def _send(connection: socket.socket, data: bytes) -> int:
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
            message = _cut(message, len(message) // 2)


def _cut(message: bytes, limit: int) -> bytes:
    """At most `limit` bytes, saying so if bytes had to go. Formats cut the object first; this is the last resort."""
    if len(message) <= limit:
        return message
    return message[: limit - len(CUT)].decode("utf-8", "ignore").encode() + CUT.encode()
