# SPDX-License-Identifier: Apache-2.0
"""Sinks whose receiver may be far away, slow or gone: a queue, and a thread of its own that empties it.

The thread that watches never waits for a receiver: it encodes a line and puts it into the queue. The other thread hands
batches to a Transport and forgets lines once the transport has them confirmed; what was handed over but not confirmed
when a connection broke is sent again. So a line arrives at least once, in order, for as long as the queue has room.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ..output.line import Line
from ..output.notice import notice
from .queues import Queue

__all__ = ["Shipped", "Transport", "Unreachable"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # s between tries, doubled each time
_UNCONFIRMED = 0.05  # s between questions whether the receiver has it
_CLOSING = 2.0  # s that the end may take; what is not out by then waits in the queue


class Unreachable(Exception):
    """The receiver cannot take lines now; the reason in a few words. Lines wait, and are tried again."""


class Transport(Protocol):
    """One way to a receiver. Used by one thread at a time; may block, but comes back within its own timeouts.

    `batch_lines` and `batch_bytes` bound what `send` gets at once. `refused` counts lines that the receiver would not
    have however often they came, with `refusal` the last reason; they count as confirmed.
    """

    batch_lines: int
    batch_bytes: int
    refused: int
    refusal: str

    def send(self, batch: Sequence[bytes]) -> None:
        """Hands encoded lines over, connecting if need be. Raises Unreachable; then the whole batch comes again."""
        ...

    def confirmed(self) -> int:
        """How many more lines, in the order of `send`, the receiver has since this was asked last.

        Raises Unreachable if the connection is gone: all that is not confirmed comes again.
        """
        ...

    def close(self) -> None:
        """Lets go of connections, without waiting. May be used again after that."""
        ...


class Shipped:
    """A sink that puts what `encode` makes of a line into `queue`, and ships the queue with `transport`."""

    def __init__(self, name: str, encode: Callable[[Line], list[bytes]], queue: Queue, transport: Transport) -> None:
        self.name = name
        self.queue = queue
        self.transport = transport
        self.trouble = ""  # why nothing goes out at present
        self._encode = encode
        self._dropped = 0
        self._gap = 0  # lines dropped behind the last one in the queue
        self._sent = 0  # number of the last line handed over
        self._done = 0  # and of the last one confirmed
        self._work = threading.Event()
        self._ending = threading.Event()
        self._deadline = float("inf")  # time.monotonic
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        return self._dropped + self.transport.refused

    @property
    def waiting(self) -> int:
        return self.queue.lines

    @property
    def busy(self) -> bool:
        """Whether `flush` has to be called again soon. Never: a thread sees to it."""
        return False

    def write(self, line: Line) -> None:
        """Encodes the line and puts it into the queue."""
        # after a gap only once half is free again, lest the log alternate between single lines and notices
        if self._gap and self.queue.size <= self.queue.limit // 2:
            self._note_gap()
        for data in self._encode(line):
            if self._gap or not self.queue.put(data, time.time()):
                self._gap += 1
                self._dropped += 1

    def flush(self, seconds: float = 0.0) -> None:
        """Commits what was written, and lets the thread know."""
        self.queue.commit()
        if self._thread is None:
            self._thread = threading.Thread(target=self._ship, name=self.name, daemon=True)
            self._thread.start()
        self._work.set()

    def close(self) -> None:
        """Ships what waits, for two seconds at most. What is left is in `waiting`, and on disk if the queue is."""
        if self._gap:
            self._note_gap()
        self._deadline = time.monotonic() + _CLOSING
        self._ending.set()
        self.flush()
        if self._thread:
            self._thread.join(_CLOSING + 1.0)
            self._thread = None

    def _note_gap(self) -> None:
        lines = "1 line" if self._gap == 1 else f"{self._gap} lines"
        said = notice(time.time_ns(), "dropped", f"{lines} here: the receiver took none for too long")
        self._gap = 0
        for data in self._encode(said):
            self.queue.put(data, time.time())

    def _ship(self) -> None:
        pause = 0.0
        while not self._ending.is_set() or (self.queue.lines and not pause and time.monotonic() < self._deadline):
            if pause:
                self._ending.wait(pause)
            else:
                self._work.wait(_UNCONFIRMED if self._sent > self._done else None)
                self._work.clear()
            try:
                self._hand_over()
                self._confirm()
                pause, self.trouble = 0.0, ""
            except Unreachable as error:
                self.trouble = str(error)
                self.transport.close()
                self._sent = self._done
                pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        self.transport.close()

    def _hand_over(self) -> None:
        """Sends what waits, batch by batch."""
        transport = self.transport
        while batch := self.queue.take(self._sent, transport.batch_lines, transport.batch_bytes):
            if not self._sent:
                self._done = batch[0].number - 1
            transport.send([item.data for item in batch])
            self._sent = batch[-1].number
            self._confirm()
            if time.monotonic() > self._deadline:
                return

    def _confirm(self) -> None:
        """Forgets what the receiver has."""
        if count := self.transport.confirmed():
            self._done += count
            self.queue.done(self._done)
