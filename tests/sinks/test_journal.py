# SPDX-License-Identifier: Apache-2.0
"""The journal sink against a real systemd-journald, in mounts of the test's own, asked by journalctl."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from namespaces import empty, in_own_mounts
from output_samples import HOSTILE_NAMES, UTC_CONTEXT, connect_line, read_line
from receivers import eventually

from panorama.output.line import SEVERITIES, Line
from panorama.output.text import text_line
from panorama.sinks import SINKS, Setup, Sink, Style, open_sink
from panorama.sinks.queues import Memory

SOCKET = "/run/systemd/journal/socket"


def bare_machine() -> None:
    """No journal yet, and a configuration under which journald keeps everything."""
    empty("/run")
    empty("/var/log")
    empty("/etc/systemd")
    Path("/etc/systemd/journald.conf").write_text("[Journal]\nStorage=persistent\nRateLimitBurst=0\n")
    for folder in ("/run/systemd/journal", "/var/log/journal"):
        os.makedirs(folder)
    Path("/run/systemd/journal/flushed").touch()
    Path("/run/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    subprocess.run(["mount", "--bind", "/run/machine-id", "/etc/machine-id"], check=True)


@contextmanager
def journald() -> Iterator[subprocess.Popen[bytes]]:
    daemon = subprocess.Popen(["/usr/lib/systemd/systemd-journald"], stderr=subprocess.DEVNULL)
    try:
        eventually(listens, "journald")
        yield daemon
    finally:
        daemon.terminate()
        daemon.wait(20)


def listens() -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(SOCKET) == 0


def entries(*matches: str) -> list[dict[str, Any]]:
    command = ["journalctl", "-D", "/var/log/journal", "-q", "-o", "json", "--all", "-t", "panorama", *matches]
    found = subprocess.run(command, check=True, capture_output=True).stdout
    return [json.loads(line) for line in found.splitlines()]


def raw(value: str | list[int]) -> bytes:
    """A field's bytes; journalctl writes those that are no text as numbers."""
    return bytes(value) if isinstance(value, list) else value.encode()


def write(sink: Sink, *lines: Line) -> None:
    for line in lines:
        sink.write(line)
    sink.flush(20)


def test_a_line_is_found_by_its_fields() -> None:
    def body() -> None:
        bare_machine()
        line = connect_line()
        with journald():
            sink = open_sink("journal", Style("text", UTC_CONTEXT))
            write(sink, read_line(), line)
            eventually(lambda: len(entries()) == 2)
            [entry] = entries("PANORAMA_VERB=connect")
            sink.close()
        assert entry["MESSAGE"] == text_line(line, UTC_CONTEXT)
        assert entry["PANORAMA_OBJECT"] == "172.17.0.2:22"
        assert (entry["SYSLOG_IDENTIFIER"], entry["SYSLOG_PID"]) == ("panorama", str(os.getpid()))
        assert (entry["PRIORITY"], entry["_PID"]) == ("6", str(os.getpid()))

    in_own_mounts(body)


def test_each_severity_is_the_journals_priority() -> None:
    def body() -> None:
        bare_machine()
        with journald():
            sink = open_sink("journal")
            write(sink, *(read_line(severity=severity) for severity in SEVERITIES))
            eventually(lambda: len(entries()) == len(SEVERITIES))
            assert [entry["PRIORITY"] for entry in entries()] == [str(level) for level in range(8)]
            sink.close()

    in_own_mounts(body)


def test_hostile_names_arrive_byte_for_byte() -> None:
    def body() -> None:
        bare_machine()
        lines = [read_line(name) for name in HOSTILE_NAMES]
        with journald():
            sink = open_sink("journal", Style("text", UTC_CONTEXT))
            write(sink, *lines)
            eventually(lambda: len(entries()) == len(lines))
            found = entries()
            sink.close()
        assert [raw(entry["MESSAGE"]) for entry in found] == [text_line(line, UTC_CONTEXT).encode() for line in lines]
        paths = [f"/home/alice/{name}".encode("utf-8", "surrogateescape") for name in HOSTILE_NAMES]
        assert [raw(entry["PANORAMA_FILE_PATH"]) for entry in found] == paths

    in_own_mounts(body)


def test_a_line_longer_than_a_datagram_arrives_whole() -> None:
    def body() -> None:
        bare_machine()
        line = read_line("x\n" * 200_000)
        with journald():
            sink = open_sink("journal", Style("text", UTC_CONTEXT))
            write(sink, line)
            eventually(lambda: len(entries()) == 1)
            [entry] = entries()
            sink.close()
        assert raw(entry["MESSAGE"]) == text_line(line, UTC_CONTEXT).encode()
        assert raw(entry["PANORAMA_FILE_PATH"]) == b"/home/alice/" + b"x\n" * 200_000

    in_own_mounts(body)


def test_lines_wait_for_a_journal_that_is_absent_busy_or_started_again() -> None:
    def body() -> None:
        bare_machine()
        journal = SINKS["journal"]
        sink = journal.open(Setup("journal", {"path": SOCKET}, Style("text", UTC_CONTEXT), Memory(64 << 20)))
        write(sink, read_line(sequence=1))
        assert (sink.waiting, sink.trouble) == (1, f"{SOCKET}: No such file or directory")
        number = 1
        for _ in range(2):
            with journald() as daemon:
                write(sink, read_line(sequence=(number := number + 1)))
                eventually(lambda: len(entries()) == number, "the lines that waited")
                daemon.send_signal(signal.SIGSTOP)
                begun = time.monotonic()
                while not sink.waiting:
                    sink.write(read_line(sequence=(number := number + 1)))
                assert time.monotonic() - begun < 5
                daemon.send_signal(signal.SIGCONT)
                write(sink)
                eventually(lambda: len(entries()) == number, "the lines of a busy time")
            write(sink, read_line(sequence=(number := number + 1)))
            assert (sink.waiting, sink.trouble) == (1, f"{SOCKET}: Connection refused")
        sink.close()
        assert sink.waiting == 1
        assert [int(entry["PANORAMA_SEQUENCE"]) for entry in entries()] == list(range(1, number))

    in_own_mounts(body)
