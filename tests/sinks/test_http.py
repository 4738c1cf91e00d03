# SPDX-License-Identifier: Apache-2.0
"""Elasticsearch and Splunk sinks against HTTP servers that fail in every way: at least once, nothing lost silently."""

from __future__ import annotations

import json
import os
import random
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from output_samples import HOSTILE_NAMES, TIME, UTC_CONTEXT, read_line
from receivers import Authority, eventually
from servers import Elasticsearch, Failure, Splunk, Tunnel

from panorama.errors import SinkError
from panorama.output.formats import Formatter, formatter
from panorama.output.identity import identity
from panorama.output.line import Line
from panorama.service.delivery import Delivery, Stream
from panorama.sinks import SINKS, Setup, Style
from panorama.sinks.queues import Memory
from panorama.sinks.shipping import Shipped
from panorama.verify import Host


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panorama.sinks.shipping._FIRST_PAUSE", 0.2)


@pytest.fixture
def elastic() -> Iterator[Elasticsearch]:
    server = Elasticsearch()
    yield server
    server.stop()


@pytest.fixture
def splunk() -> Iterator[Splunk]:
    server = Splunk(authorization="Splunk t0k3n")
    yield server
    server.stop()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    return secret_file(tmp_path / "token", "t0k3n\n")


def secret_file(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text)
    return path


def opened(
    type: str,
    url: str,
    format: str = "json",
    wrap: Callable[[Formatter], Formatter] = lambda made: made,
    **values: object,
) -> Shipped:
    defaults = {name: key.default for name, key in SINKS[type].keys.items()}
    given = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    setup = Setup("siem", defaults | {"url": url} | given, Style(format, UTC_CONTEXT), Memory(4 << 20), wrap)
    sink = SINKS[type].open(setup)
    assert isinstance(sink, Shipped)
    return sink


def numbered(number: int) -> Line:
    return read_line(f"file-{number}", 0, sequence=number, time=TIME + number)


def write(sink: Shipped, *numbers: int) -> None:
    for number in numbers:
        sink.write(numbered(number))
    sink.flush()


def shipped(sink: Shipped, seconds: float = 20) -> None:
    eventually(lambda: not sink.waiting, f"shipping, with trouble '{sink.trouble}',", seconds)


# Elasticsearch


@pytest.mark.parametrize("format", ["ecs", "json", "ocsf"])
def test_lines_become_documents_that_say_when_and_which_they_are(elastic: Elasticsearch, format: str) -> None:
    sink = opened("elasticsearch", elastic.url, format=format)
    line = numbered(7)
    sink.write(line)
    sink.close()
    ((id, document),) = elastic.documents.items()
    assert id == f"ep1-b1-7-{line.time:x}"
    assert document.pop("@timestamp").startswith("2026-04-02T16:52:27.276747")
    expected = json.loads(formatter(format, UTC_CONTEXT)(line)[0])
    expected.pop("@timestamp", None)
    assert document == expected
    assert elastic.requests[0].path.startswith("/logs-panorama-default/_bulk?")


def test_no_name_breaks_a_batch(elastic: Elasticsearch) -> None:
    sink = opened("elasticsearch", elastic.url)
    for number, name in enumerate(HOSTILE_NAMES, 1):
        sink.write(read_line(name, sequence=number))
    sink.close()
    names = [document["file"]["path"].removeprefix("/home/alice/") for document in elastic.documents.values()]
    assert names == [
        name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if name.isascii() else name for name in names
    ]
    assert elastic.sequences == list(range(1, len(HOSTILE_NAMES) + 1))


def test_a_line_without_a_number_gets_its_id_from_the_server(elastic: Elasticsearch) -> None:
    sink = opened("elasticsearch", elastic.url)
    sink.write(read_line(sequence=0))
    sink.write(read_line(sequence=0))
    sink.close()
    assert sorted(elastic.documents) == ["auto-0", "auto-1"]


@pytest.mark.parametrize("format", ["ecs", "json", "ocsf"])
def test_documents_prove_that_none_is_missing_or_altered(elastic: Elasticsearch, format: str) -> None:
    stream = Stream("siem", chained=UTC_CONTEXT)
    stream.sink = opened("elasticsearch", elastic.url, format=format, wrap=stream.wrap)
    delivery = Delivery()
    delivery.add(stream)
    for number in range(1, 6):
        delivery.take(numbered(number))
    delivery.close()
    found = [identity(source) for source in elastic.sources.values()]
    host = Host()
    for line in found:
        assert line
        host.add(line, str(line.sequence))
    assert (len(host), host.chained, host.gaps(), host.altered()) == (5, True, [], [])
    assert host.last == (5, stream.chain)


