# SPDX-License-Identifier: Apache-2.0
"""The kafka sink against librdkafka's mock cluster, read back by a consumer; TLS against servers that shake hands."""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Cluster
from output_samples import TIME, UTC_CONTEXT, read_line
from receivers import Authority, eventually

from panorama.errors import SinkError
from panorama.output.formats import formatter
from panorama.output.line import Line
from panorama.sinks import SINKS, Setup, Style
from panorama.sinks.queues import Memory
from panorama.sinks.shipping import Shipped

NOT_LEADER, TOO_LARGE, NOT_AUTHORIZED, INVALID_RECORD = 6, 10, 29, 87


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panorama.sinks.shipping._FIRST_PAUSE", 0.2)


@pytest.fixture(scope="module")
def brokers() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.close()


@pytest.fixture
def cluster(brokers: Cluster, request: pytest.FixtureRequest) -> Cluster:
    """The same for all tests, each with a topic of its own."""
    brokers.topic(f"topic-{abs(hash(request.node.name))}", 1)
    return brokers


def opened(brokers: tuple[tuple[str, int], ...], format: str = "json", **values: object) -> Shipped:
    defaults = {name: key.default for name, key in SINKS["kafka"].keys.items()}
    given = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    setup = Setup("k", defaults | {"brokers": brokers} | given, Style(format, UTC_CONTEXT), Memory(4 << 20))
    sink = SINKS["kafka"].open(setup)
    assert isinstance(sink, Shipped)
    return sink


def to(cluster: Cluster, **values: object) -> Shipped:
    return opened(cluster.addresses, topic=cluster.last_topic, **values)  # type: ignore[arg-type]


def numbered(number: int) -> Line:
    return read_line(f"file-{number}", 0, sequence=number, time=TIME + number)


def write(sink: Shipped, *numbers: int) -> None:
    for number in numbers:
        sink.write(numbered(number))
    sink.flush()


def shipped(sink: Shipped) -> None:
    eventually(lambda: not sink.waiting, f"shipping, with trouble '{sink.trouble}',")


def sequences(cluster: Cluster, count: int) -> list[int]:
    return [json.loads(message.value)["sequence"] for message in cluster.read(count)]


@pytest.mark.parametrize("format", ["json", "text"])
def test_a_line_is_a_message_that_says_which_one_it_is(cluster: Cluster, format: str) -> None:
    sink = to(cluster, format=format)
    sink.write(read_line("na\x00me", sequence=4711))
    sink.flush()
    shipped(sink)
    sink.close()
    (message,) = cluster.read(1)
    assert message.key == b"ep1"
    assert message.headers == {"boot_id": b"b1", "sequence": b"4711"}
    assert message.value.decode() == formatter(format, UTC_CONTEXT)(read_line("na\x00me", sequence=4711))[0]


def test_lines_keep_their_order_however_they_are_compressed(cluster: Cluster) -> None:
    for number, compression in enumerate(("none", "zstd")):
        sink = to(cluster, compression=compression)
        write(sink, *range(number * 1100, number * 1100 + 1100))
        shipped(sink)
        sink.close()
    assert sequences(cluster, 2200) == list(range(2200))


def test_all_lines_of_a_host_are_in_one_partition() -> None:
    cluster = Cluster(3)
    cluster.topic("panorama", 8)
    sink = to(cluster)
    write(sink, *range(1, 101))
    shipped(sink)
    sink.close()
    messages = cluster.read(100, partitions=8)
    cluster.close()
    assert len(messages) == 100
    assert len({message.partition for message in messages}) == 1


def test_an_error_of_a_broker_that_passes_loses_and_doubles_nothing(cluster: Cluster) -> None:
    cluster.fail(NOT_LEADER, NOT_LEADER)
    sink = to(cluster)
    write(sink, *range(1, 101))
    shipped(sink)
    sink.close()
    assert sequences(cluster, 100) == list(range(1, 101))
    assert sink.dropped == 0


def test_who_may_not_write_the_topic_waits(cluster: Cluster) -> None:
    cluster.fail(NOT_AUTHORIZED)
    sink = to(cluster)
    write(sink, 1, 2, 3)
    eventually(lambda: sink.trouble, "the trouble")
    assert sink.trouble == "Broker: Topic authorization failed"
    assert sink.waiting == 3
    shipped(sink)
    sink.close()
    assert sequences(cluster, 3) == [1, 2, 3]


def test_a_batch_that_is_too_large_for_the_broker_goes_one_by_one(cluster: Cluster) -> None:
    cluster.fail(TOO_LARGE)
    sink = to(cluster)
    write(sink, 1, 2, 3)
    shipped(sink)
    sink.close()
    assert sequences(cluster, 3) == [1, 2, 3]
    assert sink.dropped == 0


def test_a_record_that_the_broker_refuses_is_counted_and_said(cluster: Cluster) -> None:
    sink = to(cluster)
    cluster.fail(INVALID_RECORD)
    write(sink, 1)
    shipped(sink)
    write(sink, 2)
    shipped(sink)
    assert (sink.dropped, sink.transport.refused) == (1, 1)
    assert sink.transport.refusal == "Broker: Broker failed to validate record"
    sink.close()
    assert sequences(cluster, 1) == [2]


