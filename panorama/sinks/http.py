# SPDX-License-Identifier: Apache-2.0
"""Requests to one HTTP or HTTPS server, over connections that are kept: what the sinks that speak HTTP have in common.

Lines go where the configuration says and nowhere else: redirects are not followed, and no proxy is taken from the
environment. A secret travels over TLS only, or to this machine itself. What an answer means is not known here.
"""

from __future__ import annotations

import gzip
import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..errors import SinkError
from ..output.quoting import bare
from ..reading.keys import Key
from .setup import Setup
from .shipping import Unreachable

__all__ = ["HTTP_KEYS", "Answer", "Server", "shown"]

HTTP_KEYS = {
    "ca": Key("file", "whose certificates are trusted, PEM", "/etc/ssl/certs/ca-certificates.crt"),
    "server_name": Key(
        "text", "the name in the server's certificate, if it is not the one in url", example="siem.example"
    ),
    "certificate": Key("file", "our own certificate, with those between it and the authority, PEM"),
    "key": Key("secret", "the key of that certificate, PEM, if it is not in the same file", only=("certificate",)),
    "proxy": Key(
        "url", "a proxy to go through; none is taken from the environment", example="http://proxy.example:3128"
    ),
    "compress": Key("flag", "whether batches are sent compressed, by gzip", True),
    "timeout": Key("time", "how long to wait for the server, each time", 30.0, least=1.0, most=600.0),
}

_LONGEST_ANSWER = 4 << 20
_LONGEST_REASON = 200
_GZIP_LEVEL = 1  # of 500 lines it makes an 18th, in half the time that level 6 takes for a 23rd


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said: an HTTP status, and the body."""

    status: int
    data: bytes
    location: str = ""

    def problem(self) -> Unreachable:
        """Why lines have to wait, in general terms; for a status that is no success."""
        words = f"{self.status} {http.client.responses.get(self.status, '')}".rstrip()
        if self.location:
            return Unreachable(f"the server answers {words} and sends us to {shown(self.location)}; set url to that")
        if self.status in (401, 403):
            return Unreachable(f"the server refuses us: {words}")
        text = self.data.decode("utf-8", "replace").strip()
        return Unreachable(f"the server answers {words}" + (f": {shown(text)}" if text else ""))


class Server:
    """The server of a sink's `url`. `authorization` gives that header, or ""; it is asked with each new connection.

    SinkError if the settings cannot work.
    """

    def __init__(self, setup: Setup, authorization: Callable[[], str]) -> None:
        self._values = values = setup.values
        self._authorization = authorization
        self._url = str(values["url"]).rstrip("/")
        parts = urlsplit(self._url)
        self._tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        if parts.query or parts.fragment:
            raise SinkError(f"url: {self._url}: takes no '?' or '#'")
        for key in ("server_name", "certificate", "key"):
            if values[key] and not self._tls:
                raise SinkError(f"{key}: makes no sense with {parts.scheme}; set url to https://...")
        self._pool: Any = None
        self._headers: dict[str, str] = {}
        self._connect()  # whatever is wrong with files is said now
        stays_here = _is_this_machine(self._host) and not values["proxy"]
        if self._headers.get("Authorization") and not self._tls and not stays_here:
            raise SinkError(f"url: {self._url}: a secret would go over the network as it is; set url to https://...")

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Sends the body and returns the answer, whatever its status. Unreachable if there is none."""
        import urllib3

        if self._pool is None:
            try:
                self._connect()
            except SinkError as error:
                raise Unreachable(str(error)) from None
        sent = {**self._headers, **headers}
        if self._values["compress"]:
            body, sent = gzip.compress(body, _GZIP_LEVEL), sent | {"Content-Encoding": "gzip"}
        try:
            answer = self._pool.urlopen(
                "POST",
                self._url + path,
                body=body,
                headers=sent,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                enforce_content_length=True,
            )
            data = _read(answer)
        except urllib3.exceptions.SSLError as error:
            raise Unreachable(_reason(error, "the server's certificate is refused")) from None
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            raise Unreachable(_reason(error, "the connection broke")) from None
        return Answer(answer.status, data, answer.headers.get("Location", "") if 300 <= answer.status < 400 else "")

    def close(self) -> None:
        """Ends connections. The next request begins anew, and reads the files of certificates and secrets again."""
        if self._pool is not None:
            self._pool.clear()
            self._pool = None

    def _connect(self) -> None:
        try:
            import urllib3
        except ImportError:
            raise SinkError("the Python library urllib3 is missing; try: apt install python3-urllib3") from None
        values = self._values
        options: dict[str, Any] = {"num_pools": 1, "maxsize": 1}
        options["timeout"] = urllib3.Timeout(connect=values["timeout"], read=values["timeout"])
        if self._tls:
            from .tls import TlsFiles

            context = TlsFiles(values["ca"], values["certificate"] or "", values["key"] or "").context()
            if _is_address(self._host) and not values["server_name"]:
                context.check_hostname = False  # urllib3 1.26 tells OpenSSL no addresses; both 1.26 and 2 then check
            options |= {"ssl_context": context, "cert_reqs": "CERT_REQUIRED"}
            if values["server_name"]:
                options["server_hostname"] = values["server_name"]
        self._headers = {"User-Agent": "panorama", "Accept-Encoding": "identity"}
        if authorization := self._authorization():
            self._headers["Authorization"] = authorization
        proxy = values["proxy"]
        self._pool = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


def shown(text: str) -> str:
    """What a server said, for a message: no control characters, and not too long."""
    return bare(text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "...")


def _read(answer: Any) -> bytes:
    parts, size = [], 0
    while part := answer.read(65536):
        parts.append(part)
        size += len(part)
        if size > _LONGEST_ANSWER:
            answer.close()
            raise Unreachable(f"the server answers more than {_LONGEST_ANSWER >> 20} MiB")
    answer.release_conn()
    return b"".join(parts)


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _is_this_machine(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback if _is_address(host) else host == "localhost"


def _reason(error: BaseException, otherwise: str) -> str:
    """The outermost cause that has words for people."""
    causes = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the server's certificate is refused: {cause.verify_message.rstrip('.')}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {(cause.reason or str(cause)).lower().replace('_', ' ')}"
        if isinstance(cause, socket.gaierror):
            return f"the server's name cannot be resolved: {cause.strerror}"
        if isinstance(cause, TimeoutError):
            return "the server does not answer in time"
        if isinstance(cause, OSError) and cause.strerror:
            return f"the server cannot be reached: {cause.strerror}"
    return f"{otherwise}: {shown(str(error))}"
