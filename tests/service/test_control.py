# SPDX-License-Identifier: Apache-2.0
"""The control socket: for root alone, one answer for one word, and never in the way."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from panorama.errors import PanoramaError
from panorama.service.control import Control, NotRunning, ask

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the service is root's")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


@pytest.fixture
def control(path: Path) -> Iterator[Control]:
    control = Control(path)
    control.answer("status", lambda: {"lines": 3})
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            control.serve()
            time.sleep(0.01)

    thread = threading.Thread(target=serve)
    thread.start()
    yield control
    ending.set()
    thread.join()
    control.close()


@as_root
def test_a_word_is_answered_with_an_object(control: Control, path: Path) -> None:
    assert ask("status", path) == {"lines": 3}


@as_root
def test_an_unknown_word_is_told_with_those_there_are(control: Control, path: Path) -> None:
    with pytest.raises(PanoramaError, match="unknown word 'stop'; there are status"):
        ask("stop", path)


def test_only_its_owner_can_open_it(control: Control, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@as_root
def test_another_user_gets_nothing_even_where_the_file_lets_him_in(control: Control, path: Path) -> None:
    path.chmod(0o666)
    for folder in (path.parent, *path.parents[1:4]):
        folder.chmod(folder.stat().st_mode | 0o011)
    program = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.send(b'status\\n'); print(s.recv(99))"
    asked = subprocess.run(
        ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", sys.executable, "-c", program, str(path)],
        capture_output=True,
        timeout=30,
    )
    assert b"lines" not in asked.stdout + asked.stderr
    assert asked.stdout in (b"", b"b''\n")


@as_root
def test_a_client_that_says_nothing_holds_up_nobody_for_long(control: Control, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(path))
        assert ask("status", path) == {"lines": 3}


def test_without_a_service_it_says_so_with_status_3(path: Path) -> None:
    with pytest.raises(NotRunning, match="no service runs; try: systemctl start panorama") as caught:
        ask("status", path)
    assert caught.value.status == 3


def test_a_socket_left_by_a_killed_service_is_replaced(path: Path) -> None:
    first = Control(path)
    first._socket.close()  # as kill -9 does: the file stays
    assert path.exists()
    second = Control(path)
    second.close()
    assert not path.exists()


@as_root
def test_a_second_service_is_refused(control: Control, path: Path) -> None:
    with pytest.raises(PanoramaError, match="another Panorama runs as a service"):
        Control(path)
