# SPDX-License-Identifier: Apache-2.0
"""Lines appended to a file, whole lines only, also when the disk fills up or the file is rotated under us.

A file that was moved or deleted is noticed within a second, one that was copied and emptied at once; nobody has to
send a signal.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time

from ..errors import SinkError
from ..output.formats import Formatter
from ..output.line import Line
from ..reading.keys import Key
from .buffered import BufferedSink
from .queues import Queue
from .setup import Setup

__all__ = ["KEYS", "File", "opened"]

KEYS = {"path": Key("created", "the file; it is created with mode 0640, its directory is not", needed=True)}

# conditions that pass: lines wait for them instead of stopping the program at start
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.ENXIO, errno.EMFILE, errno.ENFILE)

_LOOK = 1.0  # s between looks at what has the name now


class File(BufferedSink):
    """`path` is created with mode 0640 if need be; its directory is not. SinkError if it cannot be opened."""

    def __init__(self, formatter: Formatter, path: str, queue: Queue | None = None) -> None:
        super().__init__(formatter, queue)
        self._path = path
        self._descriptor = -1
        self._torn = False  # the file ends in the middle of a line
        self._looked = 0.0  # time.monotonic
        self._missed = False  # nothing had the name when looked at last
        self.reopen()

    def reopen(self) -> None:
        """Goes on in whatever has the name now, after a log rotation. On SinkError the old file is kept."""
        try:
            new = self._open()
        except OSError as error:
            if error.errno in _PASSING:
                return
            raise SinkError(f"cannot write to {self._path}: {error.strerror}") from error
        self._release()
        self._begin(new)

    def _open(self) -> int:
        # O_NONBLOCK: a named pipe nobody reads gives ENXIO instead of waiting for a reader; no effect on files
        flags = os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            kind = os.stat(self._path).st_mode
        except FileNotFoundError:
            kind = stat.S_IFREG
        return os.open(self._path, flags | (os.O_RDWR if stat.S_ISREG(kind) else os.O_WRONLY), 0o640)

    def _begin(self, descriptor: int) -> None:
        self._descriptor, self._torn = descriptor, _ends_torn(descriptor)
        self._looked, self._missed = time.monotonic(), False
        self._restart()

    def _encode(self, text: str, line: Line) -> bytes:
        return text.encode("utf-8", "backslashreplace") + b"\n"

    def _send(self, data: bytes) -> int:
        begun = self._sent > 0
        try:
            self._follow()
            if begun and not self._sent:
                return 0  # `data` is the rest of a line whose beginning is not in this file
            if self._torn:
                self._torn = os.write(self._descriptor, b"\n") == 0
            return os.write(self._descriptor, data)
        except BrokenPipeError:  # the reader of a named pipe left; the next one gets whole lines
            self._release()
            self._restart()
            return 0
        except OSError as error:  # ENOSPC, EDQUOT, EAGAIN, EIO, ESTALE: what could not be written is still waiting
            self._why = f"{self._path}: {error.strerror}"
            return 0

    def _follow(self) -> None:
        """Goes to what has the name now. If nothing has, rotation is given a second to make it; then we do."""
        if self._descriptor < 0:
            self._begin(self._open())
            return
        status = os.fstat(self._descriptor) if self._sent else None
        if status and stat.S_ISREG(status.st_mode) and status.st_size < self._sent:
            self._restart()  # copied and emptied while the line was half written
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        there = _identity(self._path)
        if there == _identity(self._descriptor):
            self._missed = False
        elif not there and not self._missed:
            self._missed = True
        else:
            with contextlib.suppress(SinkError):  # its directory is gone: better in the old file than nowhere
                self.reopen()

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def opened(setup: Setup) -> File:
    """The file, ready to be written."""
    return File(setup.formatter(), setup.values["path"], setup.queue)


def _identity(path: str | int) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _ends_torn(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return False
    return os.pread(descriptor, 1, status.st_size - 1) != b"\n"
