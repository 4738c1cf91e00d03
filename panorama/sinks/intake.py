# SPDX-License-Identifier: Apache-2.0
"""The way into a queue: lines go in while there is room, and those that find none are counted, not forgotten.

When there is no more room the oldest are kept, because they tell how it began; the place in the log where the others
are missing gets a line `panorama dropped N lines ...`. Knows nothing of how lines leave the queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ..output.line import Line
from ..output.notice import notice
from .queues import Queue

__all__ = ["Intake"]

_NOTICE_BYTES = 4096  # kept free for the notice, at most; a quarter of a small queue


class Intake:
    """`encode` makes of a line what goes into `queue`. `dropped` counts all lines that had to go.

    `gap` are those whose notice is still to come.
    """

    def __init__(self, queue: Queue, encode: Callable[[Line], list[bytes]]) -> None:
        self.dropped = 0
        self.gap = 0
        self._queue = queue
        self._encode = encode
        self._room = queue.limit - min(_NOTICE_BYTES, queue.limit // 4)

    def put(self, data: bytes) -> bool:
        """Adds an encoded line; False if it had to go."""
        queue = self._queue
        # after a gap only once half is free again, lest the log alternate between single lines and notices
        if self.gap and queue.size <= queue.limit // 2:
            self.note()
        fits = not queue.lines or queue.size + len(data) <= self._room
        if self.gap or not fits or not queue.put(data, time.time()):
            self.gap += 1
            self.dropped += 1
            return False
        return True

    def note(self) -> None:
        """Says how many lines are missing here, if any are."""
        if not self.gap:
            return
        lines = "1 line" if self.gap == 1 else f"{self.gap} lines"
        said = notice(time.time_ns(), "dropped", f"{lines} here: the receiver took none for too long")
        if all(self._queue.put(data, time.time()) for data in self._encode(said)):
            self.gap = 0

    def forget(self) -> None:
        """Nobody will read the notice."""
        self.gap = 0
