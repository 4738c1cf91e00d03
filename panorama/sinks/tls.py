# SPDX-License-Identifier: Apache-2.0
"""Syslog within TLS (RFC 5425), and the files that say whom to trust and as whom to come.

The receiver's certificate and name are always checked, by TLS 1.2 or newer; revocation lists are not looked at. Files
are read anew for each connection, so that a certificate may be renewed under a running service.
"""

from __future__ import annotations

import contextlib
import os
import select
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import SinkError
from .links import Stream, unreachable
from .secrets import guarded
from .shipping import Unreachable

__all__ = ["TlsFiles", "TlsStream"]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """`certificate` and `key` are our own, or "" for none."""

    ca: str
    certificate: str = ""
    key: str = ""

    def context(self, server_name: str = "") -> ssl.SSLContext:
        """What connections are made with. SinkError if the files do not serve, or the name they would be made to."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        self._readable("ca", self.ca)
        try:
            made.load_verify_locations(self.ca)
        except ssl.SSLError:
            raise self._wrong("ca", self.ca, "holds no certificate in PEM") from None
        if self.key and not self.certificate:
            raise SinkError("key is given without a certificate")
        if self.certificate:
            self._present(made)
        if not server_name:
            return made
        try:
            made.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=server_name)
        except ValueError:  # UnicodeError is one
            raise SinkError(f"server_name: '{server_name}' is no host name") from None
        return made

    def _present(self, made: ssl.SSLContext) -> None:
        self._readable("certificate", self.certificate)
        name, key = ("key", self.key) if self.key else ("certificate", self.certificate)
        self._readable(name, key)
        guarded(name, key, os.stat(key))
        try:
            made.load_cert_chain(self.certificate, key, password=_no_password)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise self._wrong(name, key, f"does not belong to {self.certificate}") from None
            raise self._wrong(name, key, f"is no key in PEM without a password for {self.certificate}") from None

    def _readable(self, name: str, path: str) -> None:
        try:
            with open(path, "rb") as file:
                file.read(1)
        except OSError as error:
            raise self._wrong(name, path, str(error.strerror)) from None

    def _wrong(self, name: str, path: str, what: str) -> SinkError:
        return SinkError(f"{name}: {path}: {what}")


class TlsStream(Stream):
    """TLS works on buffers in memory, so that the bytes the kernel has are the bytes we count."""

    def __init__(
        self,
        address: tuple[str, int],
        timeout: float,
        frame: Callable[[bytes], bytes],
        files: TlsFiles,
        server_name: str,
    ) -> None:
        try:
            context = files.context(server_name)
        except SinkError as error:
            raise Unreachable(str(error)) from None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        super().__init__(address, timeout, frame)
        try:
            self._shake_hands(time.monotonic() + timeout)
        except Unreachable:
            self.close()
            raise

    def send(self, messages: Sequence[bytes]) -> None:
        self._tls.write(b"".join(map(self._frame, messages)))
        self._push(self._outgoing.read())

    def end(self) -> None:
        with contextlib.suppress(ssl.SSLError, Unreachable):  # the receiver's own goodbye is still to come
            self._tls.unwrap()
        with contextlib.suppress(Unreachable):
            self._push(self._outgoing.read())
        super().end()

    def _shake_hands(self, deadline: float) -> None:
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._push(self._outgoing.read())
                self._pull(deadline)
            except ssl.SSLError as error:
                with contextlib.suppress(Unreachable):
                    self._push(self._outgoing.read())  # the receiver is told why
                raise Unreachable(_reason(error)) from None
        self._push(self._outgoing.read())

    def _pull(self, deadline: float) -> None:
        if not self._await(select.POLLIN, deadline - time.monotonic()):
            raise Unreachable(f"the receiver said nothing for {self._timeout:g} s")
        with unreachable():
            data = self._socket.recv(65536)
        if not data:
            raise Unreachable("the receiver closed the connection while TLS began")
        self._incoming.write(data)

    def _hear(self, data: bytes) -> None:
        """Session tickets, new keys, alerts, goodbye."""
        self._incoming.write(data)
        try:
            while self._tls.read(65536):
                pass
        except ssl.SSLWantReadError:
            self._push(self._outgoing.read())
            return
        except ssl.SSLZeroReturnError:
            pass
        except ssl.SSLError as error:
            raise Unreachable(_reason(error)) from None
        if not self._ended:
            raise Unreachable("the receiver closed the connection")


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the receiver's certificate is refused: {error.verify_message.rstrip('.')}"
    return f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}"


def _no_password() -> str:
    """Instead of OpenSSL's question on the terminal."""
    return ""