def test_many_lines_come_in_few_requests_over_one_connection(elastic: Elasticsearch) -> None:
    sink = opened("elasticsearch", elastic.url)
    write(sink, *range(1, 1201))
    sink.close()
    assert elastic.sequences == list(range(1, 1201))
    assert len(elastic.requests) == 3
    assert elastic.connections == 1
    assert {request.headers["Content-Encoding"] for request in elastic.requests} == {"gzip"}


def test_without_compress_bodies_go_as_they_are(elastic: Elasticsearch) -> None:
    sink = opened("elasticsearch", elastic.url, compress=False)
    write(sink, 1)
    sink.close()
    assert "Content-Encoding" not in elastic.requests[0].headers
    assert elastic.sequences == [1]


@pytest.mark.parametrize(
    ("failure", "trouble"),
    [
        (Failure(429, b"slow down"), "the server answers 429 Too Many Requests: slow down"),
        (Failure(503, b""), "the server answers 503 Service Unavailable"),
        (Failure(400, b"no such index"), "the server answers 400 Bad Request: no such index"),
        (Failure(404, b"\x1b[2Jnot here"), "the server answers 404 Not Found: \\x1b[2Jnot here"),
        (Failure(401), "the server refuses us: 401 Unauthorized"),
        (Failure(403), "the server refuses us: 403 Forbidden"),
        (Failure(200, b"<html>log in here</html>"), "the server's answer is not that of a bulk request; is url right?"),
        (Failure(200, b'{"items":[]}'), "the server's answer is not that of a bulk request; is url right?"),
        (Failure(200, b"[" * 99999), "the server's answer is not that of a bulk request; is url right?"),
        (
            Failure(200, b'{"items":[{"create":{"status":503,"error":"shut\\u001b"}}]}'),
            "the server's answer is not that of a bulk request; is url right?",
        ),
        (Failure(reset=True), "the server cannot be reached: Connection reset by peer"),
        (Failure(200, seconds=2.0, late=True), "the server does not answer in time"),
        (
            Failure(302, headers={"Location": "https://evil.example/"}),
            "the server answers 302 Found and sends us to https://evil.example/; set url to that",
        ),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Failure) else "",
)
def test_a_request_that_fails_comes_again_and_its_failure_is_said(
    elastic: Elasticsearch, failure: Failure, trouble: str
) -> None:
    elastic.failures.append(failure)
    sink = opened("elasticsearch", elastic.url, timeout=1.0)
    write(sink, 1, 2, 3)
    eventually(lambda: sink.trouble, "the trouble")
    assert sink.trouble == trouble
    assert sink.waiting == 3
    shipped(sink)
    eventually(lambda: not sink.trouble, "its end")
    assert elastic.sequences == [1, 2, 3]
    assert sink.dropped == 0
    sink.close()


def test_an_answer_that_breaks_off_makes_no_second_document(elastic: Elasticsearch) -> None:
    elastic.failures.append(Failure(200, cut=True))
    sink = opened("elasticsearch", elastic.url)
    write(sink, 1, 2, 3)
    shipped(sink)
    sink.close()
    assert elastic.sequences == [1, 2, 3]
    assert set(elastic.offered.values()) == {2}
    assert sink.dropped == 0


def test_a_connection_that_ended_while_it_was_idle_costs_nothing(elastic: Elasticsearch) -> None:
    sink = opened("elasticsearch", elastic.url)
    write(sink, 1)
    shipped(sink)
    elastic.hang_up()
    write(sink, 2)
    shipped(sink)
    assert (elastic.sequences, elastic.connections, sink.trouble) == ([1, 2], 2, "")
    sink.close()


def test_an_endless_answer_is_not_kept_in_memory(elastic: Elasticsearch) -> None:
    elastic.failures.append(Failure(200, b" " * (5 << 20)))
    sink = opened("elasticsearch", elastic.url)
    write(sink, 1)
    eventually(lambda: sink.trouble, "the trouble")
    assert sink.trouble == "the server answers more than 4 MiB"
    shipped(sink)
    sink.close()
    assert elastic.sequences == [1]


