# SPDX-License-Identifier: Apache-2.0
"""Programs that talk to others, against real servers on loopback: ssh, scp, sftp, rsync, curl, nc."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import Told
from .test_programs import check, given
from .test_sensor import python

pytestmark = pytest.mark.live

Tell = Callable[..., Told]
Start = Callable[..., "subprocess.Popen[bytes]"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


@dataclass
class Sshd:
    """A real sshd of the test's own, whose users' shells do nothing of their own."""

    port: int
    pid: int
    options: str


@pytest.fixture
def sshd(tmp_path: Path, started: Start) -> Sshd:
    folder = tmp_path / "ssh"
    folder.mkdir()
    Path("/run/sshd").mkdir(exist_ok=True)
    given(folder, "ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f id; cp id.pub allowed")
    port = free_port()
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/allowed\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPrintLastLog no\nPrintMotd no\nSubsystem sftp internal-sftp\n"
        "SetEnv BASH_ENV=/dev/null\n"
    )
    with open(folder / "log", "wb") as log:
        server = started("/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "config"), stderr=log)
    wait_for(port)
    time.sleep(0.2)  # the connection that asked is gone
    options = (
        f"-i {folder}/id -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile={folder}/known -o BatchMode=yes"
    )
    return Sshd(port, server.pid, options)


def test_scp_from_both_ends(told: Tell, sshd: Sshd, tmp_path: Path) -> None:
    """The client reads and its ssh connects; the server accepts, and its child writes."""
    given(tmp_path, "echo hello > f2.txt")
    run = told(f"scp -q -P {sshd.port} {sshd.options} f2.txt 127.0.0.1:{tmp_path}/f3.txt; true", also=(sshd.pid,))
    assert run.status == 0, run.output
    check(run.of("scp"), ["scp read f2.txt"])
    assert [line for line in run.of("ssh") if "connect" in line] == [f"ssh connect 127.0.0.1:{sshd.port}"]
    accepted = [line for line in run.lines if line.verb == "accept"]
    connected = next(line for line in run.lines if line.verb == "connect")
    assert [line.process.pid for line in accepted] == [sshd.pid]
    assert accepted[0].events[-1].remote == connected.events[-1].local
    assert connected.process.ppid == next(line.process.pid for line in run.lines if line.process.command == "scp")
    written = [line for line in run.lines if line.events[-1].file and line.events[-1].file.name == "f3.txt"]
    assert [(line.verb, line.events[-1].bytes_written) for line in written] == [("create", 6)]
    assert (tmp_path / "f3.txt").read_text() == "hello\n"


def test_ssh_runs_a_command_there(told: Tell, sshd: Sshd, tmp_path: Path) -> None:
    """What is done in the session is told as done by what did it."""
    given(tmp_path, "echo hello > a")
    script = f"ssh -p {sshd.port} {sshd.options} 127.0.0.1 'cat {tmp_path}/a > {tmp_path}/b'; true"
    run = told(script, also=(sshd.pid,))
    assert run.status == 0, run.output
    mine = [line for line in run.lines if line.events[-1].file and line.events[-1].file.path.startswith(f"{tmp_path}/")]
    assert [(line.verb, line.process.command) for line in mine if line.process.command == "cat"] == [
        ("read", "cat"),
        ("create", "cat"),
    ]
    assert [line for line in run.of("ssh") if "connect" in line] == [f"ssh connect 127.0.0.1:{sshd.port}"]
    assert len([line for line in run.lines if line.verb == "accept"]) == 1


def test_sftp_both_ways(told: Tell, sshd: Sshd, tmp_path: Path) -> None:
    """get reads there and makes here, put the other way round."""
    given(tmp_path, "echo there > there; echo here > here")
    (tmp_path / "batch").write_text(f"get {tmp_path}/there got\nput here {tmp_path}/put\n")
    run = told(f"sftp -q -P {sshd.port} {sshd.options} -b batch 127.0.0.1 >/dev/null; true", also=(sshd.pid,))
    assert run.status == 0, run.output
    assert sorted(run.of("sftp")) == ["sftp create got", "sftp read batch", "sftp read here"]
    server = [line for line in run.of("sshd", "sshd-session") if line.endswith((" there", " put"))]
    assert [line.split(" ", 1)[1] for line in server] == ["read there", "create put"]


def test_rsync_of_a_tree(told: Tell, tmp_path: Path) -> None:
    """A temporary name for each file, then its own: true operations, each of them."""
    given(tmp_path, "mkdir -p a/d; echo 1 > a/1; echo 2 > a/d/2; chmod 640 a/1")
    run = told("rsync -a a/ b/; true")
    wanted = [
        "rsync create .1.??????",
        "rsync create .2.??????",
        "rsync mkdir b",
        "rsync mkdir d",
        "rsync read 1",
        "rsync read 2",
        "rsync rename .1.?????? -> 1",
        "rsync rename .2.?????? -> 2",
    ]
    check(sorted(run.words), wanted)


def test_curl_against_a_server(told: Tell, started: Start, tmp_path: Path) -> None:
    """One connection, one file made; the server accepts and reads."""
    given(tmp_path, "mkdir www; echo page > www/page")
    port = free_port()
    server = started(
        "/usr/bin/python3", "-m", "http.server", "-b", "127.0.0.1", "-d", str(tmp_path / "www"), str(port),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(port)
    run = told(f"curl -s -q -o got http://127.0.0.1:{port}/page; true", also=(server.pid,))
    assert (tmp_path / "got").read_text() == "page\n"
    assert run.of("curl") == [f"curl connect 127.0.0.1:{port}", "curl create got"]
    check(run.of("python3"), ["python3 accept 127.0.0.1:*", "python3 read page"])


def test_curl_by_name(told: Tell, started: Start, tmp_path: Path) -> None:
    """A name with several addresses: the ones only sorted by the resolver are no connections."""
    port = free_port()
    started("/usr/bin/python3", "-m", "http.server", "-b", "127.0.0.1", "-d", str(tmp_path), str(port),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    wait_for(port)
    run = told(f"curl -4 -s -q -o got http://localhost:{port}/; true")
    assert [line for line in run.of("curl") if "connect" in line] == [f"curl connect 127.0.0.1:{port}"]


def test_nc_both_ends(told: Tell, tmp_path: Path) -> None:
    """One listens and accepts, the other connects; what came is written where the shell put it."""
    port = free_port()
    script = (
        f"nc -l 127.0.0.1 {port} > got & for i in $(seq 100); do sleep 0.05; "
        f"ss -ltn | grep -q :{port} && break; done; echo hi | nc -N 127.0.0.1 {port}; wait"
    )
    run = told(script)
    assert (tmp_path / "got").read_text() == "hi\n"
    check(
        sorted(run.of("nc")),
        ["nc accept 127.0.0.1:*", f"nc connect 127.0.0.1:{port}", "nc create got", f"nc listen 127.0.0.1:{port}"],
    )


def test_a_script_that_sends_a_file(told: Tell, tmp_path: Path) -> None:
    """sendfile(2) from a file into a socket is a read of the file."""
    given(tmp_path, "echo hello > a")
    run = told(
        python(
            """
            import os, socket
            s = socket.create_server(("127.0.0.1", 0))
            c = socket.create_connection(s.getsockname())
            a, _ = s.accept()
            with open("a", "rb") as f:
                os.sendfile(c.fileno(), f.fileno(), 0, 6)
            a.recv(9)
            """
        )
    )
    check(run.words, ["python3 listen *", "python3 connect *", "python3 accept *", "python3 read a"])
