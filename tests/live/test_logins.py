# SPDX-License-Identifier: Apache-2.0
"""Logins by a real sshd that are older than the sensor: where they came from, whose they are, and who belongs to them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from panorama.event import Address, Event, Item, Login, Member
from panorama.paths import BEHAVIORS
from panorama.sensor.kernel import Demand
from panorama.sensor.live import Sensor

# sshd is a fixture
from .test_network import Sshd, free_port, sshd, wait_for  # noqa: F401
from .test_programs import given

pytestmark = pytest.mark.live

Start = Callable[..., "subprocess.Popen[bytes]"]


@dataclass
class Session:
    """A login whose shell waits until `folder`/gate is written to, then makes a directory there."""

    folder: Path
    shell: int
    remote: Address

    def go_on(self) -> None:
        (self.folder / "gate").write_text("\n")


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can use."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


@contextmanager
def logged_in(
    server: Sshd, folder: Path, options: str = "", who: str = "root@127.0.0.1", first: str = ":"
) -> Iterator[Session]:
    given(folder, "mkfifo gate; chmod 666 gate")
    script = f"cd {folder}; {first}; echo $SSH_CONNECTION $$ > told.new; mv told.new told; read x < gate; mkdir done; :"
    command = f"exec ssh -p {server.port} {server.options} {options} {who} '{script}'"
    with subprocess.Popen(["/bin/bash", "-c", command], stdin=subprocess.DEVNULL) as client:
        until((folder / "told").exists)
        host, port, _, _, shell = (folder / "told").read_text().split()
        yield Session(folder, int(shell), Address("inet6" if ":" in host else "inet", host, int(port)))
        assert client.wait(20) == 0


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def go_on_to_the_end(session: Session) -> None:
    session.go_on()
    until((session.folder / "done").exists)
    until(lambda: not psutil.pid_exists(session.shell))


def heard(sensor: Sensor, session: Session) -> list[Item]:
    """All that comes while the session goes on and ends."""
    items: list[Item] = []
    go_on_to_the_end(session)
    quiet = time.monotonic() + 1
    while time.monotonic() < quiet:
        items += sensor.poll(0.1)
    return items


def sensed(session: Session) -> list[Item]:
    with Sensor(Demand(frozenset({"fork", "mkdir"}))) as sensor:
        sensor.start()
        return heard(sensor, session)


def members_of(items: list[Item], session: Session) -> dict[int, Member]:
    """By pid; each is told of once, and before any event of the process."""
    found: dict[int, Member] = {}
    active: set[tuple[int, int]] = set()
    for item in items:
        if isinstance(item, Event):
            active.add(item.process.key)
        elif isinstance(item, Member) and item.login.remote == session.remote:
            assert item.process.pid not in found
            assert item.process.key not in active
            found[item.process.pid] = item
    return found


def below(pid: int) -> set[int]:
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}


def test_all_of_a_login_is_told_of_before_it_does_anything(sshd: Sshd, tmp_path: Path) -> None:  # noqa: F811
    """sshd's own process, and the shell; not the sshd that listens, nor anybody else."""
    with logged_in(sshd, tmp_path) as session:
        there = below(sshd.pid)
        items = sensed(session)
    found = members_of(items, session)
    assert session.shell in there
    assert set(found) == there
    assert {member.login for member in found.values()} == {Login(session.remote, "root")}
    made = [item for item in items if isinstance(item, Event) and item.file and item.file.path == f"{tmp_path}/done"]
    assert [event.process.ppid for event in made] == [session.shell]
    shell = found[session.shell].process
    assert (made[0].process.parent_start, made[0].process.parent_exe) == (shell.start, shell.exe)


def test_a_login_is_that_of_the_audit_uid(sshd: Sshd, tmp_path: Path) -> None:  # noqa: F811
    """It stays, whoever runs the shell."""
    with logged_in(sshd, tmp_path, first="echo 65534 > /proc/self/loginuid") as session:
        found = members_of(sensed(session), session)
    assert found[session.shell].login == Login(session.remote, "nobody")
    assert found[session.shell].process.user == "root"


