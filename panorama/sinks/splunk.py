# SPDX-License-Identifier: Apache-2.0
"""Lines to Splunk, in batches through its HTTP Event Collector (HEC).

An answer of the collector says that it has the lines in memory; with `acknowledge` they count as received once they are
indexed, which the token must be set up for. A line that comes twice has the same boot_id and sequence: in the record
itself, or as indexed fields beside a line of text.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..output.line import Line
from ..reading.keys import Key
from .http import HTTP_KEYS, Answer, Server, shown
from .posting import Posts
from .secrets import secret
from .setup import Setup
from .shipping import Shipped, Unreachable

__all__ = ["FORMATS", "KEYS", "Acknowledged", "Collector", "opened"]

FORMATS = ("json", "text", "ecs", "cef", "ocsf", "v6", "v7")

KEYS = {
    "url": Key("url", "the collector", needed=True, example="https://splunk.example:8088"),
    "token_file": Key("secret", "a file with the token", needed=True, example="/etc/panorama/splunk.token"),
    "index": Key("text", "the index, where the token's own is not meant"),
    "source": Key("text", "the source of the events", "panorama"),
    "sourcetype": Key("text", "their source type; panorama:json and so on, by the format, unless set"),
    "acknowledge": Key("flag", "whether to wait until lines are indexed", False),
    "acknowledge_within": Key(
        "time", "lines that are not indexed by then are sent again", 120.0, least=1.0, only=("acknowledge", "true")
    ),
    **HTTP_KEYS,
}

_CHANNEL = "X-Splunk-Request-Channel"
_ACKNOWLEDGEMENTS = "/services/collector/ack"
_OBJECTS = ("json", "ecs", "ocsf")
_ASKING = 1.0  # s between questions what is indexed
_LINE_AT_FAULT = (6, 12, 13, 15)  # codes of HEC that are about an event, not about us or the collector


class Collector:
    """The event endpoint. `acks` are the ids by which the collector will know recent requests again."""

    path = "/services/collector/event"

    def __init__(self) -> None:
        self.headers = {"Content-Type": "application/json"}
        self.acks: list[int] = []

    def ask_for_acknowledgement(self) -> None:
        """Ids count within a channel, which is new from here on."""
        self.headers[_CHANNEL] = str(uuid.uuid4())

    def refused(self, answer: Answer, lines: int) -> list[str] | None:
        said = _object(answer.data)
        if answer.status == 400 and said.get("code") in _LINE_AT_FAULT:
            return [shown(str(said.get("text")))] if lines == 1 else None
        if answer.status != 200:
            raise answer.problem()
        if said.get("code") != 0:
            raise Unreachable("the server's answer is not that of an event collector; is url right?")
        if _CHANNEL in self.headers:
            if not isinstance(said.get("ackId"), int):
                raise Unreachable("the collector acknowledges nothing; set the token up for it, or acknowledge: false")
            self.acks.append(said["ackId"])
        return []


@dataclass(slots=True)
class _Batch:
    lines: int
    acks: set[int]
    since: float  # time.monotonic


class Acknowledged(Posts):
    """The transport that confirms lines once they are indexed. Each connection asks through a channel of its own."""

    def __init__(self, server: Server, within: float) -> None:
        self._collector = Collector()
        self._collector.ask_for_acknowledgement()
        super().__init__(server, self._collector)
        self._within = within
        self._batches: deque[_Batch] = deque()
        self._asked = 0.0  # time.monotonic

    def send(self, batch: Sequence[bytes]) -> None:
        self._collector.acks.clear()
        super().send(batch)
        self._batches.append(_Batch(super().confirmed(), set(self._collector.acks), time.monotonic()))

    def confirmed(self) -> int:
        now = time.monotonic()
        if not self._batches or now - self._asked < _ASKING:
            return 0
        self._asked = now
        indexed = self._indexed(sorted(ack for batch in self._batches for ack in batch.acks))
        for batch in self._batches:
            batch.acks -= indexed
        count = 0
        while self._batches and not self._batches[0].acks:
            count += self._batches.popleft().lines
        if not count and now - self._batches[0].since > self._within:
            raise Unreachable(f"lines were not indexed within {self._within:.0f} s")
        return count

    def close(self) -> None:
        super().close()
        self._batches.clear()
        self._collector.ask_for_acknowledgement()

    def _indexed(self, acks: list[int]) -> set[int]:
        body = json.dumps({"acks": acks}).encode()
        answer = self._server.post(_ACKNOWLEDGEMENTS, body, self._collector.headers)
        if answer.status != 200:
            raise answer.problem()
        states = _object(answer.data).get("acks")
        return {ack for ack in acks if isinstance(states, dict) and states.get(str(ack)) is True}


def opened(setup: Setup) -> Shipped:
    """The collector, there or not. SinkError if the settings cannot work."""
    values = setup.values
    server = Server(setup, lambda: f"Splunk {secret('token_file', values['token_file'])}")
    within = values["acknowledge_within"]
    transport = Acknowledged(server, within) if values["acknowledge"] else Posts(server, Collector())
    return Shipped(setup.name, _encoder(setup), setup.queue, transport)


def _encoder(setup: Setup) -> Callable[[Line], list[bytes]]:
    """A line becomes an event: the record as it is, or the text of other formats."""
    formatted = setup.formatter()
    context, values, format = setup.style.context, setup.values, setup.style.format
    origin = {"host": context.host, "source": values["source"]}
    origin["sourcetype"] = values["sourcetype"] or f"panorama:{format}"
    if values["index"]:
        origin["index"] = values["index"]
    about = json.dumps(origin)[1:-1]
    boot = json.dumps(context.boot_id)
    structured = format in _OBJECTS

    def encode(line: Line) -> list[bytes]:
        events = []
        for text in formatted(line):
            if structured:
                event = text
            else:
                event = f'{json.dumps(text)},"fields":{{"boot_id":{boot},"sequence":{line.sequence}}}'
            seconds, rest = divmod(line.time // 1000, 1_000_000)
            events.append(f'{{"time":{seconds}.{rest:06d},{about},"event":{event}}}\n'.encode())
        return events

    return encode


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object; empty if it is none."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