def test_a_line_longer_than_a_message_may_be_is_refused_and_the_others_are_not(cluster: Cluster) -> None:
    sink = to(cluster, message_size=5000)
    sink.write(numbered(1))
    sink.write(read_line("x" * 5000, sequence=2))
    write(sink, 3)
    shipped(sink)
    sink.close()
    assert sequences(cluster, 2) == [1, 3]
    assert sink.transport.refused == 1
    assert sink.transport.refusal.endswith("Message size too large")


def test_lines_wait_for_a_cluster_that_is_away(cluster: Cluster) -> None:
    sink = to(cluster, timeout=1.0)
    write(sink, 1)
    shipped(sink)
    cluster.down()
    write(sink, *range(2, 101))
    eventually(lambda: sink.trouble, "the trouble")
    eventually(lambda: "Connection refused" in sink.trouble, f"a reason instead of '{sink.trouble}'")
    assert sink.waiting == 99
    cluster.up()
    shipped(sink)
    eventually(lambda: not sink.trouble, "its end")
    sink.close()
    found = sequences(cluster, 100)
    assert list(dict.fromkeys(found)) == list(range(1, 101))  # in order, whatever came twice


def test_the_end_does_not_wait_for_a_cluster_that_is_away(cluster: Cluster) -> None:
    sink = to(cluster)
    write(sink, 1)
    shipped(sink)
    cluster.down()
    write(sink, 2, 3)
    time.sleep(0.2)
    begun = time.monotonic()
    sink.close()
    assert time.monotonic() - begun < 4
    assert sink.waiting == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"certificate": "/x"}, "certificate: makes no sense without tls: true"),
        ({"key": "/x"}, "key: makes no sense without tls: true"),
        ({"user": "me"}, "user: makes no sense without sasl"),
        ({"sasl": "scram-sha-512", "user": "me"}, "password_file: is missing"),
        (
            {"sasl": "scram-sha-512", "user": "me", "password_file": "/nowhere"},
            "password_file: /nowhere: No such file or directory",
        ),
        (
            {"sasl": "plain", "user": "me", "password_file": "/x"},
            "sasl: plain: the password would go over the network as it is; add tls: true",
        ),
        ({"tls": True, "ca": "/nowhere"}, "ca: /nowhere: No such file or directory"),
        ({"tls": True, "ca": "/etc/passwd"}, "ca: /etc/passwd: holds no certificate in PEM"),
    ],
)
def test_settings_that_cannot_work_are_said_at_once(values: dict[str, object], message: str) -> None:
    with pytest.raises(SinkError) as caught:
        opened((("127.0.0.1", 9),), **values)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_every_choice_is_one_that_librdkafka_knows(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.touch(0o600)
    path.write_text("s3cret\n")
    for way in ("plain", "scram-sha-256", "scram-sha-512"):
        opened((("127.0.0.1", 9),), tls=True, sasl=way, user="me", password_file=path).close()
    for compression in SINKS["kafka"].keys["compression"].choices:
        opened((("127.0.0.1", 9),), compression=compression).close()


def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    hint = "try: apt install python3-confluent-kafka"
    with pytest.raises(SinkError, match=f"^the Python library confluent-kafka is missing; {hint}$"):
        opened((("127.0.0.1", 9),))


class Handshakes:
    """A TLS server in a broker's place: it keeps the first bytes of each connection that came about, and who came."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.first: list[bytes] = []
        self.peers: list[object] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(2)
            try:
                with self._context.wrap_socket(connection, server_side=True) as tls:
                    self.first.append(tls.recv(1000))
                    self.peers.append(tls.getpeercert())
            except OSError:
                pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def served(authority: Authority, *hosts: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("broker", *hosts))
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_over_tls_we_come_with_our_certificate_and_speak_kafka(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "a")
    certificate, key = authority.issue("client")
    server = Handshakes(served(authority, "127.0.0.1"))
    sink = opened((server.address,), tls=True, ca=authority.ca, certificate=certificate, key=key, timeout=1.0)
    write(sink, 1)
    eventually(lambda: server.first, "a handshake")
    assert server.first[0][4:6] == b"\x00\x12"  # ApiVersions is what a client asks first
    eventually(lambda: server.peers, "the client's certificate")
    assert (("commonName", "client"),) in server.peers[0]["subject"]  # type: ignore[index]
    server.close()
    sink.close()


def test_a_broker_that_is_not_the_one_we_trust_gets_no_line(tmp_path: Path) -> None:
    right, wrong = Authority(tmp_path / "right"), Authority(tmp_path / "wrong")
    certificate, key = right.issue("client")
    for context in (served(wrong, "127.0.0.1"), served(right, "other.example")):
        server = Handshakes(context)
        sink = opened((server.address,), tls=True, ca=right.ca, certificate=certificate, key=key, timeout=1.0)
        write(sink, 1)
        eventually(lambda sink=sink: "certificate verify failed" in sink.trouble, f"the trouble, not '{sink.trouble}',")  # type: ignore[misc]
        assert not any(server.first)
        sink.close()
        assert sink.waiting == 1
        server.close()