def test_without_an_audit_uid_it_is_that_of_the_first_program(
    sshd: Sshd,  # noqa: F811
    tmp_path: Path,
    public: Path,
    started: Start,
) -> None:
    """Of a user that only this sshd knows by name, over IPv6."""
    passwd = public / "passwd"
    passwd.write_text(Path("/etc/passwd").read_text() + f"guest:x:4711:4711::{public}:/bin/sh\n")
    given(public, f"cp {tmp_path}/ssh/allowed . ; chmod 644 allowed passwd")
    port = free_port()
    config = f"-f {tmp_path}/ssh/config -o AuthorizedKeysFile={public}/allowed -o ListenAddress=::1 -p {port}"
    script = f"mount --bind {passwd} /etc/passwd; exec /usr/sbin/sshd -D -e {config} 2>{public}/log"
    server = started("unshare", "--mount", "sh", "-c", script)
    wait_for(port)
    with logged_in(Sshd(port, server.pid, sshd.options), public, who="guest@::1") as session:
        there = below(server.pid)
        found = members_of(sensed(session), session)
    assert set(found) == there
    assert {member.login for member in found.values()} == {Login(session.remote, "4711")}


def test_what_a_login_forwards_is_not_where_it_came_from(sshd: Sshd, tmp_path: Path) -> None:  # noqa: F811
    """sshd then has other connections, in both directions."""
    out, back = free_port(), free_port()
    with socket.create_server(("127.0.0.1", 0)) as target:
        port = target.getsockname()[1]
        options = f"-L {out}:127.0.0.1:{port} -R {back}:127.0.0.1:{port}"
        with logged_in(sshd, tmp_path, options) as session:
            forwarding = psutil.Process(session.shell).ppid()
            ends = [(socket.create_connection(("127.0.0.1", each)), target.accept()[0]) for each in (out, back)]
            found = members_of(sensed(session), session)
            for end in sum(ends, ()):
                end.close()
    assert {session.shell, forwarding} <= found.keys()


def test_a_process_that_is_followed_belongs_to_its_login(sshd: Sshd, tmp_path: Path) -> None:  # noqa: F811
    with logged_in(sshd, tmp_path) as session, Sensor(Demand(frozenset({"mkdir"})), follow=True) as sensor:
        sensor.start()
        sensor.follow(session.shell)
        items = heard(sensor, session)
    assert members_of(items, session)[session.shell].login == Login(session.remote, "root")


LOGIN = """
behavior: login
summary: Where sshd's own come from.
layer: activity
per: process
match: {exe: /usr/sbin/sshd}
severity: notice
initial: idle
transitions:
- {trigger: accept, source: idle, login: remote, emit: "login from {remote}"}
"""


def test_a_recording_has_the_logins_and_a_replay_tells_of_them(sshd: Sshd, tmp_path: Path) -> None:  # noqa: F811
    """Made in a network namespace of its own, as a service's is: what is read there is everybody's."""
    panorama, trace, said = [sys.executable, "-m", "panorama"], tmp_path / "trace.jsonl", tmp_path / "said"
    (tmp_path / "login.yaml").write_text(LOGIN)
    files = [BEHAVIORS / "directory.yaml", BEHAVIORS / "connection.yaml", tmp_path / "login.yaml"]
    behaviors = [word for file in files for word in ("-b", str(file))]
    with logged_in(sshd, tmp_path) as session, said.open("w") as errors:
        command = ["unshare", "--net", *panorama, "record", *behaviors, "-o", str(trace)]
        with subprocess.Popen(command, stderr=errors) as recorder:
            until(lambda: "recording" in said.read_text())
            go_on_to_the_end(session)
            recorder.send_signal(signal.SIGINT)
    command = [*panorama, "replay", *behaviors, "--format", "json", str(trace)]
    done = subprocess.run(command, capture_output=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    [made] = [line for line in lines if line.get("file", {}).get("path") == f"{tmp_path}/done"]
    remote = {"host": session.remote.host, "port": session.remote.port}
    assert made["session"] == {"remote": remote, "user": "root"}