def test_documents_the_cluster_is_too_busy_for_come_again(elastic: Elasticsearch) -> None:
    elastic.items = {"file-2": [(429, "queue full"), (503, "no shard")], "file-3": [(429, "queue full")]}
    sink = opened("elasticsearch", elastic.url)
    write(sink, 1, 2, 3, 4)
    eventually(lambda: sink.trouble, "the trouble")
    assert sink.trouble == "2 of 4 lines have to wait: 429 exception_of_the_test: queue full"
    shipped(sink)
    sink.close()
    assert sorted(elastic.sequences) == [1, 2, 3, 4]
    assert sink.dropped == 0


def test_a_key_that_may_not_write_the_index_loses_nothing(elastic: Elasticsearch) -> None:
    elastic.items = {"file-1": [(403, "not allowed")], "file-2": [(403, "not allowed")]}
    sink = opened("elasticsearch", elastic.url)
    write(sink, 1, 2)
    eventually(lambda: sink.trouble, "the trouble")
    assert sink.trouble == "2 of 2 lines have to wait: 403 exception_of_the_test: not allowed"
    shipped(sink)
    sink.close()
    assert elastic.sequences == [1, 2]


def test_a_document_that_cannot_be_indexed_is_refused_counted_and_said(elastic: Elasticsearch) -> None:
    elastic.items = {"file-2": [(400, "field [x] is no \x07 number")] * 9, "file-3": [(429, "later")]}
    sink = opened("elasticsearch", elastic.url)
    write(sink, 1, 2, 3)
    shipped(sink)
    assert sorted(elastic.sequences) == [1, 3]
    assert (sink.dropped, sink.transport.refused) == (1, 1)  # counted once, although the batch came twice
    assert sink.transport.refusal == "exception_of_the_test: field [x] is no \\x07 number"
    sink.close()


def test_batches_shrink_to_what_the_server_takes(elastic: Elasticsearch) -> None:
    elastic.longest = 60_000
    sink = opened("elasticsearch", elastic.url)
    write(sink, *range(1, 501))
    shipped(sink)
    assert elastic.sequences == list(range(1, 501))
    elastic.requests.clear()
    write(sink, *range(501, 1001))
    shipped(sink)
    assert elastic.sequences == list(range(1, 1001))
    assert all(len(request.body) <= elastic.longest for request in elastic.requests)
    sink.close()


def test_a_line_longer_than_the_server_takes_is_refused_and_the_others_are_not(elastic: Elasticsearch) -> None:
    elastic.longest = 20_000
    sink = opened("elasticsearch", elastic.url)
    sink.write(numbered(1))
    sink.write(read_line("x" * 20_000, sequence=2))
    write(sink, 3)
    shipped(sink)
    assert elastic.sequences == [1, 3]
    assert sink.transport.refused == 1
    assert "bytes are more than the receiver takes" in sink.transport.refusal
    sink.close()


def test_lines_wait_for_a_server_that_is_away(elastic: Elasticsearch) -> None:
    sink = opened("elasticsearch", elastic.url)
    write(sink, 1)
    shipped(sink)
    elastic.stop()
    write(sink, 2, 3)
    eventually(lambda: sink.trouble, "the trouble")
    eventually(lambda: sink.trouble == "the server cannot be reached: Connection refused", sink.trouble)
    assert sink.waiting == 2
    elastic.start()
    shipped(sink)
    sink.close()
    assert elastic.sequences == [1, 2, 3]


def test_a_name_nobody_knows_is_said() -> None:
    sink = opened("elasticsearch", "http://no-such-host.invalid:9200")
    write(sink, 1)
    eventually(lambda: sink.trouble, "the trouble")
    assert sink.trouble.startswith("the server's name cannot be resolved: ")
    sink.close()
    assert sink.waiting == 1


