# SPDX-License-Identifier: Apache-2.0
"""Batches of lines as HTTP requests: the transport of sinks whose receiver answers whether it has them.

A batch that is too large for the receiver is halved, and so are those after it. Where lines themselves are at fault
they are refused and counted; all else waits, because it may be mended: a wrong token, a missing index, a full disk.
What requests and answers look like is a Dialect's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .http import Answer, Server
from .shipping import Answered

__all__ = ["Dialect", "Posts"]

_SMALLEST = 16 << 10  # bytes: batches are not made smaller than that


class Dialect(Protocol):
    """How one kind of server takes lines."""

    path: str
    headers: dict[str, str]

    def refused(self, answer: Answer, lines: int) -> list[str] | None:
        """The reasons for lines that are refused for good; None if some line of several is, and not told which.

        Unreachable if lines of the batch have to come again.
        """
        ...


class Posts(Answered):
    """The transport. A line may be in two batches, if the first one failed half way: its id tells."""

    batch_lines = 500

    def __init__(self, server: Server, dialect: Dialect) -> None:
        super().__init__()
        self.batch_bytes = 1 << 20
        self._server = server
        self._dialect = dialect

    def close(self) -> None:
        self._server.close()
        super().close()

    def _deliver(self, batch: Sequence[bytes]) -> list[str]:
        body = b"".join(batch)
        answer = self._server.post(self._dialect.path, body, self._dialect.headers)
        reasons: list[str] | None
        if answer.status != 413:
            reasons = self._dialect.refused(answer, len(batch))
        elif len(batch) == 1:
            reasons = [f"{len(body)} bytes are more than the receiver takes"]
        else:
            reasons = None
            self.batch_bytes = max(min(self.batch_bytes, len(body) // 2), _SMALLEST)
        if reasons is None:
            half = len(batch) // 2
            reasons = self._deliver(batch[:half]) + self._deliver(batch[half:])
        return reasons
