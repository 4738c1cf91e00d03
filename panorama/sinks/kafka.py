# SPDX-License-Identifier: Apache-2.0
"""Lines to a Kafka topic, through librdkafka's idempotent producer, as messages with the host as their key.

All lines of a host are in one partition, in order. A message has headers boot_id and sequence, which say what line it
is: what was on the way when a broker went away may come twice. A batch counts as received when all replicas in sync
have it. At most one batch is in memory here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import SinkError
from ..output.line import Line
from ..output.quoting import bare
from ..reading.keys import Key
from .secrets import secret
from .setup import Setup
from .shipping import Answered, Shipped, Unreachable

__all__ = ["FORMATS", "KEYS", "Producer", "opened"]

FORMATS = ("json", "ecs", "ocsf", "cef", "text", "v6", "v7")

_SASL = ("plain", "scram-sha-256", "scram-sha-512")

KEYS = {
    "brokers": Key("addresses", "some of the cluster's brokers", needed=True, example="[kafka1.example:9093]"),
    "topic": Key("text", "the topic", "panorama"),
    "tls": Key("flag", "whether to use TLS", False),
    "ca": Key(
        "file", "whose certificates are trusted, PEM", "/etc/ssl/certs/ca-certificates.crt", only=("tls", "true")
    ),
    "certificate": Key(
        "file", "our own certificate, with those between it and the authority, PEM", only=("tls", "true")
    ),
    "key": Key("secret", "the key of that certificate, PEM, if it is not in the same file", only=("certificate",)),
    "sasl": Key(
        "word",
        "how to log in",
        "none",
        choices=("none", *_SASL),
    ),
    "user": Key("text", "the user", only=("sasl", *_SASL)),
    "password_file": Key("secret", "a file with the user's password", only=("sasl", *_SASL)),
    "compression": Key("word", "how batches are compressed", "gzip", choices=("none", "gzip", "snappy", "lz4", "zstd")),
    "message_size": Key(
        "size", "longest message; the brokers' message.max.bytes", 1000000, least=1000, most=1000000000
    ),
    "timeout": Key("time", "how long to wait until the brokers have a batch", 30.0, least=1.0, most=600.0),
}

_POLL = 0.1  # s between looks at what was delivered
_LINES, _BYTES = 500, 1 << 20  # of a batch
_LONGEST_REASON = 200


class Producer(Answered):
    """The transport. `make` gives a librdkafka producer; it is asked again after each trouble."""

    batch_lines = _LINES
    batch_bytes = _BYTES

    def __init__(self, topic: str, make: Callable[[Callable[[Any], None]], Any], timeout: float) -> None:
        super().__init__()
        self._topic = topic
        self._make = make
        self._timeout = timeout
        self._reason = ""  # what librdkafka said last
        self._producer: Any = make(self._note)

    def send(self, batch: Sequence[bytes]) -> None:
        if self._producer is None:
            try:
                self._producer = self._make(self._note)
            except SinkError as error:
                raise Unreachable(str(error)) from None
        super().send(batch)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.purge(blocking=False)
            self._producer.poll(0)
        self._producer = None
        self._reason = ""
        super().close()

    def _deliver(self, batch: Sequence[bytes]) -> list[str]:
        """The reasons of those refused. A batch that is too large fails as a whole, so its messages go one by one."""
        from confluent_kafka import KafkaError, KafkaException

        too_large = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD)
        outcomes: list[Any] = []
        failed: list[tuple[bytes, Any]] = []
        for item in batch:

            def report(error: Any, _: object, item: bytes = item) -> None:
                outcomes.append(error)
                if error is not None:
                    failed.append((item, error))

            host, boot_id, sequence, value = item.split(b"\0", 3)
            headers = {"boot_id": boot_id, "sequence": sequence}
            try:
                self._producer.produce(self._topic, value, host, headers=headers, on_delivery=report)
            except KafkaException as refusal:  # longer than message_size
                report(refusal.args[0], None)
        deadline = time.monotonic() + self._timeout
        while len(outcomes) < len(batch):
            self._producer.poll(_POLL)
            if time.monotonic() > deadline:
                raise Unreachable(self._reason or f"the brokers have not got the lines within {self._timeout:g} s")
        for _, error in failed:
            if error.code() not in too_large:
                raise Unreachable(_told(error))
        if len(batch) == 1:
            return [_told(error) for _, error in failed]
        return [reason for item, _ in failed for reason in self._deliver([item])]

    def _note(self, error: Any) -> None:
        from confluent_kafka import KafkaError

        if error.code() != KafkaError._ALL_BROKERS_DOWN or not self._reason:
            self._reason = _told(error)


def opened(setup: Setup) -> Shipped:
    """The cluster, there or not. SinkError if the settings cannot work."""
    values = setup.values
    _check(values)
    transport = Producer(values["topic"], lambda note: _producer(values, note), values["timeout"])
    return Shipped(setup.name, _encoder(setup), setup.queue, transport)


def _check(values: Mapping[str, Any]) -> None:
    for key in ("certificate", "key"):
        if values[key] and not values["tls"]:
            raise SinkError(f"{key}: makes no sense without tls: true")
    logs_in = values["sasl"] != "none"
    for key in ("user", "password_file"):
        if logs_in != bool(values[key]):
            raise SinkError(f"{key}: is missing" if logs_in else f"{key}: makes no sense without sasl")
    if values["sasl"] == "plain" and not values["tls"]:
        raise SinkError("sasl: plain: the password would go over the network as it is; add tls: true")


def _producer(values: Mapping[str, Any], note: Callable[[Any], None]) -> Any:
    try:
        import confluent_kafka
    except ImportError:
        hint = "try: apt install python3-confluent-kafka"
        raise SinkError(f"the Python library confluent-kafka is missing; {hint}") from None
    milliseconds = int(values["timeout"] * 1000)
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(_joined(*address) for address in values["brokers"]),
        "client.id": "panorama",
        "enable.idempotence": True,
        "acks": "all",
        "message.timeout.ms": 0,  # we wait, and begin anew: one of several must not fail alone, it would change places
        "request.timeout.ms": milliseconds,
        "socket.timeout.ms": milliseconds,
        "socket.keepalive.enable": True,
        "compression.type": values["compression"],
        "message.max.bytes": values["message_size"],
        "queue.buffering.max.messages": _LINES,
        "queue.buffering.max.kbytes": (2 * _BYTES + values["message_size"]) >> 10,
        "partitioner": "murmur2_random",  # as Kafka's own clients
        "log_level": 0,  # errors come through error_cb
        "error_cb": note,
    }
    try:
        return confluent_kafka.Producer(options | _security(values))
    except confluent_kafka.KafkaException as error:
        raise SinkError(f"librdkafka: {_told(error.args[0])}") from None


def _security(values: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if values["tls"]:
        from .tls import TlsFiles

        certificate, key = values["certificate"] or "", values["key"] or ""
        TlsFiles(values["ca"], certificate, key).context()  # says what is wrong better than librdkafka
        options["ssl.ca.location"] = values["ca"]
        options["ssl.endpoint.identification.algorithm"] = "https"  # librdkafka before 2.0 checks no name unless told
        if certificate:
            options |= {"ssl.certificate.location": certificate, "ssl.key.location": key or certificate}
    if values["sasl"] != "none":
        options["sasl.mechanisms"] = values["sasl"].upper()
        options["sasl.username"] = values["user"]
        options["sasl.password"] = secret("password_file", values["password_file"])
    protocol = "SASL_" if values["sasl"] != "none" else ""
    return options | {"security.protocol": protocol + ("SSL" if values["tls"] else "PLAINTEXT")}


def _encoder(setup: Setup) -> Callable[[Line], list[bytes]]:
    """A line becomes key, headers and value, with NUL between them: no host name and no number has one."""
    formatted = setup.formatter()
    context = setup.style.context
    about = f"{context.host}\0{context.boot_id}\0"

    def encode(line: Line) -> list[bytes]:
        return [f"{about}{line.sequence}\0{text}".encode("utf-8", "backslashreplace") for text in formatted(line)]

    return encode


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _told(error: Any) -> str:
    return bare(error.str()[:_LONGEST_REASON])
