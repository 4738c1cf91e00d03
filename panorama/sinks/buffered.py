# SPDX-License-Identifier: Apache-2.0
"""What the sinks on this machine share: a line goes straight out, or waits in a queue if it cannot; nobody else waits.

Lines keep their order, and a line of which a part is out is not begun again. Nothing here knows where lines go. Sinks
whose receiver may be far away have a thread instead (shipping.py).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque

from ..output.formats import Formatter
from ..output.line import Line
from .intake import Intake
from .queues import Memory, Queue, Waiting

__all__ = ["BUFFER_BYTES", "BufferedSink"]

BUFFER_BYTES = 4 << 20
_CLOSING_SECONDS = 1.0  # how long close() may wait for a slow reader
_BATCH_LINES, _BATCH_BYTES = 256, 256 << 10  # taken from the queue at once


class BufferedSink(ABC):
    """A sink made of two steps, `_encode` and `_send`, and a queue (in memory unless another is given).

    With `patient` set, as a replay does, write() waits for a slow reader instead: there is no sensor to hold up.
    """

    def __init__(self, formatter: Formatter, queue: Queue | None = None, patient: bool = False) -> None:
        self._formatter = formatter
        self.queue: Queue = Memory(BUFFER_BYTES) if queue is None else queue
        self._intake = Intake(self.queue, self._encoded)
        self._patient = patient
        self._taken: deque[Waiting] = deque()  # the first ones in the queue
        self._sent = 0  # bytes of the first one that are out already
        self._done = self._forgotten = 0  # number of the last one that is out, and that the queue knows to be out
        self._why = ""  # the reason why `_send` could not

    @property
    def dropped(self) -> int:
        return self._intake.dropped

    @property
    def waiting(self) -> int:
        return self.queue.lines

    @property
    def busy(self) -> bool:
        return self.queue.lines > 0

    @property
    def trouble(self) -> str:
        return (self._why or "takes no lines at present") if self.queue.lines else ""

    def write(self, line: Line) -> None:
        """Formats the line and sends it, or keeps it for the next write or flush."""
        for data in self._encoded(line):
            self._put(data)
        self._push(0.0)

    def flush(self, seconds: float = 0.0) -> None:
        """Sends what waits, as far as that goes now. To be called regularly, also when there are no new lines.

        A syslog daemon takes 10 messages at a time (net.unix.max_dgram_qlen). Who has nothing to do for a while may
        say how long, and that time goes into sending the rest as the daemon takes them.
        """
        self.queue.commit()
        self._push(seconds)

    def close(self) -> None:
        """Sends what waits, for a second at most, then lets go. What is left is in `waiting`."""
        self.flush(_CLOSING_SECONDS)
        self._intake.note()
        self.queue.commit()
        self._release()

    @abstractmethod
    def _encode(self, text: str, line: Line) -> bytes:
        """One line of text as it goes out."""

    @abstractmethod
    def _send(self, data: bytes) -> int:
        """Sends without waiting; returns how many bytes went out, 0 if none can at present."""

    def _wait(self, seconds: float | None) -> bool:
        """Waits until sending is worth another try; False if time is up or waiting would not help."""
        return False

    @abstractmethod
    def _release(self) -> None:
        """Closes descriptors."""

    def _encoded(self, line: Line) -> list[bytes]:
        return [self._encode(text, line) for text in self._formatter(line)]

    def _put(self, data: bytes) -> None:
        sent = 0
        if not self.queue.lines and not self._intake.gap:
            sent = max(self._send(data), 0)
            if sent >= len(data):
                return
        if self._intake.put(data) and sent:
            self._sent = sent

    def _push(self, seconds: float) -> None:
        if self._drain():
            return
        deadline = None if self._patient else time.monotonic() + seconds
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if (left is not None and left <= 0) or not self._wait(left) or self._drain():
                return

    def _drain(self) -> bool:
        """Whether everything is out that can be taken from the queue."""
        while self._taken or self._fetch():
            item = self._taken[0]
            count = self._send(item.data[self._sent :] if self._sent else item.data)
            if count <= 0:
                self._forget()
                return False
            self._sent += count
            if self._sent >= len(item.data):
                self._taken.popleft()
                self._sent, self._done = 0, item.number
        return True

    def _fetch(self) -> bool:
        """Takes the next lines from the queue; those behind a commit that is still to come are not seen."""
        self._forget()
        if not self.queue.lines:
            self._intake.note()
        if self.queue.lines:
            self._taken.extend(self.queue.take(self._done, _BATCH_LINES, _BATCH_BYTES))
        return bool(self._taken)

    def _forget(self) -> None:
        if self._done > self._forgotten:
            self.queue.done(self._done)
            self._forgotten = self._done

    def _restart(self) -> None:
        """Sends the first line from its beginning again: the other end has changed."""
        self._sent = 0

    def _discard(self) -> None:
        self._taken.clear()
        while rest := self.queue.take(0, _BATCH_LINES, _BATCH_BYTES):
            self.queue.done(rest[-1].number)
        self._intake.forget()
        self._sent = 0
