# SPDX-License-Identifier: Apache-2.0
"""From the pipeline to the sinks: lines are folded, numbered, filtered for each sink, and what was given out is kept.

A line's `sequence` counts the lines of this host. Where a Store keeps it, it goes on over restarts, and no number is
used twice: after a kill it jumps, because lines may have gone out that were not kept yet. A sink that gets only some
lines is told in `previous` which one it got before, so its receiver can prove that none is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..errors import PanoramaError, SinkError
from ..output.context import Context
from ..output.formats import Formatter
from ..output.line import Line
from ..sinks import File, Sink
from ..sinks.shipping import Shipped
from ..sinks.spool import Store
from .chain import BLANK, MARKER, link, own_hash
from .folding import Folder

__all__ = ["Delivery", "Stream"]

_BATCH = 256  # lines
_JUMP = 100_000  # more lines than are given out between two commits


class Stream:
    """The lines of one sink: `last` is the sequence of the last one it got, `chain` its hash.

    `wanted` says which lines it gets. They are chained if `chained` is given, the context that has host and boot id.
    `sink` may be set later.
    """

    def __init__(
        self,
        name: str,
        sink: Sink | None = None,
        wanted: Callable[[Line], bool] = lambda _: True,
        chained: Context | None = None,
    ) -> None:
        self.name = name
        self.sink = sink
        self.on_disk = False  # its lines wait there
        self.lines = 0
        self.last = 0
        self.chain = ""
        self._wanted = wanted
        self._chained = chained

    def wrap(self, made: Formatter) -> Formatter:
        """The sink's formatter, which chains the line if that is asked for; for sinks.Setup."""
        return self._chaining(made, self._chained) if self._chained else made

    def take(self, line: Line) -> None:
        """Gives the line to the sink if it wants it."""
        if self.sink is None or not self._wanted(line):
            return
        line.previous = None if self.last == line.sequence - 1 else self.last
        line.chain = MARKER if self._chained else ""
        self.sink.write(line)
        self.last = line.sequence
        self.lines += 1

    def _chaining(self, made: Formatter, context: Context) -> Formatter:
        def chained(line: Line) -> list[str]:
            if not line.sequence:  # the sink's own notice
                return made(line)
            text = "\n".join(made(line))
            facts = (context.host, context.boot_id, line.sequence, line.previous)
            self.chain = line.chain = link(self.chain, own_hash(*facts, text.replace(MARKER, BLANK)))
            return [text.replace(MARKER, self.chain)]

        return chained

    @property
    def kept(self) -> dict[str, Any]:
        return {"last": self.last, "chain": self.chain}

    @kept.setter
    def kept(self, value: dict[str, Any]) -> None:
        self.last, self.chain = int(value["last"]), str(value["chain"])


class Delivery:
    """Add streams, give it the pipeline's lines, call `turn` after each round, `close` once. It owns the sinks.

    Without a store numbers count from 1.
    """

    def __init__(self, store: Store | None = None, fold: bool = False) -> None:
        self.streams: list[Stream] = []
        self.sequence = 0
        self._store = store
        self._folder = Folder() if fold else None
        self._batch: list[Line] = []  # numbered, and not handed out
        if store:
            self.sequence = int(store.kept.get("sequence", 0)) + (_JUMP if store.kept.get("running") else 0)
            store.kept["running"] = True
            store.commit()

    def __enter__(self) -> Delivery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def sinks(self) -> list[Sink]:
        return [stream.sink for stream in self.streams if stream.sink]

    @property
    def trouble(self) -> str:
        """What is wrong with keeping things on disk, or ""."""
        return self._store.trouble if self._store else ""

    def add(self, stream: Stream) -> None:
        """From here on the stream gets lines, and goes on where it was."""
        if self._store and (kept := self._store.kept.get(f"stream {stream.name}")):
            stream.kept = kept
        self.streams.append(stream)

    def take(self, line: Line) -> None:
        """One line of the pipeline."""
        for each in self._folder.take(line) if self._folder else (line,):
            self._give(each)

    @property
    def due(self) -> int:
        """When `turn` has something to do by itself, in ns since 1970; 0 if not."""
        return self._folder.due if self._folder else 0

    def turn(self, now: int) -> None:
        """Lets sinks send, and keeps what was given out since the last turn. `now` in ns since 1970."""
        if self._folder:
            for line in self._folder.expire(now):
                self._give(line)
        self._hand_out()
        for sink in self.sinks:
            sink.flush()

    def reopen(self) -> None:
        """After a log rotation: files go on under their names; where that fails the old file is kept, which is said."""
        for sink in self.sinks:
            if isinstance(sink, File):
                try:
                    sink.reopen()
                except SinkError as error:
                    print(f"panorama: {error}; going on in the old file", file=sys.stderr)

    def close(self) -> None:
        """Gives out what was held back; closes every sink, also if closing one of them fails, then the store."""
        for line in self._folder.end() if self._folder else ():
            self._give(line)
        self._hand_out()
        if self._store:
            self._store.kept["running"] = False
        self._hand_out()  # again: now it is known what local sinks got
        failed: PanoramaError | None = None
        for sink in self.sinks:
            try:
                sink.close()
            except PanoramaError as error:
                failed = failed or error
        if self._store:
            self._store.close()
        if failed:
            raise failed

    def not_written(self) -> str:
        """What is to be said of lines that closed sinks could not write; empty if they wrote all."""
        streams = [(stream, stream.sink) for stream in self.streams if stream.sink]
        gone = sum(sink.dropped + (0 if stream.on_disk else sink.waiting) for stream, sink in streams)
        left = sum(sink.waiting for stream, sink in streams if stream.on_disk)
        said = [f"{_lines(gone)} not written"] if gone else []
        said += [f"{_lines(left)} on disk for the next start"] if left else []
        return f"sinks: {', '.join(said)}" if said else ""

    def _give(self, line: Line) -> None:
        self.sequence += 1
        line.sequence = self.sequence
        if not self._store:
            for stream in self.streams:
                stream.take(line)
            return
        self._batch.append(line)
        if len(self._batch) == _BATCH:
            self._hand_out()

    def _hand_out(self) -> None:
        """What has to reach a receiver is on disk before a local sink shows it; with it how far numbers came.

        What is kept of local sinks is what they had before this batch: after a kill the next line may not name the very
        last one as the one before it, but one that is there.
        """
        if not self._store:
            return
        batch, self._batch = self._batch, []
        shipped = [stream for stream in self.streams if isinstance(stream.sink, Shipped)]
        for stream in shipped:
            for line in batch:
                stream.take(line)
        self._store.kept["sequence"] = self.sequence
        self._store.kept |= {f"stream {stream.name}": stream.kept for stream in self.streams}
        self._store.commit()
        for stream in self.streams:
            if stream not in shipped:
                for line in batch:
                    stream.take(line)


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"
