# SPDX-License-Identifier: Apache-2.0
"""What makes `panorama run` a service: configured sinks, numbers and waiting lines on disk, status, word to systemd."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.model import Config, SinkConfig
from ..errors import PanoramaError
from ..output.context import Context, live_context
from ..output.notice import notice
from ..sinks import SINKS, Setup, Style
from ..sinks.queues import Memory, Queue
from ..sinks.spool import OnDisk, Store
from ..tally import Tally
from .control import Control
from .delivery import Delivery, Stream
from .status import status
from .systemd import Systemd, without_network

if TYPE_CHECKING:
    from ..commands.loop import Loop

__all__ = ["Service"]

_STORE = "state.db"
_LIFTED = "systemctl daemon-reload && systemctl restart panorama"


class Service:
    """Use as a context manager around the watching: `attend` once it has begun, `turn` after each round of the loop.

    Opens every sink at once, so that one that is configured wrongly is told at the start. Raises SinkError, or
    PanoramaError if another service runs.
    """

    def __init__(self, config: Config, context: Context | None = None) -> None:
        self._started = time.time()
        self._context = context or live_context()
        self._remote = any(sink.kind.remote for sink in config.sinks)
        self._control = Control()
        try:
            self._store = Store(Path(config.spool_folder) / _STORE)
            self.delivery = Delivery(self._store, config.fold)
            self._systemd = Systemd()
            for sink in config.sinks:
                self.delivery.add(self._stream(sink, config.chain))
        except BaseException:
            self._control.close()
            raise

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.delivery.close()
        finally:
            self._control.close()

    def attend(self, loop: Loop, said: str) -> None:
        """Watching has begun: tells systemd and the log, and answers from here on who asks."""
        loop.every = self._systemd.every or loop.every
        self._control.answer("status", lambda: status(self._started, loop))
        loop.sensor.wake_on(self._control.fileno(), self._control.serve)
        self._say("started", said)
        if self._store.damaged:
            self._say("dropped", f"what waited in {self._store.damaged}, which is damaged")
        for name, lines in self._store.elsewhere().items():
            self._say("waiting", f"{lines} lines for sink {name}, which is not configured any more")
        if self._remote and without_network():
            self._say("waiting", f"no network for the sinks that need one; if the unit keeps it away, try: {_LIFTED}")
        self._systemd.ready(said)

    def turn(self) -> None:
        """One round of the event loop has been done."""
        self._systemd.alive()

    def ended(self, tally: Tally) -> None:
        """Watching has ended, with these sums: the last line says so."""
        self._systemd.stopping()
        self._say("stopped", tally.text().partition("\n")[0])

    def _say(self, verb: str, text: str) -> None:
        severity = "notice" if verb in ("started", "stopped") else "warning"
        self.delivery.take(notice(time.time_ns(), verb, text, severity))

    def _stream(self, config: SinkConfig, chained: bool) -> Stream:
        stream = Stream(config.name, wanted=config.filter.passes, chained=self._context if chained else None)
        stream.on_disk = config.policy == "full"
        queue: Queue = OnDisk(self._store, config.name, config.limit) if stream.on_disk else Memory(config.limit)
        style = Style(config.format, self._context)
        try:
            stream.sink = SINKS[config.type].open(Setup(config.name, config.values, style, queue, stream.wrap))
        except PanoramaError as error:
            raise type(error)(f"sink {config.name}: {error}") from None
        return stream
