# SPDX-License-Identifier: Apache-2.0
"""The syslog sink against a real rsyslogd, and against sockets that are slow, full or of the other type."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from namespaces import bare_dev, in_own_mounts
from output_samples import HOSTILE_NAMES, UTC_CONTEXT, read_line
from receivers import eventually
from test_sinks import assert_none_vanished, numbered, numbers, read_all

from panorama.output.formats import formatter
from panorama.output.text import text_line
from panorama.sinks import Style, Syslog, open_sink
from panorama.sinks.queues import Memory

TEXT = formatter("text", UTC_CONTEXT)
STYLE = Style("text", UTC_CONTEXT)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pano") as name:  # tmp_path may be too long for a socket
        yield Path(name)


@contextmanager
def rsyslogd(folder: Path, path: str) -> Iterator[Path]:
    """A daemon of our own that listens at `path`; gives the file its messages go to, as `pri tag pid message`."""
    out, config = folder / "out", folder / "conf"
    config.write_text(
        'module(load="imuxsock" SysSock.Use="off")\n'
        f'input(type="imuxsock" Socket="{path}" RateLimit.Interval="0")\n'
        f'global(workDirectory="{folder}")\n'
        'template(name="raw" type="string" string="%pri% %programname% %procid%%msg%\\n")\n'
        f'*.* action(type="omfile" file="{out}" template="raw")\n'
    )
    out.touch()
    daemon = subprocess.Popen(["rsyslogd", "-n", "-f", config, "-i", folder / "pid"], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: listens(path))
        yield out
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(20)


def listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(path) == 0


def messages(out: Path) -> list[tuple[int, str, int, str]]:
    found = []
    whole, _, _ = out.read_text().rpartition("\n")  # the daemon may be in the middle of the next
    for line in whole.splitlines():
        match = re.fullmatch(r"(\d+) (\S*) (\S+) (.*)", line)
        assert match, line
        if match[2] == "panorama":  # rsyslogd speaks of itself, too
            found.append((int(match[1]), match[2], int(match[3]), match[4]))
    return found


def test_rsyslogd_gets_each_line_with_its_severity(folder: Path) -> None:
    lines = [read_line(name) for name in HOSTILE_NAMES]
    lines += [read_line(severity=severity) for severity in ("debug", "info", "notice", "warning", "emergency")]
    path = str(folder / "log")
    with rsyslogd(folder, path) as out:
        sink = open_sink(f"syslog:{path}", STYLE)
        for line in lines:
            sink.write(line)
        sink.flush(20)
        eventually(lambda: len(messages(out)) == len(lines))
        sink.close()
        found = messages(out)
    assert [text for *_, text in found] == [text_line(line, UTC_CONTEXT) for line in lines]
    assert [pri for pri, *_ in found][-6:] == [3 * 8 + level for level in (6, 7, 6, 5, 4, 0)]
    assert {(tag, pid) for _, tag, pid, _ in found} == {("panorama", os.getpid())}


def test_lines_wait_for_a_daemon_that_comes_later_or_again(folder: Path) -> None:
    path = str(folder / "log")
    sink = Syslog(TEXT, path)
    for number in range(5):
        sink.write(numbered(number))
    assert sink.waiting == 5
    for last in (7, 11):
        with rsyslogd(folder, path) as out:
            for number in range(last - 2, last):
                sink.write(numbered(number))
            eventually(lambda last=last: len(messages(out)) == last)  # type: ignore[misc]
        for number in range(last, last + 2):
            sink.write(numbered(number))
        assert sink.waiting == 2
    assert numbers("\n".join(text for *_, text in messages(out))) == list(range(11))
    sink.close()
    assert (sink.waiting, sink.dropped) == (2, 0)


def test_messages_are_never_longer_than_rsyslogd_takes(folder: Path) -> None:
    path = str(folder / "log")
    long = read_line("é\n" * 20_000)
    with rsyslogd(folder, path) as out:
        for style in (STYLE, Style("json", UTC_CONTEXT), Style("v6", UTC_CONTEXT)):
            sink = open_sink(f"syslog:{path}", style)
            sink.write(long)
            sink.close()
        eventually(lambda: len(messages(out)) == 3)
        text, record, old = (message for *_, message in messages(out))
    assert re.search(r'(é|\\\\n)"\.\.\.\[cut\]\Z', text)
    assert 8000 < len(text.encode()) < 8096
    assert json.loads(record)["cut"] is True
    assert old.endswith("...[cut]")
    assert 8000 < len(old.encode()) < 8096


def test_lines_wait_for_the_real_socket_to_come_and_to_come_again(folder: Path) -> None:
    def body() -> None:
        bare_dev()
        sink = open_sink("syslog", STYLE)
        for number in range(3):
            sink.write(numbered(number))
        assert (sink.waiting, sink.trouble) == (3, "/dev/log: No such file or directory")
        for last in (20, 40):
            with rsyslogd(folder, "/dev/log") as out:
                for number in range(last - 17, last):
                    sink.write(numbered(number))
                    sink.flush(5)
                eventually(lambda last=last: len(messages(out)) == last)  # type: ignore[misc]
            for number in range(last, last + 3):
                sink.write(numbered(number))
            assert (sink.waiting, sink.trouble) == (3, "/dev/log: No such file or directory")
        assert numbers("\n".join(text for *_, text in messages(out))) == list(range(40))

    in_own_mounts(body)


def test_a_daemon_that_reads_nothing_does_not_hold_us_up(folder: Path) -> None:
    path = str(folder / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(path)
        daemon.setblocking(False)
        sink = Syslog(TEXT, path, queue=Memory(20_000))
        for number in range(2000):
            sink.write(numbered(number))
        assert sink.waiting
        assert sink.dropped
        got = []
        while True:
            try:
                got.append(daemon.recv(10_000).decode())
            except BlockingIOError:
                if not sink.waiting:
                    break
                sink.flush()
    found = numbers("\n".join(re.sub(rf"^<\d+>panorama\[{os.getpid()}\]: ", "", message) for message in got))
    assert_none_vanished(found, 2000, sink.dropped)
    sink.close()


def test_a_stream_socket_gets_whole_messages_that_end_in_nul(folder: Path) -> None:
    path = str(folder / "log")
    long = read_line("x" * 7000)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as daemon:
        daemon.bind(path)
        daemon.listen()
        sink = Syslog(TEXT, path)
        sink.write(numbered(0))
        assert sink._socket
        sink._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        sink.write(long)
        connection, _ = daemon.accept()
        with connection:  # which reads slowly, then dies in the middle of a message
            slowly = b""
            while sink.waiting:
                slowly += connection.recv(3000)
                sink.flush()
            slowly += read_all(connection.fileno()).encode()
            sink.write(long)
            assert 0 < sink._sent < 7000
        sink.write(numbered(1))
        sink.flush()
        connection, _ = daemon.accept()
        sink.close()
        with connection:
            again = b"".join(iter(lambda: connection.recv(65536), b""))
    expected = [f"<30>panorama[{os.getpid()}]: {text_line(line, UTC_CONTEXT)}" for line in (numbered(0), long)]
    assert slowly.decode().split("\0") == [*expected, ""]
    assert [message[-7:] for message in again.decode().split("\0")] == ["3015807", " file-1", ""]
    assert again.decode().split("\0")[0] == expected[1]


def test_a_tiny_send_buffer_still_lets_the_beginning_through(folder: Path) -> None:
    path = str(folder / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(path)
        sink = Syslog(TEXT, path)
        sink.write(numbered(0))
        assert sink._socket
        sink._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        daemon.settimeout(10)
        got = [daemon.recv(10_000)]
        for line in (read_line("x" * 8000), numbered(1)):
            sink.write(line)
            got.append(daemon.recv(10_000))
        sink.close()
    assert got[1].endswith(b"x...[cut]")
    assert [message.split()[-1] for message in got[::2]] == [b"file-0", b"file-1"]
