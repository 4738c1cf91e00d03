# SPDX-License-Identifier: Apache-2.0
"""Lines to standard output. A paused terminal or a slow reader of a pipe does not hold up the sensor."""

from __future__ import annotations

import os
import select
import socket
import stat

from ..errors import ReaderGone
from ..output.formats import Formatter, formatter
from ..output.line import Line
from ..reading.keys import Key
from .buffered import BufferedSink
from .queues import Queue
from .setup import Setup

__all__ = ["KEYS", "Console", "opened"]

KEYS: dict[str, Key] = {}


class Console(BufferedSink):
    """`descriptor` is standard output; `header` is a first line of its own, for people."""

    def __init__(
        self,
        formatter: Formatter,
        descriptor: int = 1,
        header: str = "",
        queue: Queue | None = None,
        patient: bool = False,
    ) -> None:
        super().__init__(formatter, queue, patient)
        self._descriptor, self._may_block = _without_blocking(descriptor)
        self._socket: socket.socket | None = None
        if stat.S_ISSOCK(os.fstat(self._descriptor).st_mode):
            self._socket = socket.socket(fileno=self._descriptor)
        self._gone = False
        if header:
            self._put(header.encode() + b"\n")

    def _encode(self, text: str, line: Line) -> bytes:
        return text.encode("utf-8", "backslashreplace") + b"\n"

    def _put(self, data: bytes) -> None:
        if not self._gone:
            super()._put(data)

    def _send(self, data: bytes) -> int:
        try:
            if self._socket:
                return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            if self._may_block:
                if not self._wait(0):
                    return 0
                data = data[: select.PIPE_BUF]  # what a pipe that is ready takes without waiting, pipe(7)
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._gone = True  # EPIPE, EIO from a terminal that was closed: no later line can do better
            self._discard()
            raise ReaderGone(f"standard output: {error.strerror}") from error

    def _wait(self, seconds: float | None) -> bool:
        if self._gone:
            return False
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def _release(self) -> None:
        if self._socket:
            self._socket.close()
        elif self._descriptor >= 0:
            os.close(self._descriptor)
        self._socket, self._descriptor, self._gone = None, -1, True


def opened(setup: Setup) -> Console:
    """Standard output."""
    style = setup.style
    made = setup.wrap(formatter(style.format, style.context))
    return Console(made, header=style.header, queue=setup.queue, patient=style.patient)


def _without_blocking(descriptor: int) -> tuple[int, bool]:
    """A descriptor of our own for the same thing, and whether writing to it may block.

    O_NONBLOCK belongs to the open file, which we share with the shell and whoever else writes there, so it must not be
    set on theirs; opening the pipe or terminal once more gives an open file that is ours alone.
    """
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            return os.open(f"/proc/self/fd/{descriptor}", flags), False
        except OSError:  # another user's terminal or pipe, or no /proc
            return os.dup(descriptor), True
    return os.dup(descriptor), False
