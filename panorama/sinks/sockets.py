# SPDX-License-Identifier: Apache-2.0
"""What the sinks share that send to a UNIX socket: the daemon behind it may come later, be slow, or start again."""

from __future__ import annotations

import errno
import os
import select
import socket
from abc import abstractmethod

from ..errors import SinkError
from ..output.formats import Formatter
from .buffered import BufferedSink
from .queues import Queue

__all__ = ["SocketSink"]

_LONGEST_PATH = 107  # sockaddr_un.sun_path without its NUL, unix(7)


class SocketSink(BufferedSink):
    """`path` is the daemon's socket: datagrams, or a stream where it listens for that."""

    def __init__(self, formatter: Formatter, path: str, queue: Queue | None = None) -> None:
        super().__init__(formatter, queue)
        if len(os.fsencode(path)) > _LONGEST_PATH:
            raise SinkError(f"socket path longer than {_LONGEST_PATH} bytes: {path}")
        self._path = path
        self._socket: socket.socket | None = None

    @abstractmethod
    def _transmit(self, connection: socket.socket, data: bytes) -> int:
        """Sends without waiting; returns how many bytes of `data` went out."""

    def _send(self, data: bytes) -> int:
        tries = 1 if self._socket is None else 2  # a daemon that was restarted takes the line at once
        for _ in range(tries):
            begun = self._sent > 0
            try:
                if self._socket is None:
                    self._socket = _connect(self._path)
                return self._transmit(self._socket, data)
            except BlockingIOError:
                self._why = f"{self._path}: the daemon takes no lines at present"
                return 0
            except OSError as error:  # not there (ENOENT, ECONNREFUSED), or no longer (ENOTCONN, EPIPE, ECONNRESET)
                self._why = f"{self._path}: {error.strerror}"
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
