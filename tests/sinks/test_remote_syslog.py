# SPDX-License-Identifier: Apache-2.0
"""Remote syslog against rsyslogd and syslog-ng over each transport, with an authority and certificates of its own."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from namespaces import cut_network, in_own_network
from output_samples import HOSTILE_NAMES, UTC_CONTEXT, read_line
from receivers import Authority, Receiver, eventually, free_port, rsyslogd, syslog_ng

from panorama.errors import SinkError
from panorama.output.context import Context
from panorama.output.line import SEVERITIES, Line
from panorama.output.records import json_line
from panorama.output.text import text_line
from panorama.sinks import SINKS, Setup, Style, shipping
from panorama.sinks.queues import Memory, Queue
from panorama.sinks.rfc5424 import MESSAGE_BYTES, head_bytes
from panorama.sinks.shipping import Shipped
from panorama.sinks.spool import OnDisk, Store

DAEMONS = [rsyslogd, syslog_ng]
Start = Callable[..., Receiver]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("authority"))
    made.issue("server", "siem.example", "127.0.0.1", "::1")
    made.issue("old", "127.0.0.1", days=-1)
    made.issue("client")
    return made


@pytest.fixture
def start(tmp_path: Path, authority: Authority) -> Iterator[Start]:
    """Starts a daemon, given by its function, with the certificate of that name for TLS."""
    started: list[Receiver] = []

    def receiver(daemon: Start, transport: str, server: str = "server", **options: Any) -> Receiver:
        names = (authority.ca, authority.folder / f"{server}.pem", authority.folder / f"{server}.key")
        tls = names if transport == "tls" else None
        started.append(daemon(tmp_path / f"receiver{len(started)}", transport, tls, **options))
        started[-1].start()
        return started[-1]

    yield receiver
    for each in started:
        each.stop()


@pytest.fixture
def opened(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Shipped]]:
    """Opens the sink, for a receiver or a port on loopback, with these settings; it does not pause for long."""
    monkeypatch.setattr(shipping, "_FIRST_PAUSE", 0.1)
    monkeypatch.setattr(shipping, "_LONGEST_PAUSE", 0.3)
    sinks: list[Shipped] = []

    def sink(
        to: Receiver | int,
        format: str = "text",
        queue: Queue | None = None,
        context: Context = UTC_CONTEXT,
        **values: object,
    ) -> Shipped:
        kind = SINKS["remote-syslog"]
        port = to.port if isinstance(to, Receiver) else to
        given = {key: setting.default for key, setting in kind.keys.items()}
        given |= {"address": ("127.0.0.1", port), "ca": str(authority.ca), "confirm_after": 0.3} | values
        made = kind.open(Setup("siem", given, Style(format, context), Memory(64 << 20) if queue is None else queue))
        assert isinstance(made, Shipped)
        sinks.append(made)
        return made

    yield sink
    for each in sinks:
        each.close()


def write(sink: Shipped, *lines: Line) -> None:
    for line in lines:
        sink.write(line)
    sink.flush()


def numbered(number: int) -> Line:
    return read_line(f"file-{number}", sequence=number)


def sequences(receiver: Receiver) -> list[int]:
    return [int(number) for number in re.findall(rb'sequence="(\d+)"\] .* file-\1\b', receiver.stored())]


def assert_all_there(receiver: Receiver, count: int) -> None:
    """Each line at least once, and in the order in which they were written."""
    assert list(dict.fromkeys(sequences(receiver))) == list(range(1, count + 1))


# what arrives


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("daemon", DAEMONS)
def test_what_is_stored_is_what_was_sent(
    daemon: Start, transport: str, host: str, start: Start, opened: Callable[..., Shipped]
) -> None:
    """Byte for byte: names an attacker chooses, every severity, text and json, and what identifies the line."""
    receiver = start(daemon, transport, host=host)
    context = replace(UTC_CONTEXT, boot_id='b"1\\2]3')
    lines = [read_line(name, sequence=number) for number, name in enumerate(HOSTILE_NAMES, 1)]
    lines += [read_line(severity=severity, sequence=100) for severity in SEVERITIES]
    lines += [read_line(sequence=2**60, previous=2**60 - 5, chain="0af" * 20)]
    expected = []
    values = {"address": (host, receiver.port), "transport": transport, "message_size": 8096}
    for format, write_line in (("text", text_line), ("json", json_line)):
        sink = opened(receiver, format, context=context, **values)
        write(sink, *lines)
        short = replace(context, limit=MESSAGE_BYTES - head_bytes(context))
        expected += [row(line, write_line(line, short)) for line in lines]
        eventually(lambda: len(receiver.lines()) == len(expected), "the lines")  # noqa: B023
        sink.close()
        assert (sink.waiting, sink.dropped, sink.trouble) == (0, 0, "")
    assert [comparable(line.decode()) for line in receiver.lines()] == expected


def row(line: Line, text: str) -> str:
    data = ['host="ep1"', r'boot="b\"1\\2\]3"', f'sequence="{line.sequence}"']
    data += [f'previous="{line.previous}"', f'chain="{line.chain}"'] if line.chain else []
    pri = 3 * 8 + SEVERITIES.index(line.severity)
    return f"{pri} 2026-04-02T16:52:27.276747Z ep1 panorama {os.getpid()} read [panorama@32473 {' '.join(sorted(data))}] {text}"


def comparable(row: str) -> str:
    """syslog-ng writes UTC as +00:00, and has its own order of parameters."""
    head, data, text = re.fullmatch(r"(.*?) \[panorama@32473 ((?:[^]\\]|\\.)*)\] (.*)", row, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{head.replace('+00:00', 'Z')} [panorama@32473 {' '.join(sorted(data.split(' ')))}] {text}"


def test_a_line_without_number_boot_or_printable_host_is_still_a_message(
    start: Start, opened: Callable[..., Shipped]
) -> None:
    receiver = start(rsyslogd, "tcp")
    sink = opened(receiver, context=Context(host="höst name"), transport="tcp")
    write(sink, read_line(sequence=0, verb="vérb " + "x" * 40))
    eventually(receiver.lines, "the line")
    head = f"30 2026-04-02T16:52:27.276747Z h_st_name panorama {os.getpid()} v_rb_{'x' * 27} - 20"
    assert receiver.lines()[0].decode().startswith(head)


def test_non_transparent_framing_ends_messages_with_a_newline(start: Start, opened: Callable[..., Shipped]) -> None:
    receiver = start(rsyslogd, "tcp")
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = opened(server.getsockname()[1], transport="tcp", framing="non-transparent")
        write(sink, numbered(1), numbered(2))
        connection, _ = server.accept()
        with connection:
            eventually(lambda: connection.recv(10_000, socket.MSG_PEEK).count(b"\n") == 2)
            sent = connection.recv(10_000)
    assert [part[:5] for part in sent.split(b"\n")] == [b"<30>1", b"<30>1", b""]
    write(opened(receiver, transport="tcp", framing="non-transparent"), *map(numbered, range(1, 30)))
    eventually(lambda: len(receiver.lines()) == 29, "the lines")
    assert_all_there(receiver, 29)


@pytest.mark.parametrize(("transport", "size"), [("udp", None), ("udp", 480), ("tcp", None), ("tcp", 1500)])
def test_messages_are_cut_to_the_size_that_is_set(
    transport: str, size: int | None, start: Start, opened: Callable[..., Shipped]
) -> None:
    receiver = start(rsyslogd, transport)
    sink = opened(receiver, transport=transport, message_size=size)
    write(sink, read_line("é\n" * 20_000))
    eventually(receiver.lines, "the line")
    [stored] = receiver.lines()
    most = size or {"udp": 2048, "tcp": 8096}[transport]
    sent = f"<{stored.decode()}".replace(" ", ">1 ", 1).encode()  # the header as it was
    assert most - 200 < len(sent) <= most  # room is kept for the longest header there can be
    assert stored.endswith(b"...[cut]")


def test_a_record_that_is_cut_is_still_json(start: Start, opened: Callable[..., Shipped]) -> None:
    receiver = start(syslog_ng, "udp")
    write(opened(receiver, "json", transport="udp"), read_line("x" * 4000, sequence=5))
    eventually(receiver.lines, "the record")
    record = json.loads(receiver.lines()[0].split(b"] ", 1)[1])
    assert (record["cut"], record["sequence"]) == (True, 5)


# TLS


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_client_certificate_lets_us_in_and_without_one_lines_wait(
    daemon: Start, authority: Authority, start: Start, opened: Callable[..., Shipped]
) -> None:
    receiver = start(daemon, "tls", clients=True)
    without = opened(receiver)
    write(without, numbered(1))
    eventually(lambda: without.trouble, "trouble")
    assert re.search(r"certificate required|handshake failure|closed the connection|reset by peer", without.trouble)
    without.close()
    assert (without.waiting, receiver.lines()) == (1, [])
    folder = authority.folder
    sink = opened(receiver, certificate=str(folder / "client.pem"), key=str(folder / "client.key"))
    write(sink, numbered(1))
    eventually(lambda: sequences(receiver) == [1], "the line")


@pytest.mark.parametrize(
    ("server", "values", "reason"),
    [
        ("server", {"ca": "other"}, "self-signed certificate in certificate chain"),
        (
            "server",
            {"server_name": "elsewhere.example"},
            "Hostname mismatch, certificate is not valid for 'elsewhere.example'",
        ),
        ("old", {}, "certificate has expired"),
        ("client", {}, "IP address mismatch, certificate is not valid for '127.0.0.1'"),
    ],
)
def test_a_receiver_that_cannot_prove_who_it_is_gets_nothing(
    server: str, values: dict[str, str], reason: str, tmp_path: Path, start: Start, opened: Callable[..., Shipped]
) -> None:
    receiver = start(syslog_ng, "tls", server)
    if "ca" in values:
        values = {"ca": str(Authority(tmp_path / "other").ca)}
    sink = opened(receiver, **values)
    write(sink, numbered(1))
    eventually(lambda: sink.trouble, "trouble")
    assert sink.trouble == f"the receiver's certificate is refused: {reason}"
    sink.close()
    assert (sink.waiting, receiver.lines()) == (1, [])


def test_the_name_that_is_checked_may_be_given(start: Start, opened: Callable[..., Shipped]) -> None:
    receiver = start(rsyslogd, "tls")
    write(opened(receiver, server_name="siem.example"), numbered(1))
    eventually(lambda: sequences(receiver) == [1], "the line")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_older_than_1_2_is_refused(authority: Authority, opened: Callable[..., Shipped]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / "server.pem", authority.folder / "server.key")
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = opened(server.getsockname()[1])
        write(sink, numbered(1))
        connection, _ = server.accept()
        with connection, pytest.raises(ssl.SSLError, match="unsupported protocol"):
            context.wrap_socket(connection, server_side=True)
        eventually(lambda: sink.trouble, "trouble")
    assert sink.trouble == "TLS failed: tlsv1 alert protocol version"


def test_a_certificate_renewed_on_disk_serves_the_next_connection(
    tmp_path: Path, authority: Authority, start: Start, opened: Callable[..., Shipped]
) -> None:
    receiver = start(rsyslogd, "tls")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(Authority(tmp_path / "other").ca.read_bytes())
    sink = opened(receiver, ca=str(ca))
    write(sink, numbered(1))
    eventually(lambda: "certificate is refused" in sink.trouble, "trouble")
    ca.write_bytes(authority.ca.read_bytes())
    eventually(lambda: sequences(receiver) == [1], "the line")
    eventually(lambda: not sink.trouble, "the end of it")


# settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ca": "/none"}, "ca: /none: No such file or directory"),
        ({"ca": "client.key"}, "ca: client.key: holds no certificate in PEM"),
        ({"certificate": "/none"}, "certificate: /none: No such file or directory"),
        (
            {"certificate": "client.pem"},
            "certificate: client.pem: others can read it, mode 0644; try: chmod 0600 client.pem",
        ),
        ({"certificate": "client.pem", "key": "server.key"}, "key: server.key: does not belong to client.pem"),
        (
            {"certificate": "client.pem", "key": "locked.key"},
            "key: locked.key: is no key in PEM without a password for client.pem",
        ),
        (
            {"certificate": "client.pem", "key": "open.key"},
            "key: open.key: others can read it, mode 0644; try: chmod 0600 open.key",
        ),
        (
            {"certificate": "client.pem", "key": "his.key"},
            "key: his.key: belongs to uid 65534; try: chown root his.key",
        ),
        ({"key": "client.key"}, "key is given without a certificate"),
        ({"server_name": "x" * 64 + ".example"}, f"server_name: '{'x' * 64}.example' is no host name"),
        ({"message_size": 100}, "message_size: 100: must be 480 bytes at least"),
        ({"message_size": 70_000, "transport": "udp"}, "message_size: 70000: must be 480 to 65000 bytes over UDP"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    values: dict[str, Any], message: str, tmp_path: Path, authority: Authority, opened: Callable[..., Shipped]
) -> None:
    for name in ("client.pem", "client.key", "server.key"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_bytes((authority.folder / name).read_bytes())
    (tmp_path / "client.pem").chmod(0o644)
    for name, mode, owner in (("open.key", 0o644, 0), ("his.key", 0o600, 65534)):
        (tmp_path / name).write_bytes((authority.folder / "client.key").read_bytes())
        (tmp_path / name).chmod(mode)
        os.chown(tmp_path / name, owner, 0)
    locked = [
        "openssl",
        "pkey",
        "-in",
        tmp_path / "client.key",
        "-aes128",
        "-passout",
        "pass:x",
        "-out",
        tmp_path / "locked.key",
    ]
    subprocess.run(locked, check=True)
    at = {key: str(tmp_path / value) if key in ("ca", "certificate", "key") else value for key, value in values.items()}
    with pytest.raises(SinkError) as caught:
        opened(1, **at)
    assert str(caught.value).replace(f"{tmp_path}/", "") == message


# nothing lost


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_receiver_killed_in_mid_stream_has_every_line_in_the_end(
    daemon: Start, transport: str, start: Start, opened: Callable[..., Shipped]
) -> None:
    receiver = start(daemon, transport)
    sink = opened(receiver, transport=transport, confirm_after=1.0)
    count = 0
    for killed in (False, True, False, True, False):
        if killed:
            receiver.kill()
        elif receiver.process and receiver.process.poll() is not None:
            receiver.start()
        until = time.monotonic() + 0.4
        while time.monotonic() < until:
            for _ in range(20):
                sink.write(numbered(count := count + 1))
            sink.flush()
            time.sleep(0.005)
    eventually(lambda: not sink.waiting, "the last line's confirmation")
    assert_all_there(receiver, count)
    assert (count > 1000, sink.dropped) == (True, 0)


@pytest.mark.parametrize(("daemon", "transport", "timeout"), [(rsyslogd, "tcp", 20.0), (syslog_ng, "tls", 1.0)])
def test_a_receiver_that_stops_for_a_while_loses_nothing_and_fills_no_memory(
    daemon: Start, transport: str, timeout: float, tmp_path: Path, start: Start, opened: Callable[..., Shipped]
) -> None:
    """With a short timeout it is given up meanwhile, and said; with a long one it is waited for."""
    receiver = start(daemon, transport)
    queue = OnDisk(Store(tmp_path / "state.db"), "siem", 256 << 20)
    sink = opened(receiver, queue=queue, transport=transport, timeout=timeout, confirm_after=60.0)
    write(sink, numbered(1))
    eventually(lambda: sequences(receiver) == [1], "the first line")
    receiver.pause()
    before, count = resident(), 1
    while count < 40_000:
        for _ in range(100):
            sink.write(numbered(count := count + 1))
        sink.flush()
    grown = resident() - before
    if timeout < 2:
        eventually(lambda: re.search("nothing for 1 s|timed out", sink.trouble), "the end of patience")
    assert sink.waiting == count
    receiver.go_on()
    eventually(lambda: sequences(receiver)[-1:] == [count], "the last line", 30)
    assert_all_there(receiver, count)
    assert grown < 24 << 20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("daemon", DAEMONS)
def test_at_the_end_the_receivers_goodbye_confirms_all(
    daemon: Start, transport: str, start: Start, opened: Callable[..., Shipped]
) -> None:
    receiver = start(daemon, transport)
    sink = opened(receiver, transport=transport, confirm_after=3600.0)
    write(sink, *map(numbered, range(1, 2001)))
    sink.close()
    assert sink.waiting == 0
    eventually(lambda: sequences(receiver)[-1:] == [2000], "the last line in the receiver's file")
    assert sequences(receiver) == list(range(1, 2001))


def test_lines_on_disk_outlive_us_and_go_to_a_receiver_that_comes_later(
    tmp_path: Path, start: Start, opened: Callable[..., Shipped]
) -> None:
    store = Store(tmp_path / "state.db")
    absent = opened(free_port(), queue=OnDisk(store, "siem", 1 << 20), transport="tcp")
    write(absent, *map(numbered, range(1, 11)))
    eventually(lambda: absent.trouble == "connection refused", "trouble")
    absent.close()
    store.close()
    receiver = start(rsyslogd, "tcp")
    sink = opened(receiver, queue=OnDisk(Store(tmp_path / "state.db"), "siem", 1 << 20), transport="tcp")
    write(sink, numbered(11))
    eventually(lambda: not sink.waiting, "confirmation")
    assert sequences(receiver) == list(range(1, 12))


def test_over_udp_it_is_noticed_that_nobody_listens(tmp_path: Path, opened: Callable[..., Shipped]) -> None:
    receiver = rsyslogd(tmp_path / "receiver", "udp")
    sink = opened(receiver, transport="udp")
    write(sink, *map(numbered, range(1, 31)))
    eventually(lambda: sink.trouble == "connection refused", "trouble")
    receiver.start()
    eventually(lambda: not sink.waiting, "confirmation")
    assert_all_there(receiver, 30)
    receiver.stop()


def test_a_peer_that_vanishes_without_a_word_is_given_up(opened: Callable[..., Shipped]) -> None:
    def body() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            sink = opened(server.getsockname()[1], transport="tcp", timeout=1.0)
            write(sink, numbered(1))
            connection, _ = server.accept()
            with connection:
                eventually(lambda: not sink.waiting, "the first line's confirmation")
                cut_network()
                write(sink, numbered(2))
                eventually(lambda: sink.trouble, "trouble", 10)
        assert sink.waiting == 1
        assert re.fullmatch("connection timed out|no route to host|network is unreachable", sink.trouble)

    in_own_network(body)


def test_an_idle_connection_the_receiver_closed_costs_no_line_and_no_time(opened: Callable[..., Shipped]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        sink = opened(server.getsockname()[1], transport="tcp", confirm_after=0.1)
        for number in (1, 2):
            begun = time.monotonic()
            write(sink, numbered(number))
            with server.accept()[0] as connection:
                assert time.monotonic() - begun < 0.4
                assert b"file-%d:" % number in connection.recv(10_000)
                eventually(lambda: not sink.waiting, "confirmation")
        assert sink.trouble == ""
