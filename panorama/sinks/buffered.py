# SPDX-License-Identifier: Apache-2.0
"""What every sink shares: lines that cannot go out now wait here, in order and within bounds, and nobody else waits.

When there is no more room the oldest are kept, because they tell how it began; the new ones are counted, and the place
in the log where they are missing gets a line `panorama dropped N lines ...`. Nothing here knows where lines go.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque

from ..output.formats import Formatter
from ..output.line import Line
from ..output.notice import notice

__all__ = ["BUFFER_BYTES", "BufferedSink"]

BUFFER_BYTES = 4 << 20
_CLOSING_SECONDS = 1.0  # how long close() may wait for a slow reader


class BufferedSink(ABC):
    """A sink made of two steps, `_encode` and `_send`.

    `dropped` counts the lines that had to go, `waiting` those that may still be written. With `patient` set, as a
    replay does, write() waits for a slow reader instead: there is no sensor to hold up.
    """

    def __init__(self, formatter: Formatter, buffer_bytes: int = BUFFER_BYTES, patient: bool = False) -> None:
        self.dropped = 0
        self._formatter = formatter
        self._limit = buffer_bytes
        self._patient = patient
        self._queue: deque[bytes] = deque()
        self._size = 0
        self._sent = 0  # bytes of the first one that are out already
        self._gap = 0  # lines dropped behind the last one in the queue

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def busy(self) -> bool:
        return bool(self._queue)

    @property
    def trouble(self) -> str:
        return "takes no lines at present" if self._queue else ""

    def write(self, line: Line) -> None:
        """Formats the line and sends it, or keeps it for the next write or flush."""
        for text in self._formatter(line):
            self._put(self._encode(text, line.severity))
        self.flush()

    def flush(self, seconds: float = 0.0) -> None:
        """Sends what waits, as far as that goes now. To be called regularly, also when there are no new lines.

        A syslog daemon takes 10 messages at a time (net.unix.max_dgram_qlen). Who has nothing to do for a while may
        say how long, and that time goes into sending the rest as the daemon takes them.
        """
        if self._drain():
            return
        deadline = None if self._patient else time.monotonic() + seconds
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if (left is not None and left <= 0) or not self._wait(left) or self._drain():
                return

    def close(self) -> None:
        """Sends what waits, for a second at most, then lets go. What is left is in `waiting`."""
        self.flush(_CLOSING_SECONDS)
        self._release()

    @abstractmethod
    def _encode(self, text: str, severity: str) -> bytes:
        """One line as it goes out."""

    @abstractmethod
    def _send(self, data: bytes) -> int:
        """Sends without waiting; returns how many bytes went out, 0 if none can at present."""

    def _wait(self, seconds: float | None) -> bool:
        """Waits until sending is worth another try; False if time is up or waiting would not help."""
        return False

    @abstractmethod
    def _release(self) -> None:
        """Closes descriptors."""

    def _put(self, data: bytes) -> None:
        # after a gap only once half is free again, lest the log alternate between single lines and notices
        if self._gap and self._size <= self._limit // 2:
            self._note_gap()
        if self._gap or (self._queue and self._size + len(data) > self._limit):
            self._gap += 1
            self.dropped += 1
            return
        self._append(data)

    def _append(self, data: bytes) -> None:
        self._queue.append(data)
        self._size += len(data)

    def _note_gap(self) -> None:
        lines = "1 line" if self._gap == 1 else f"{self._gap} lines"
        said = notice(time.time_ns(), "dropped", f"{lines} here: the sink took none for too long")
        self._gap = 0
        for text in self._formatter(said):
            self._append(self._encode(text, said.severity))

    def _drain(self) -> bool:
        """Whether everything is out."""
        while self._queue or self._gap:
            if not self._queue:
                self._note_gap()
                continue
            data = self._queue[0]
            count = self._send(data[self._sent :] if self._sent else data)
            if count <= 0:
                return False
            self._sent += count
            if self._sent >= len(data):
                self._queue.popleft()
                self._size -= len(data)
                self._sent = 0
        return True

    def _restart(self) -> None:
        """Sends the first line from its beginning again: the other end has changed."""
        self._sent = 0

    def _discard(self) -> None:
        self._queue.clear()
        self._size = self._sent = self._gap = 0
