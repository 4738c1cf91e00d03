# SPDX-License-Identifier: Apache-2.0
"""HTTP servers on loopback that answer as Elasticsearch and Splunk do, keep what they get, and fail when told to."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import ssl
import struct
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Document = dict[str, Any]


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Failure:
    """What happens instead of an answer. `seconds` passes first; `cut` ends the connection within the answer.

    With `late` the request is carried out nevertheless, only that nobody hears of it.
    """

    status: int = 0
    body: bytes = b"{}"
    seconds: float = 0.0
    cut: bool = False
    reset: bool = False
    late: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """Listens while it is open; `failures` are used up one by one, each by a request."""

    def __init__(self, tls: ssl.SSLContext | None = None, authorization: str = "") -> None:
        self.requests: list[Request] = []
        self.failures: deque[Failure] = deque()
        self.connections = 0
        self.authorization = authorization
        self._tls = tls
        self._port = 0
        self._open: set[socket.socket] = set()
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.address}"

    def start(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                outer.connections += 1
                outer._open.add(self.request)
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer._take(self, body)

            def log_message(self, *_: object) -> None:
                pass

        class Threads(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def finish_request(self, request: Any, client: Any) -> None:
                if outer._tls:
                    request.settimeout(5)
                    request = outer._tls.wrap_socket(request, server_side=True)
                super().finish_request(request, client)

            def handle_error(self, *_: object) -> None:
                pass

        self._http = Threads(("127.0.0.1", self._port), Handler)
        self._port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Nobody listens any more, and connections end."""
        self._http.shutdown()
        self._http.server_close()
        self.hang_up()

    def hang_up(self) -> None:
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _take(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = Request(handler.path, dict(handler.headers.items()), body)
        self.requests.append(request)
        failure = self.failures.popleft() if self.failures else None
        if failure is None and self.authorization and handler.headers.get("Authorization") != self.authorization:
            failure = Failure(401, b'{"error":"no"}')
        status, answer = (failure.status, failure.body) if failure else self.answer(request)
        if failure and (failure.late or failure.cut):
            status, answer = self.answer(request)
        if failure and failure.seconds:
            time.sleep(failure.seconds)
        if failure and failure.reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
            handler.close_connection = True
            return
        handler.send_response(status)
        for name, value in (failure.headers if failure else {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        if failure and failure.cut:
            handler.wfile.write(answer[: len(answer) // 2])
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        else:
            handler.wfile.write(answer)

    def answer(self, request: Request) -> tuple[int, bytes]:
        raise NotImplementedError


class Tunnel:
    """A proxy that knows CONNECT, and keeps where it was asked to go; it goes to `target` whatever that was."""

    def __init__(self, target: str) -> None:
        self.asked: list[bytes] = []
        self._target = target.rsplit(":", 1)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.asked.append(near.recv(4096).split(b"\r\n")[0])
                far = socket.create_connection((self._target[0], int(self._target[1])))
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=_copy, args=ends, daemon=True).start()


def _copy(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            to.sendall(data)
    to.close()


class Elasticsearch(Server):
    """The bulk API as documented: create, 409 for an `_id` that is there; `items` are failures of single documents."""

    def __init__(self, tls: ssl.SSLContext | None = None, authorization: str = "") -> None:
        super().__init__(tls, authorization)
        self.documents: dict[str, Document] = {}
        self.sources: dict[str, str] = {}  # the same as they came
        self.offered: Counter[str] = Counter()
        self.items: dict[str, list[tuple[int, str]]] = {}  # object of the line -> statuses and reasons, one each time
        self.longest = 1 << 30  # http.max_content_length

    @property
    def sequences(self) -> list[int]:
        return [document.get("sequence") or document["event"]["sequence"] for document in self.documents.values()]

    def answer(self, request: Request) -> tuple[int, bytes]:
        if len(request.body) > self.longest:
            return 413, b""
        rows = request.body.decode().split("\n")
        assert rows[-1] == ""
        assert request.headers["Content-Type"] == "application/x-ndjson"
        results = []
        for action, source in zip(rows[:-1:2], rows[1:-1:2], strict=True):
            ((operation, about),) = json.loads(action).items()
            assert operation == "create"
            id = about.get("_id", f"auto-{len(self.documents)}")
            self.sources[id] = source
            results.append({"create": self._create(id, json.loads(source))})
        errors = any("error" in result["create"] for result in results)
        return 200, json.dumps({"took": 1, "errors": errors, "items": results}).encode()

    def _create(self, id: str, document: Document) -> Document:
        assert "@timestamp" in document
        failures = self.items.get(document.get("object", ""), [])
        if failures:
            status, reason = failures.pop(0)
            return {"_id": id, "status": status, "error": {"type": "exception_of_the_test", "reason": reason}}
        self.offered[id] += 1
        if id in self.documents:
            error = {"type": "version_conflict_engine_exception", "reason": "document already exists"}
            return {"_id": id, "status": 409, "error": error}
        self.documents[id] = document
        return {"_index": "x", "_id": id, "_version": 1, "result": "created", "status": 201}


class Splunk(Server):
    """The event collector as documented, with acknowledgement for those who come with a channel."""

    def __init__(self, tls: ssl.SSLContext | None = None, authorization: str = "") -> None:
        super().__init__(tls, authorization)
        self.events: list[Document] = []
        self.bad = ""  # an event with this object has invalid data
        self.acknowledges = True
        self.indexing = True  # whether what was taken gets indexed
        self._acks: Counter[str] = Counter()

    def answer(self, request: Request) -> tuple[int, bytes]:
        channel = request.headers.get("X-Splunk-Request-Channel", "")
        if request.path == "/services/collector/ack":
            acks = json.loads(request.body)["acks"]
            known = {str(ack): self.indexing and ack < self._acks[channel] for ack in acks}
            return 200, json.dumps({"acks": known}).encode()
        if request.path != "/services/collector/event":
            return 404, b'{"text":"The requested URL was not found on this server.","code":404}'
        decoder, text, at = json.JSONDecoder(), request.body.decode(), 0
        events = []
        while at < len(text):
            event, at = decoder.raw_decode(text, at)
            events.append(event)
            at += text[at:] != "" and text[at] == "\n"
            if self.bad and self.bad in json.dumps(event["event"]):
                return 400, json.dumps({"text": "Invalid data format", "code": 6, "invalid-event-number": 0}).encode()
        self.events += events
        said: Document = {"text": "Success", "code": 0}
        if channel and self.acknowledges:
            said["ackId"] = self._acks[channel]
            self._acks[channel] += 1
        return 200, json.dumps(said).encode()
