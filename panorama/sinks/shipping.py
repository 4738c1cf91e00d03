# SPDX-License-Identifier: Apache-2.0
"""Sinks whose receiver may be far away, slow or gone: a queue, and a thread of its own that empties it.

The thread that watches never waits for a receiver: it encodes a line and puts it into the queue. The other thread hands
batches to a Transport and forgets lines once the transport has them confirmed; what was handed over but not confirmed
when a connection broke is sent again. So a line arrives at least once, in order, for as long as the queue has room.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from ..output.line import Line
from .intake import Intake
from .queues import Queue

__all__ = ["Answered", "Shipped", "Transport", "Unreachable"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # s between tries, doubled each time
_UNCONFIRMED, _AT_THE_END = 0.25, 0.02  # s between questions whether the receiver has it
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

    def finish(self) -> None:
        """Nothing more will come for now: where that helps the receiver to confirm, it is told. Without waiting."""
        ...

    def close(self) -> None:
        """Lets go of connections, without waiting. May be used again after that."""
        ...


class Answered(ABC):
    """A transport whose receiver answers: once `send` has returned, it has the batch, or refused lines for good."""

    def __init__(self) -> None:
        self.refused = 0
        self.refusal = ""
        self._confirmed = 0

    def send(self, batch: Sequence[bytes]) -> None:
        reasons = self._deliver(batch)
        self.refused += len(reasons)
        self.refusal = reasons[-1] if reasons else self.refusal
        self._confirmed += len(batch)

    def confirmed(self) -> int:
        count, self._confirmed = self._confirmed, 0
        return count

    def finish(self) -> None:  # noqa: B027 - nothing is left to do
        """Every answer came before `send` returned."""

    def close(self) -> None:
        self._confirmed = 0

    @abstractmethod
    def _deliver(self, batch: Sequence[bytes]) -> list[str]:
        """The reasons for lines that are refused for good. Unreachable if lines of the batch have to come again."""


class Shipped:
    """A sink that puts what `encode` makes of a line into `queue`, and ships the queue with `transport`."""

    def __init__(self, name: str, encode: Callable[[Line], list[bytes]], queue: Queue, transport: Transport) -> None:
        self.name = name
        self.queue = queue
        self.transport = transport
        self.trouble = ""  # why nothing goes out at present
        self._encode = encode
        self._intake = Intake(queue, encode)
        self._sent = 0  # number of the last line handed over
        self._done = 0  # and of the last one confirmed
        self._failures = 0  # tries since then
        self._work = threading.Event()
        self._ending = threading.Event()
        self._deadline = float("inf")  # time.monotonic
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        return self._intake.dropped + self.transport.refused

    @property
    def waiting(self) -> int:
        return self.queue.lines

    @property
    def busy(self) -> bool:
        """Whether `flush` has to be called again soon. Never: a thread sees to it."""
        return False

    def write(self, line: Line) -> None:
        """Encodes the line and puts it into the queue."""
        for data in self._encode(line):
            self._intake.put(data)

    def flush(self, seconds: float = 0.0) -> None:
        """Commits what was written, and lets the thread know if there is any."""
        self.queue.commit()
        if not self.queue.lines:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._ship, name=self.name, daemon=True)
            self._thread.start()
        self._work.set()

    def close(self) -> None:
        """Ships what waits, for two seconds at most. What is left is in `waiting`, and on disk if the queue is."""
        if self._ending.is_set():
            return
        self._intake.note()
        self._deadline = time.monotonic() + _CLOSING
        self._ending.set()
        self.flush()
        self._work.set()
        if self._thread:
            self._thread.join(_CLOSING + 1.0)
            self._thread = None

    def _ship(self) -> None:
        broken = False
        while not self._over(broken):
            if broken:
                self._ending.wait(min(_FIRST_PAUSE * 2 ** min(self._failures - 1, 16), _LONGEST_PAUSE))
            else:
                asking = _AT_THE_END if self._ending.is_set() else _UNCONFIRMED
                self._work.wait(asking if self._sent > self._done else None)
                self._work.clear()
            try:
                self._hand_over()
                if self._ending.is_set():
                    self.transport.finish()
                self._confirm()
                broken = False
                if not self._failures:
                    self.trouble = ""
            except Exception as error:  # a mistake of ours ends no shipping either: it is said, and tried again
                self.trouble = str(error) if isinstance(error, Unreachable) else f"mistake in Panorama: {error!r}"
                self.transport.close()
                self._sent = self._done
                self._failures += 1
                broken = True
        self.transport.close()

    def _over(self, broken: bool) -> bool:
        if not self._ending.is_set():
            return False
        return broken or not self.queue.lines or time.monotonic() >= self._deadline

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
            self._failures = 0
