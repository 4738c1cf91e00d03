# SPDX-License-Identifier: Apache-2.0
"""Shipping over real TCP connections to receivers that break off, are slow, or hang: at least once, in order."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from output_samples import UTC_CONTEXT, read_line
from receivers import eventually, free_port

from panorama.output.formats import formatter
from panorama.output.line import Line
from panorama.sinks import shipping
from panorama.sinks.links import Stream, newline_ended
from panorama.sinks.queues import Memory, Queue
from panorama.sinks.remote_syslog import Sender
from panorama.sinks.shipping import Shipped
from panorama.sinks.spool import OnDisk, Store

TEXT = formatter("text", UTC_CONTEXT)


class Listener:
    """A receiver on loopback that does `plan[n]` with its nth connection, the last one with all that follow.

    A plan is how many bytes it reads, and what then: "close", "reset", or "hang" (reads no more). `got` is all it read.
    """

    def __init__(self, *plan: tuple[int, str], port: int = 0, pause: float = 0.0) -> None:
        self.got: list[bytearray] = []
        self.server = socket.create_server(("127.0.0.1", port))
        self.port = self.server.getsockname()[1]
        self._plan = plan
        self._pause = pause
        self._hanging: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def numbers(self) -> list[int]:
        """Of whole lines."""
        return [int(number) for part in list(self.got) for number in re.findall(rb"file-(\d+)\n", part)]

    def notices(self) -> list[bytes]:
        return re.findall(rb"panorama dropped (.*)\n", b"".join(self.got))

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for connection in self._hanging:
            connection.close()

    def _serve(self) -> None:
        number = 0
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            most, then = self._plan[min(number, len(self._plan) - 1)]
            number += 1
            self._read(connection, most)
            if then == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if then == "hang":
                self._hanging.append(connection)
            else:
                connection.close()

    def _read(self, connection: socket.socket, most: int) -> None:
        self.got.append(bytearray())
        while len(self.got[-1]) < most:
            try:
                data = connection.recv(min(1 << 16, most - len(self.got[-1])))
            except OSError:
                return
            self.got[-1] += data
            if not data:
                return
            time.sleep(self._pause)


EVERYTHING = (1 << 40, "close")
LONG = "x" * 2000  # of lines so long the kernel's buffers on both sides hold some 2,000


@pytest.fixture
def listener() -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def make(*plan: tuple[int, str], **options: Any) -> Listener:
        made.append(Listener(*plan, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def ship(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Shipped]]:
    """A sink that ships to that port."""
    monkeypatch.setattr(shipping, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(shipping, "_LONGEST_PAUSE", 0.2)
    made: list[Shipped] = []

    def sink(port: int, queue: Queue | None = None, confirm_after: float = 0.2, timeout: float = 5.0) -> Shipped:
        sender = Sender(lambda: Stream(("127.0.0.1", port), timeout, newline_ended), confirm_after)
        made.append(Shipped("far", encoded, Memory(64 << 20) if queue is None else queue, sender))
        return made[-1]

    yield sink
    for each in made:
        each.close()


def encoded(line: Line) -> list[bytes]:
    return [text.encode() for text in TEXT(line)]


def write(sink: Shipped, *numbers: int, long: str = "") -> None:
    for number in numbers:
        sink.write(read_line(f"{long}file-{number}", 0))
    sink.flush()


def assert_in_order(found: list[int], count: int) -> None:
    """Each at least once, and nothing before what it follows."""
    assert list(dict.fromkeys(found)) == list(range(count))


def test_what_is_written_is_received_once_while_nothing_breaks(
    listener: Callable[..., Listener], ship: Callable[..., Shipped]
) -> None:
    receiver = listener(EVERYTHING)
    sink = ship(receiver.port)
    for start in range(0, 20_000, 100):
        write(sink, *range(start, start + 100))
    eventually(lambda: not sink.waiting, "confirmation")
    assert receiver.numbers() == list(range(20_000))
    assert (sink.dropped, sink.trouble, sink.busy) == (0, "", False)


@pytest.mark.parametrize("then", ["close", "reset"])
def test_what_was_on_the_way_when_a_connection_broke_comes_again(
    then: str, listener: Callable[..., Listener], ship: Callable[..., Shipped]
) -> None:
    """Breaks come at the beginning, in the middle of a line and of a stream, and where a line ends."""
    length = len(b"\n".join(encoded(read_line("file-0", 0)))) + 1
    receiver = listener((0, then), (10 * length, then), (7, then), (100_001, then), EVERYTHING)
    sink = ship(receiver.port)
    write(sink, *range(10))
    eventually(lambda: len(receiver.got) > 2, "a break")
    write(sink, *range(10, 5000))
    eventually(lambda: not sink.waiting, "confirmation")
    assert_in_order(receiver.numbers(), 5000)
    assert len(receiver.numbers()) > 5000  # the first ten, at least, came twice


def test_a_receiver_that_closes_is_noticed_without_writing(
    listener: Callable[..., Listener], ship: Callable[..., Shipped]
) -> None:
    receiver = listener((100, "close"), EVERYTHING)
    sink = ship(receiver.port, confirm_after=0.5)
    write(sink, *range(5))
    eventually(lambda: len(receiver.got) == 2 and not sink.waiting, "the second connection")
    assert receiver.numbers()[-5:] == list(range(5))


def test_lines_are_not_confirmed_before_the_connection_has_lived_on(
    listener: Callable[..., Listener], ship: Callable[..., Shipped]
) -> None:
    receiver = listener(EVERYTHING)
    sink = ship(receiver.port, confirm_after=0.6)
    write(sink, 0)
    begun = time.monotonic()
    eventually(receiver.numbers, "the line")
    assert sink.waiting == 1
    eventually(lambda: not sink.waiting, "confirmation")
    assert time.monotonic() - begun >= 0.6


def test_bytes_the_receivers_kernel_has_not_taken_are_not_confirmed(
    listener: Callable[..., Listener], ship: Callable[..., Shipped]
) -> None:
    receiver = listener((2 << 20, "hang"))
    sink = ship(receiver.port, confirm_after=0.0, timeout=1.0)
    write(sink, *range(5_000), long=LONG)
    eventually(lambda: sink.trouble, "the end of patience")
    [connection] = receiver._hanging
    there = receiver.got[0] + connection.recv(64 << 20, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    whole = there.count(b"\n")
    assert 0 < 5_000 - sink.waiting <= whole < 5_000


def test_a_receiver_is_not_given_up_while_it_reads_however_slowly(
    listener: Callable[..., Listener], ship: Callable[..., Shipped]
) -> None:
    receiver = listener(EVERYTHING, pause=0.03)
    sink = ship(receiver.port, timeout=0.5)
    write(sink, *range(2500), long=LONG)
    eventually(lambda: not sink.waiting, "confirmation")
    assert receiver.numbers() == list(range(2500))


def test_a_receiver_that_hangs_is_given_up_said_and_tried_again(
    listener: Callable[..., Listener], ship: Callable[..., Shipped]
) -> None:
    receiver = listener((1000, "hang"), EVERYTHING)
    sink = ship(receiver.port, timeout=0.5, confirm_after=5.0)
    said = set()
    write(sink, *range(5_000), long=LONG)
    eventually(lambda: said.add(sink.trouble) or len(receiver.got) == 2, "the second connection")
    assert said & {"the receiver took nothing for 0.5 s", "connection timed out"}  # we or the kernel, whoever is first
    eventually(lambda: receiver.got[1].endswith(b"file-4999\n"), "the last line")
    assert_in_order(receiver.numbers(), 5_000)


class Mistaken(Sender):
    """A transport with a mistake that shows once."""

    failed = False

    def send(self, batch: Sequence[bytes]) -> None:
        if not self.failed:
            self.failed = True
            raise ZeroDivisionError("a mistake")
        super().send(batch)


def test_a_mistake_in_a_transport_ends_no_shipping(
    listener: Callable[..., Listener], ship: Callable[..., Shipped]
) -> None:
    receiver = listener(EVERYTHING)
    sink = ship(receiver.port)
    sink.transport = Mistaken(lambda: Stream(("127.0.0.1", receiver.port), 5.0, newline_ended), 0.2)
    write(sink, 0)
    eventually(lambda: sink.trouble == "mistake in Panorama: ZeroDivisionError('a mistake')", "trouble")
    eventually(lambda: not sink.waiting, "confirmation")
    assert receiver.numbers() == [0]


def test_trouble_is_said_until_the_receiver_has_confirmed_something(
    listener: Callable[..., Listener], ship: Callable[..., Shipped]
) -> None:
    port = free_port()
    sink = ship(port)
    write(sink, 0)
    eventually(lambda: sink.trouble == "connection refused", "trouble")
    receiver = listener(EVERYTHING, port=port)
    eventually(receiver.numbers, "the line")
    assert (sink.trouble, sink.waiting) == ("connection refused", 1)
    eventually(lambda: not sink.trouble, "the end of it")
    assert sink.waiting == 0


def test_what_a_full_queue_has_no_room_for_is_told_where_it_is_missing(
    listener: Callable[..., Listener], ship: Callable[..., Shipped]
) -> None:
    port = free_port()
    sink = ship(port, Memory(20_000))
    write(sink, *range(1000))
    kept = sink.waiting
    assert (kept + sink.dropped, kept < 400) == (1000, True)
    receiver = listener(EVERYTHING, port=port)
    eventually(lambda: not sink.waiting, "confirmation")
    write(sink, 1000)
    eventually(lambda: 1000 in receiver.numbers(), "a line behind the gap")
    assert receiver.numbers() == [*range(kept), 1000]
    assert receiver.notices() == [b"%d lines here: the receiver took none for too long" % (1000 - kept)]
    assert receiver.got[0].index(b"dropped") < receiver.got[0].index(b"file-1000")


@pytest.mark.parametrize("then", ["close", "hang"])
def test_what_is_not_confirmed_at_the_end_waits_on_disk_for_the_next_start(
    then: str, tmp_path: Path, listener: Callable[..., Listener], ship: Callable[..., Shipped]
) -> None:
    receiver = listener((1000, then), (0, then))
    store = Store(tmp_path / "state.db")
    sink = ship(receiver.port, OnDisk(store, "far", 64 << 20), confirm_after=3600.0, timeout=60.0)
    write(sink, *range(5_000), long=LONG)
    begun = time.monotonic()
    sink.close()
    store.close()
    assert time.monotonic() - begun < 4
    assert sink.waiting == 5_000
    healthy = listener(EVERYTHING)
    again = ship(healthy.port, OnDisk(Store(tmp_path / "state.db"), "far", 64 << 20))
    again.flush()
    eventually(lambda: not again.waiting, "confirmation")
    assert_in_order(healthy.numbers(), 5_000)


def test_the_end_with_nobody_there_does_not_wait(tmp_path: Path, ship: Callable[..., Shipped]) -> None:
    sink = ship(free_port())
    write(sink, *range(10))
    begun = time.monotonic()
    sink.close()
    assert time.monotonic() - begun < 1
    assert sink.waiting == 10


def test_what_was_dropped_is_told_also_if_the_queue_is_still_full_at_the_end(
    tmp_path: Path, listener: Callable[..., Listener], ship: Callable[..., Shipped]
) -> None:
    store = Store(tmp_path / "state.db")
    sink = ship(free_port(), OnDisk(store, "far", 20_000))
    write(sink, *range(1000))
    sink.close()
    store.close()
    receiver = listener(EVERYTHING)
    again = ship(receiver.port, OnDisk(Store(tmp_path / "state.db"), "far", 20_000))
    again.flush()
    eventually(lambda: not again.waiting, "confirmation")
    assert receiver.notices() == [b"%d lines here: the receiver took none for too long" % sink.dropped]
    assert len(receiver.numbers()) + sink.dropped == 1000
