# SPDX-License-Identifier: Apache-2.0
"""Where encoded lines wait until their receiver has them: the interface, and the queue in memory.

The queue on disk is spool.py. A full queue keeps the oldest lines: they tell how it began. The thread that writes
lines and the one that ships them use a queue at the same time.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Memory", "Queue", "Waiting"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """One encoded line; `number` grows by one along the queue, `since` is when it came (s since 1970)."""

    number: int
    since: float
    data: bytes


class Queue(Protocol):
    """`lines` and `size` bytes wait, of at most `limit`; `oldest` is when the first came, in s since 1970, or 0."""

    @property
    def lines(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def limit(self) -> int: ...

    @property
    def oldest(self) -> float: ...

    def put(self, data: bytes, since: float) -> bool:
        """Adds a line; False if there is no room. Seen by `take` after the next commit."""
        ...

    def commit(self) -> None:
        """Makes sure of what was put: on disk, where the queue is there."""
        ...

    def take(self, after: int, most_lines: int, most_bytes: int) -> list[Waiting]:
        """The lines behind number `after` (0: from the first), one at least if there is any; they stay in the queue."""
        ...

    def done(self, number: int) -> None:
        """The receiver has everything up to and with that number: it is forgotten."""
        ...


class Memory:
    """A queue of at most `limit` bytes that ends with the process."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._lines: deque[Waiting] = deque()
        self._next = 1
        self._lock = threading.Lock()

    @property
    def lines(self) -> int:
        return len(self._lines)

    @property
    def oldest(self) -> float:
        with self._lock:
            return self._lines[0].since if self._lines else 0.0

    def put(self, data: bytes, since: float) -> bool:
        with self._lock:
            if self._lines and self.size + len(data) > self.limit:
                return False
            self._lines.append(Waiting(self._next, since, data))
            self._next += 1
            self.size += len(data)
            return True

    def commit(self) -> None:
        """Nothing to do."""

    def take(self, after: int, most_lines: int, most_bytes: int) -> list[Waiting]:
        taken: list[Waiting] = []
        total = 0
        with self._lock:
            skipped = max(0, after - self._lines[0].number + 1) if self._lines else 0
            for index in range(skipped, len(self._lines)):
                item = self._lines[index]
                total += len(item.data)
                if taken and (len(taken) == most_lines or total > most_bytes):
                    break
                taken.append(item)
        return taken

    def done(self, number: int) -> None:
        with self._lock:
            while self._lines and self._lines[0].number <= number:
                self.size -= len(self._lines.popleft().data)
