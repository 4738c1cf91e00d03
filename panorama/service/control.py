# SPDX-License-Identifier: Apache-2.0
"""The control socket: root asks the running service a word, and gets one JSON object back.

A UNIX stream socket of mode 0600; who connects has to be root, which the kernel tells (SO_PEERCRED, unix(7)). A request
is one word and a newline, an answer one line. Served between two rounds of the event loop; a client gets no more of its
time than a fraction of a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import PanoramaError

__all__ = ["Control", "NotRunning", "ask"]

_PATIENCE = 0.2  # s for a client to say its word
_ANSWER_SECONDS = 5.0
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_MOST_ANSWER = 16 << 20

Answer = Callable[[], Mapping[str, Any]]


class NotRunning(PanoramaError):
    """No service answers. Exit status 3."""

    status = 3


class Control:
    """`answer` says what to give for a word. The socket is there until `close`; one left by a killed service goes.

    Raises PanoramaError if another service answers on it, or if it cannot be made.
    """

    def __init__(self, path: Path | None = None) -> None:
        path = path or _usual()
        self._answers: dict[str, Answer] = {}
        self._path = path
        if _answered(path):
            raise PanoramaError(f"{path}: another Panorama runs as a service; try: panorama status")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.unlink(missing_ok=True)
            self._socket.bind(str(path))
            path.chmod(0o600)
        except OSError as error:
            raise PanoramaError(f"{path}: cannot be made: {error.strerror or error}") from None
        self._socket.listen(8)

    def answer(self, word: str, give: Answer) -> None:
        """Who asks for `word` gets what `give` returns."""
        self._answers[word] = give

    def fileno(self) -> int:
        """Readable when somebody asks."""
        return self._socket.fileno()

    def serve(self) -> None:
        """Answers all who wait."""
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:  # nobody (BlockingIOError), or somebody who has left again
                return
            with client, contextlib.suppress(OSError):
                self._answer(client)

    def close(self) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _answer(self, client: socket.socket) -> None:
        _, uid, _ = _CREDENTIALS.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if uid != 0:
            return
        client.settimeout(_PATIENCE)
        word = client.recv(64).decode("ascii", "replace").strip()
        answer = self._answers.get(word)
        said = answer() if answer else {"error": f"unknown word '{word}'; there are {', '.join(self._answers)}"}
        client.sendall(json.dumps(said).encode() + b"\n")


def _answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _usual() -> Path:
    """The service's socket; systemd's RuntimeDirectory= says where that is (systemd.exec(5))."""
    return Path(os.environ.get("RUNTIME_DIRECTORY", "/run/panorama")) / "control.sock"


def ask(word: str, path: Path | None = None) -> dict[str, Any]:
    """The running service's answer. NotRunning if there is none, PanoramaError if this is not root's to ask."""
    path = path or _usual()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(str(path))
            connection.sendall(f"{word}\n".encode())
            data = b""
            while len(data) < _MOST_ANSWER and (part := connection.recv(1 << 16)):
                data += part
        except PermissionError:
            raise PanoramaError(f"{path}: only root may ask; try: sudo panorama {word}") from None
        except TimeoutError:
            raise NotRunning(f"{path}: the service does not answer; see: systemctl status panorama") from None
        except OSError:
            raise NotRunning("no service runs; try: systemctl start panorama") from None
    try:
        answer = json.loads(data)
    except ValueError:
        raise NotRunning(f"{path}: the service went away while it answered") from None
    if "error" in answer:
        raise PanoramaError(f"{path}: {answer['error']}")
    return dict(answer)