def test_the_proxy_of_the_environment_is_not_used(elastic: Elasticsearch, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    sink = opened("elasticsearch", elastic.url)
    write(sink, 1)
    sink.close()
    assert elastic.sequences == [1]


def test_a_proxy_that_is_configured_is_used(elastic: Elasticsearch) -> None:
    # a proxy gets the whole url; this server does not mind
    sink = opened("elasticsearch", "http://somewhere.invalid", proxy=elastic.url)
    write(sink, 1)
    sink.close()
    assert elastic.sequences == [1]
    assert elastic.requests[0].path.startswith("http://somewhere.invalid/logs-panorama-default/_bulk")


# secrets


@pytest.mark.parametrize(
    ("values", "header"),
    [
        ({"api_key_file": "aGVsbG86d29ybGQ="}, "ApiKey aGVsbG86d29ybGQ="),
        ({"user": "panorama", "password_file": "p ss:wörd"}, "Basic cGFub3JhbWE6cCBzczp3w7ZyZA=="),
    ],
)
def test_secrets_come_from_files(tmp_path: Path, values: dict[str, str], header: str) -> None:
    server = Elasticsearch(authorization=header)
    given = {
        key: secret_file(tmp_path / key, f"{text}\n") if key.endswith("_file") else text for key, text in values.items()
    }
    sink = opened("elasticsearch", server.url, **given)
    write(sink, 1)
    sink.close()
    server.stop()
    assert server.sequences == [1]


def test_a_wrong_token_lets_lines_wait_until_the_file_has_the_right_one(tmp_path: Path) -> None:
    server = Elasticsearch(authorization="ApiKey right")
    path = secret_file(tmp_path / "key", "wrong")
    sink = opened("elasticsearch", server.url, api_key_file=path)
    write(sink, 1, 2)
    eventually(lambda: sink.trouble, "the trouble")
    assert sink.trouble == "the server refuses us: 401 Unauthorized"
    assert "wrong" not in sink.trouble
    assert sink.waiting == 2
    path.chmod(0o644)
    eventually(lambda: "others can read it" in sink.trouble, "the refusal of a file that is open to others")
    path.write_text("right")
    path.chmod(0o600)
    shipped(sink)
    sink.close()
    server.stop()
    assert server.sequences == [1, 2]


@pytest.mark.parametrize(
    ("mode", "text", "message"),
    [
        (0o644, "x", "api_key_file: {}: others can read it, mode 0644; try: chmod 0600 {}"),
        (0o640, "x", "api_key_file: {}: others can read it, mode 0640; try: chmod 0600 {}"),
        (0o600, "", "api_key_file: {}: must hold one line of text"),
        (0o600, "two\nlines", "api_key_file: {}: must hold one line of text"),
        (0o600, "x" * 5000, "api_key_file: {}: must hold one line of text"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, mode: int, text: str, message: str) -> None:
    path = secret_file(tmp_path / "key", text)
    path.chmod(mode)
    with pytest.raises(SinkError) as caught:
        opened("elasticsearch", "https://127.0.0.1:9", api_key_file=path)
    assert str(caught.value) == message.replace("{}", str(path))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"api_key_file": "{}/nowhere"}, "api_key_file: {}/nowhere: No such file or directory"),
        ({"user": "panorama"}, "user and password_file: each needs the other"),
        ({"password_file": "{}/good"}, "user and password_file: each needs the other"),
        (
            {"api_key_file": "{}/good", "user": "x"},
            "user: there is an api_key_file as well; take one of them away",
        ),
        ({"url": "https://host/?x=1"}, "url: https://host/?x=1: takes no '?' or '#'"),
        (
            {"url": "http://127.0.0.1", "server_name": "x"},
            "server_name: makes no sense with http; set url to https://...",
        ),
        ({"ca": "{}/nowhere"}, "ca: {}/nowhere: No such file or directory"),
        ({"ca": "{}/good"}, "ca: {}/good: holds no certificate in PEM"),
        (
            {"url": "http://siem.example", "api_key_file": "{}/good"},
            "url: http://siem.example: a secret would go over the network as it is; set url to https://...",
        ),
    ],
)
def test_settings_that_cannot_work_are_said_at_once(tmp_path: Path, values: dict[str, str], message: str) -> None:
    secret_file(tmp_path / "good", "s3cret")
    given = {key: value.replace("{}", str(tmp_path)) for key, value in values.items()}
    with pytest.raises(SinkError) as caught:
        opened("elasticsearch", **({"url": "https://siem.example"} | given))  # type: ignore[arg-type]
    assert str(caught.value) == message.replace("{}", str(tmp_path))
    assert "s3cret" not in str(caught.value)


def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "urllib3", None)
    with pytest.raises(SinkError, match=r"^the Python library urllib3 is missing; try: apt install python3-urllib3$"):
        opened("elasticsearch", "http://127.0.0.1:9")


# TLS


