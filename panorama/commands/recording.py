# SPDX-License-Identifier: Apache-2.0
"""A trace that is being recorded: its header, and what becomes of it when the disk is full."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .. import __version__
from ..event import Item
from ..output.context import live_context
from ..output.notice import myself
from ..trace import TraceHeader, TraceWriter, create_trace
from .options import Loaded

__all__ = ["Recording", "record_to"]

_BLOCK = 1 << 16


class Recording:
    """Writes a trace at `path`. When that fails, it says so in one line, sets `failed` and takes no more.

    What had been written stays, up to the last whole line; the command that is recorded is left alone.
    """

    def __init__(self, path: str, header: TraceHeader) -> None:
        self.failed = False
        self._path = path
        self._writer: TraceWriter = create_trace(path, header)

    def write(self, item: Item) -> None:
        if not self.failed:
            try:
                self._writer.write(item)
            except OSError as error:
                self._fail(error)

    def end(self, counters: Mapping[str, Any]) -> None:
        """Writes the last line and closes the trace."""
        if not self.failed:
            try:
                self._writer.end(dict(counters))
                self._writer.close()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.failed = True
        with contextlib.suppress(OSError):
            self._writer.close()
        with contextlib.suppress(OSError):
            _drop_torn_line(self._path)
        print(
            f"panorama: {self._path}: {error.strerror}; recording stopped here, the trace has what came before",
            file=sys.stderr,
        )


def record_to(path: str, loaded: Loaded, command: Sequence[str] = ()) -> Recording:
    """A new trace at `path`; SinkError if it cannot be made."""
    context, recorder = live_context(), myself()
    return Recording(
        path,
        TraceHeader(
            kernel=platform.release(),
            host=context.host,
            boot_id=context.boot_id,
            command=tuple(command),
            panorama=__version__,
            behaviors=loaded.program.digest,
            started=time.time_ns(),
            pid=recorder.pid,
            ppid=recorder.ppid,
            user=recorder.user,
        ),
    )


def _drop_torn_line(path: str) -> None:
    """Cuts a regular file that is not compressed behind its last whole line."""
    if path.endswith(".gz") or not os.path.isfile(path):
        return
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - _BLOCK)
            file.seek(begin)
            newline = file.read(end - begin).rfind(b"\n")
            if newline >= 0:
                file.truncate(begin + newline + 1)
                return
            end = begin
