# SPDX-License-Identifier: Apache-2.0
"""Lines to a syslog receiver elsewhere: RFC 5424 messages over TLS, TCP or UDP.

Syslog has no acknowledgement. So a line counts as received when the receiver's kernel has acknowledged its bytes and
the connection lived on for some seconds, `confirm_after`; what was on the way when a connection broke is sent again,
and the sequence shows what came twice. A receiver that hangs for longer than that and then dies may take lines with it.
When we stop, we end the connection first: a receiver that closes its own end after that has read everything. Over UDP
nothing can be known but that nobody listens; use it where losing lines does not matter.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import SinkError
from ..reading.keys import Key
from .links import Datagrams, Link, Stream, newline_ended, octet_counted
from .rfc5424 import FACILITIES, MESSAGE_BYTES, Messages, head_bytes
from .setup import Setup
from .shipping import Shipped, Unreachable

__all__ = ["KEYS", "Sender", "opened"]

_FRAMINGS = {"octet-counting": octet_counted, "non-transparent": newline_ended}
_DATAGRAM_BYTES = 2048  # what a receiver of datagrams should take, RFC 5426 3.2
_SMALLEST, _LARGEST = 480, 65_000  # what every receiver takes (the same), and what fits into a datagram

KEYS = {
    "address": Key("address", "the receiver; port 6514 is usual for TLS, 514 for UDP", needed=True),
    "transport": Key("word", "how messages travel", "tls", choices=("tls", "tcp", "udp")),
    "ca": Key(
        "file",
        "the authorities whose certificates are trusted, PEM",
        "/etc/ssl/certs/ca-certificates.crt",
        only=("transport", "tls"),
    ),
    "server_name": Key(
        "text",
        "the name in the receiver's certificate, if not that of address",
        only=("transport", "tls"),
        example="siem.example",
    ),
    "certificate": Key(
        "file", "our own certificate and those between it and the authority, PEM", only=("transport", "tls")
    ),
    "key": Key("secret", "the key of that certificate, PEM, if it is not in the same file", only=("certificate",)),
    "facility": Key("word", "the facility of the messages", "daemon", choices=tuple(FACILITIES)),
    "message_size": Key(
        "size", "longest message; 8096 bytes unless set, over UDP 2048", least=_SMALLEST, example="8KiB"
    ),
    "framing": Key(
        "word",
        "how messages are told apart",
        "octet-counting",
        choices=tuple(_FRAMINGS),
        only=("transport", "tls", "tcp"),
    ),
    "timeout": Key("time", "a receiver that does not connect, answer or read for so long is given up for now", 20.0),
    "confirm_after": Key("time", "how long a connection must live on until what was sent counts as received", 5.0),
}


@dataclass(slots=True)
class _Batch:
    end: int  # how much the link had handed over then
    lines: int
    since: float = 0.0  # time.monotonic when it was seen to be acknowledged


class Sender:
    """The transport: `connect` makes a link, which is kept for as long as it works."""

    batch_lines = 500
    batch_bytes = 256 << 10
    refused = 0
    refusal = ""

    def __init__(self, connect: Callable[[], Link], confirm_after: float) -> None:
        self._connect = connect
        self._confirm_after = confirm_after
        self._link: Link | None = None
        self._batches: deque[_Batch] = deque()  # handed over, not confirmed

    def send(self, batch: Sequence[bytes]) -> None:
        link = self._alive()
        link.send(batch)
        self._batches.append(_Batch(link.handed, len(batch)))

    def confirmed(self) -> int:
        if self._link is None:
            return 0
        acknowledged = self._link.acknowledged()
        all_read = self._link.check()
        now = time.monotonic()
        for batch in self._batches:
            if not batch.since and batch.end <= acknowledged:
                batch.since = now
        count = 0
        while self._batches and (all_read or self._settled(self._batches[0], now)):
            count += self._batches.popleft().lines
        return count

    def finish(self) -> None:
        if self._link:
            self._link.end()

    def close(self) -> None:
        if self._link:
            self._link.close()
        self._link = None
        self._batches.clear()

    def _settled(self, batch: _Batch, now: float) -> bool:
        return batch.since > 0 and now - batch.since >= self._confirm_after

    def _alive(self) -> Link:
        if self._link and not self._batches:
            try:
                self._link.check()
            except Unreachable:  # an idle connection may end at any time, and nothing was on the way
                self.close()
        if self._link is None:
            self._link = self._connect()
        return self._link


def opened(setup: Setup) -> Shipped:
    """The receiver, there or not. SinkError if the settings cannot work."""
    values = setup.values
    udp = values["transport"] == "udp"
    size = values["message_size"] or (_DATAGRAM_BYTES if udp else MESSAGE_BYTES)
    if size < _SMALLEST or (udp and size > _LARGEST):
        allowed = f"{_SMALLEST} to {_LARGEST} bytes over UDP" if udp else f"{_SMALLEST} bytes at least"
        raise SinkError(f"message_size: {size}: must be {allowed}")
    context = setup.style.context
    made = setup.formatter(max(size - head_bytes(context), 1))
    encode = Messages(made, context, values["facility"], size)
    return Shipped(setup.name, encode, setup.queue, Sender(_connector(setup), values["confirm_after"]))


def _connector(setup: Setup) -> Callable[[], Link]:
    values = setup.values
    address, timeout = values["address"], values["timeout"]
    if values["transport"] == "udp":
        return lambda: Datagrams(address)
    frame = _FRAMINGS[values["framing"]]
    if values["transport"] == "tcp":
        return lambda: Stream(address, timeout, frame)
    from .tls import TlsFiles, TlsStream  # here: OpenSSL takes memory that others need not pay for

    files = TlsFiles(values["ca"], values["certificate"] or "", values["key"] or "")
    name = values["server_name"] or address[0]
    files.context(name)  # what is wrong with them is said now
    return lambda: TlsStream(address, timeout, frame, files, name)