def served(authority: Authority, *hosts: str, client: Path | None = None) -> ssl.SSLContext:
    certificate, key = authority.issue("server", *hosts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client:
        context.load_verify_locations(client)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_lines_go_over_tls_with_a_certificate_of_our_own(tmp_path: Path, token: Path) -> None:
    authority = Authority(tmp_path / "a")
    certificate, key = authority.issue("client")
    server = Splunk(served(authority, "siem.example", client=authority.ca), "Splunk t0k3n")
    more = {"ca": authority.ca, "server_name": "siem.example", "certificate": certificate, "key": key}
    sink = opened("splunk", server.url, token_file=token, **more)
    write(sink, 1, 2)
    sink.close()
    server.stop()
    assert [event["event"]["sequence"] for event in server.events] == [1, 2]


def test_tls_goes_through_a_proxy_to_the_end(tmp_path: Path, token: Path) -> None:
    authority = Authority(tmp_path / "a")
    server = Splunk(served(authority, "siem.invalid"), "Splunk t0k3n")
    tunnel = Tunnel(server.address)
    sink = opened("splunk", "https://siem.invalid:8088", token_file=token, ca=authority.ca, proxy=tunnel.url)
    write(sink, 1, 2)
    sink.close()
    tunnel.close()
    server.stop()
    assert [request.rpartition(b" ")[0] for request in tunnel.asked] == [b"CONNECT siem.invalid:8088"]
    assert [event["event"]["sequence"] for event in server.events] == [1, 2]


def test_who_is_not_the_one_we_trust_gets_neither_lines_nor_the_token(tmp_path: Path, token: Path) -> None:
    right, wrong = Authority(tmp_path / "right"), Authority(tmp_path / "wrong")
    cases = [
        (
            served(right, "other.example"),
            "siem.example",
            "the server's certificate is refused: Hostname mismatch, certificate is not valid for 'siem.example'",
        ),
        (
            served(wrong, "127.0.0.1"),
            None,
            "the server's certificate is refused: unable to get local issuer certificate",
        ),
        (
            served(right, "other.example"),
            None,
            "the server's certificate is refused: hostname '127.0.0.1' doesn't match 'other.example'",
        ),
        (served(right, "127.0.0.1", client=right.ca), None, "TLS failed: "),  # OpenSSL hears why, or only the end
    ]
    for context, name, trouble in cases:
        server = Splunk(context, "Splunk t0k3n")
        sink = opened("splunk", server.url, token_file=token, ca=right.ca, server_name=name)
        write(sink, 1)
        eventually(lambda sink=sink: sink.trouble, "the trouble")  # type: ignore[misc]
        assert sink.trouble.startswith(trouble)
        sink.close()
        assert sink.waiting == 1
        assert server.requests == []
        server.stop()


# Splunk


@pytest.mark.parametrize("format", ["json", "text", "cef"])
def test_lines_become_events(splunk: Splunk, token: Path, format: str) -> None:
    sink = opened("splunk", splunk.url, format=format, token_file=token, index="endpoints")
    line = read_line('na"me', sequence=9)
    sink.write(line)
    sink.close()
    (event,) = splunk.events
    (text,) = formatter(format, UTC_CONTEXT)(line)
    if format == "json":
        assert event.pop("event") == json.loads(text)
    else:
        assert event.pop("event") == text
        assert event.pop("fields") == {"boot_id": "b1", "sequence": 9}
    assert event == {
        "time": 1775148747.276747,
        "host": "ep1",
        "source": "panorama",
        "sourcetype": f"panorama:{format}",
        "index": "endpoints",
    }


def test_an_event_that_is_refused_does_not_take_others_with_it(splunk: Splunk, token: Path) -> None:
    splunk.bad = "file-13"
    sink = opened("splunk", splunk.url, token_file=token)
    write(sink, *range(1, 21))
    shipped(sink)
    assert {event["event"]["sequence"] for event in splunk.events} == set(range(1, 21)) - {13}
    assert (sink.transport.refused, sink.transport.refusal) == (1, "Invalid data format")
    sink.close()


@pytest.mark.parametrize(
    ("failure", "trouble"),
    [
        (Failure(503, b'{"text":"Server is busy","code":9}'), "503 Service Unavailable: {"),
        (Failure(403, b'{"text":"Invalid token","code":4}'), "the server refuses us: 403 Forbidden"),
        (Failure(400, b'{"text":"Incorrect index","code":7}'), "400 Bad Request: {"),
        (Failure(200, b"hello"), "the server's answer is not that of an event collector; is url right?"),
    ],
)
def test_what_is_not_the_fault_of_a_line_lets_lines_wait(
    splunk: Splunk, token: Path, failure: Failure, trouble: str
) -> None:
    splunk.failures.append(failure)
    sink = opened("splunk", splunk.url, token_file=token)
    write(sink, 1, 2)
    eventually(lambda: sink.trouble, "the trouble")
    assert trouble in sink.trouble
    shipped(sink)
    assert sink.dropped == 0
    assert [event["event"]["sequence"] for event in splunk.events] == [1, 2]
    sink.close()


def test_lines_wait_until_they_are_indexed(splunk: Splunk, token: Path) -> None:
    splunk.indexing = False
    sink = opened("splunk", splunk.url, token_file=token, acknowledge=True)
    write(sink, 1, 2)
    eventually(lambda: len(splunk.requests) > 2, "a question whether they are")
    assert len(splunk.events) == 2
    assert sink.waiting == 2
    splunk.indexing = True
    shipped(sink)
    sink.close()
    assert len(splunk.events) == 2


def test_lines_that_are_never_indexed_come_again(splunk: Splunk, token: Path) -> None:
    splunk.indexing = False
    sink = opened("splunk", splunk.url, token_file=token, acknowledge=True, acknowledge_within=1.0)
    write(sink, 1, 2)
    eventually(lambda: sink.trouble, "the trouble")
    assert sink.trouble == "lines were not indexed within 1 s"
    splunk.indexing = True
    shipped(sink)
    sink.close()
    assert [event["event"]["sequence"] for event in splunk.events] == [1, 2, 1, 2]
    channels = [request.headers["X-Splunk-Request-Channel"] for request in splunk.requests]
    assert len(set(channels)) == 2  # a new one after the trouble


def test_an_event_that_is_refused_needs_no_acknowledgement(splunk: Splunk, token: Path) -> None:
    splunk.bad = "file-1"
    sink = opened("splunk", splunk.url, token_file=token, acknowledge=True)
    write(sink, 1)
    shipped(sink)
    assert sink.transport.refused == 1
    sink.close()


def test_a_token_without_acknowledgement_is_said(splunk: Splunk, token: Path) -> None:
    splunk.acknowledges = False
    sink = opened("splunk", splunk.url, token_file=token, acknowledge=True)
    write(sink, 1)
    eventually(lambda: sink.trouble, "the trouble")
    assert sink.trouble == "the collector acknowledges nothing; set the token up for it, or acknowledge: false"
    sink.close()
    assert sink.waiting == 1


# the whole way, under kill -9


def test_kill_9_under_load_loses_no_committed_line_on_the_way_to_the_server(tmp_path: Path) -> None:
    server = Elasticsearch()
    store = tmp_path / "spool" / "state.db"
    told: dict[int, int] = {}
    for round in range(9):
        reader, writer = os.pipe()
        last = round == 8
        server.failures.clear()
        if last:
            server.failures.append(Failure(503, late=True))  # so one batch at least is offered twice
        command = [sys.executable, Path(__file__).parent / "writer.py", server.url, store, str(writer)]
        child = subprocess.Popen([*command, "end"] if last else command, pass_fds=(writer,))
        os.close(writer)
        with open(reader, "rb", buffering=0) as pipe:
            said = pipe.read(1 << 16)
            if not last:
                server.failures += random.choices(
                    [Failure(503), Failure(200, cut=True), Failure(reset=True), Failure(200, late=True)], k=2
                )
                time.sleep(random.uniform(0.05, 0.6))
                child.send_signal(signal.SIGKILL)
            while part := pipe.read(1 << 16):
                said += part
        assert child.wait(60) == (0 if last else -signal.SIGKILL)
        whole = said[: said.rfind(b"\n") + 1].decode().splitlines()
        told |= {int(sequence): int(number) for sequence, number in map(str.split, whole)}
    server.stop()
    found = {
        document["sequence"]: int(document["object"].removeprefix("file-")) for document in server.documents.values()
    }
    assert len(found) == len(server.documents)  # no number stands for two lines
    assert len(told) > 1000
    assert {sequence: found.get(sequence) for sequence in told} == told
    assert max(server.offered.values()) > 1  # some came twice, and are one document
