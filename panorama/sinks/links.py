# SPDX-License-Identifier: Apache-2.0
"""Ways to a syslog receiver: TCP (RFC 6587) and UDP (RFC 5426), and how far each knows what arrived. TLS is in tls.py.

A link counts what it handed to the kernel; `acknowledged` is how much of that the receiver's kernel has. Syslog has no
acknowledgement of its own: that the receiver read it nobody tells, unless it closes after us. Once a link has raised
Unreachable it is only good for being closed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import termios
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from .shipping import Unreachable

__all__ = ["Datagrams", "Link", "Stream", "newline_ended", "octet_counted", "unreachable"]

_PROBES = 3  # unanswered keepalive probes that end a connection
_PER_SECOND = 10_000  # datagrams; a receiver's buffer holds a few hundred


class Link(Protocol):
    handed: int

    def send(self, messages: Sequence[bytes]) -> None:
        """Hands messages over. Blocks while the receiver is slow; Unreachable if it takes nothing for too long."""
        ...

    def acknowledged(self) -> int:
        """How much of `handed` the receiver's kernel has."""
        ...

    def check(self) -> bool:
        """Unreachable if the receiver is gone. True if it closed after we ended: it has read everything."""
        ...

    def end(self) -> None:
        """Tells the receiver that nothing more will come. May be called again."""
        ...

    def close(self) -> None: ...


def octet_counted(message: bytes) -> bytes:
    """RFC 6587 3.4.1, the framing of RFC 5425."""
    return b"%d %s" % (len(message), message)


def newline_ended(message: bytes) -> bytes:
    """RFC 6587 3.4.2, non-transparent framing; no message has a newline in it."""
    return message + b"\n"


class Stream:
    """A TCP connection. `handed` counts bytes on the wire; `frame` marks where a message ends."""

    def __init__(self, address: tuple[str, int], timeout: float, frame: Callable[[bytes], bytes]) -> None:
        self.handed = 0
        self._timeout = timeout
        self._frame = frame
        self._ended = False
        with unreachable():
            self._socket = socket.create_connection(address, timeout)
        self._socket.setblocking(False)
        _notice_dead_peers(self._socket, timeout)

    def send(self, messages: Sequence[bytes]) -> None:
        self._push(b"".join(map(self._frame, messages)))

    def acknowledged(self) -> int:
        queued = fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0" * 4)  # SIOCOUTQ of tcp(7): all not acknowledged
        return self.handed - int(struct.unpack("i", queued)[0])

    def check(self) -> bool:
        while True:
            try:
                with unreachable():
                    data = self._socket.recv(4096)
            except BlockingIOError:
                return False
            if not data and self._ended:
                return True
            if not data:
                raise Unreachable("the receiver closed the connection")
            self._hear(data)

    def end(self) -> None:
        self._ended = True
        with contextlib.suppress(OSError):  # if it is gone, check() says so
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def _hear(self, data: bytes) -> None:
        """What the receiver says means nothing in syslog."""

    def _hear_last_words(self) -> None:
        """What the receiver said before it left may tell why; then that is raised."""
        with contextlib.suppress(OSError):
            while data := self._socket.recv(4096):
                self._hear(data)

    def _push(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                count = self._socket.send(view, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                self._await_room()
            except OSError as error:
                self._hear_last_words()
                raise Unreachable(_reason(error)) from None
            else:
                self.handed += count
                view = view[count:]

    def _await_room(self) -> None:
        """Until it is worth another try: a receiver that takes bytes, however slowly, is not given up."""
        taken, deadline = self.acknowledged(), time.monotonic() + self._timeout
        while not self._await(select.POLLOUT, self._timeout / 10) and self.acknowledged() == taken:
            if time.monotonic() > deadline:
                raise Unreachable(f"the receiver took nothing for {self._timeout:g} s")

    def _await(self, event: int, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._socket, event)
        return bool(poll.poll(max(0.0, seconds) * 1000))


class Datagrams:
    """UDP, IPv4 or IPv6; `handed` counts messages.

    Nobody confirms anything, so what the network or a full receiver drops is lost and not even counted. Only that
    nobody listens is told, by ICMP, and shows as Unreachable.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self.handed = 0
        self._ended = False
        with unreachable():
            family, kind, protocol, _, there = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, protocol)
        try:
            with unreachable():
                self._socket.connect(there)
        except Unreachable:
            self.close()
            raise

    def send(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            with unreachable():
                self._socket.send(message)
            self.handed += 1
        time.sleep(len(messages) / _PER_SECOND)

    def acknowledged(self) -> int:
        return self.handed

    def check(self) -> bool:
        if error := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise Unreachable(_reason(OSError(error, os.strerror(error))))
        return self._ended

    def end(self) -> None:
        self._ended = True

    def close(self) -> None:
        self._socket.close()


class unreachable(contextlib.AbstractContextManager[None]):
    """Errors of the network within become Unreachable; that a call would block stays what it is."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UnicodeError):  # from a host name that is none
            raise Unreachable("no such host") from None
        if isinstance(error, OSError) and not isinstance(error, BlockingIOError):
            raise Unreachable(_reason(error)) from None


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _notice_dead_peers(connection: socket.socket, timeout: float) -> None:
    """The kernel gives the connection up if nothing comes back for `timeout`, whether we send or not (tcp(7))."""
    seconds = max(1, round(timeout / (_PROBES + 1)))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, round(timeout * 1000)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
