# SPDX-License-Identifier: Apache-2.0
"""Lines appended to a file, whole lines only, also when the disk fills up or the file is rotated under us."""

from __future__ import annotations

import errno
import os
import stat

from ..errors import SinkError
from ..output.formats import Formatter
from ..reading.keys import Key
from .buffered import BUFFER_BYTES, BufferedSink
from .setup import Setup

__all__ = ["KEYS", "File", "opened"]

KEYS = {"path": Key("path", "the file; it is created with mode 0640, its directory is not", needed=True)}

# conditions that pass: lines wait for them instead of stopping the program at start
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.ENXIO, errno.EMFILE, errno.ENFILE)


class File(BufferedSink):
    """`path` is created with mode 0640 if need be; its directory is not. SinkError if it cannot be opened."""

    def __init__(self, formatter: Formatter, path: str, buffer_bytes: int = BUFFER_BYTES) -> None:
        super().__init__(formatter, buffer_bytes)
        self._path = path
        self._descriptor = -1
        self._torn = False  # the file ends in the middle of a line
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
        self._descriptor, self._torn = new, _ends_torn(new)
        self._restart()

    def _open(self) -> int:
        # O_NONBLOCK: a named pipe nobody reads gives ENXIO instead of waiting for a reader; no effect on files
        flags = os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            kind = os.stat(self._path).st_mode
        except FileNotFoundError:
            kind = stat.S_IFREG
        return os.open(self._path, flags | (os.O_RDWR if stat.S_ISREG(kind) else os.O_WRONLY), 0o640)

    def _encode(self, text: str, severity: str) -> bytes:
        return text.encode("utf-8", "backslashreplace") + b"\n"

    def _send(self, data: bytes) -> int:
        try:
            if self._descriptor < 0:
                self._descriptor = self._open()
                self._torn = _ends_torn(self._descriptor)
            if self._torn:
                self._torn = os.write(self._descriptor, b"\n") == 0
            return os.write(self._descriptor, data)
        except BrokenPipeError:  # the reader of a named pipe left; the next one gets whole lines
            self._release()
            self._restart()
            return 0
        except OSError:  # ENOSPC, EDQUOT, EAGAIN, EIO, ESTALE: what could not be written is still in the buffer
            return 0

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def opened(setup: Setup) -> File:
    """The file, ready to be written."""
    return File(setup.formatter(), setup.values["path"])


def _ends_torn(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return False
    return os.pread(descriptor, 1, status.st_size - 1) != b"\n"
