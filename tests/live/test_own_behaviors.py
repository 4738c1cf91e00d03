# SPDX-License-Identifier: Apache-2.0
"""Behaviors that the shipped ones do not need: every other trigger, on a sensor that was asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Told, Watcher, open_sensor
from .test_programs import check, given
from .test_sensor import python

pytestmark = pytest.mark.live

Tell = Callable[..., Told]

STEPS = """
behavior: steps
summary: Each step of a process at once, in its order.
layer: operation
per: process
initial: any
transitions:
- {trigger: open,   source: any, emit: "opened {file}"}
- {trigger: read,   source: any, emit: "begins_reading {file}"}
- {trigger: write,  source: any, emit: "begins_writing {file}"}
- {trigger: close,  source: any, emit: "closed {file}"}
- {trigger: rename, source: any, emit: "moved {file} -> {to}"}
- {trigger: bind,   source: any, emit: "bound {local}"}
- {trigger: fork,   source: any, emit: "forked"}
- {trigger: exec,   source: any, emit: "started {exe}"}
- {trigger: exit,   source: any, emit: "ended {status}"}
"""

TRAFFIC = """
behavior: traffic
summary: What a connection carried.
layer: operation
per: connection
initial: new
transitions:
- {trigger: connect, source: new, dest: open}
- {trigger: accept,  source: new, dest: open}
- {trigger: send,    source: [new, open], dest: open}
- {trigger: recv,    source: [new, open], dest: open}
- {trigger: close,   source: open, emit: "traffic {remote} in {bytes_read} out {bytes_written}"}
"""

WAITS = """
behavior: waits
summary: A marker that was not taken away soon.
layer: operation
per: process
initial: idle
states: {marked: {timeout: 200ms}}
transitions:
- {trigger: mkdir,   source: idle,   dest: marked, conditions: {name: marker}, save: {where: file}}
- {trigger: rmdir,   source: marked, conditions: {file: where}}
- {trigger: timeout, source: marked, emit: "left {where}"}
"""

FAMILY = """
behavior: family
summary: A parent whose child made a file.
layer: operation
per: process
match: {command: [bash, python3]}
initial: idle
transitions:
- {trigger: child.mkdir, source: idle, emit: "had_made {file}"}
"""

PACK = """
behavior: pack
summary: A file replaced by its compressed self.
layer: activity
match: {command: gzip}
per: process
severity: notice
initial: idle
transitions:
- {trigger: read,   source: idle,    dest: reading, save: {plain: file}}
- {trigger: create, source: reading, dest: written, save: {packed: file}}
- {trigger: remove, source: written, conditions: {file: plain}, emit: "compress {plain} -> {packed}"}
"""


def sensor_for(folder: Path, **texts: str) -> Watcher:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
        (folder / f"{name}.yaml").chmod(0o644)
    folder.chmod(0o755)
    return open_sensor([folder])


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watcher]:
    folder = tmp_path_factory.mktemp("steps")
    found = sensor_for(folder, steps=STEPS, traffic=TRAFFIC, waits=WAITS, family=FAMILY)
    yield found
    found.sensor.kernel.close()


def test_steps_come_one_by_one_and_in_order(steps: Watcher, tmp_path: Path) -> None:
    """A machine for each process sees open, read, write, close and rename as they happen, across files."""
    given(tmp_path, "echo a > a")
    run = steps.run(
        python(
            """
            import os
            a = os.open("a", os.O_RDONLY)
            b = os.open("b", os.O_WRONLY | os.O_CREAT)
            os.read(a, 9)
            os.write(b, b"x")
            os.rename("b", "c")
            os.close(a)
            """
        ),
        tmp_path,
    )
    wanted = ["opened a", "opened b", "begins_reading a", "begins_writing b", "moved b -> c", "closed a", "closed c"]
    check(
        [line for line in run.of("python3") if line.split()[1] not in ("started", "ended")],
        [f"python3 {w}" for w in wanted],
    )


def test_the_life_of_processes(steps: Watcher, tmp_path: Path) -> None:
    """fork, exec, and exit with its status: 7 << 8 for exit(7), 9 for SIGKILL (wait(2))."""
    run = steps.run("sh -c 'exit 7'; sh -c 'kill -9 $$'; true", tmp_path)
    shown = [line for line in run.words if line.split()[1] in ("forked", "started", "ended")]
    check(
        shown,
        [
            "bash forked",
            "sh started /usr/bin/dash",
            "sh ended 1792",
            "bash forked",
            "sh started /usr/bin/dash",
            "sh ended 9",
            "bash ended 0",
        ],
    )


def test_what_connections_carried(steps: Watcher, tmp_path: Path) -> None:
    """Bytes both ways by whatever syscall, on both ends, when the connection is let go."""
    run = steps.run(
        python(
            """
            import os, socket
            s = socket.create_server(("127.0.0.1", 0))
            c = socket.create_connection(s.getsockname())
            a, _ = s.accept()
            c.send(b"12345"); os.write(c.fileno(), b"67"); c.sendmsg([b"8"])
            got = b""
            while len(got) < 8: got += a.recv(2)
            a.sendall(b"ok")
            os.read(c.fileno(), 9)
            c.close(); a.close()
            """
        ),
        tmp_path,
    )
    traffic = [line for line in run.words if " traffic " in line]
    check(traffic, ["python3 traffic 127.0.0.1:* in 2 out 8", "python3 traffic 127.0.0.1:* in 8 out 2"])
    assert [line for line in run.words if " bound " in line] == [
        line for line in run.words if line.startswith("python3 bound 127.0.0.1:")
    ]


def test_timeouts(steps: Watcher, tmp_path: Path) -> None:
    """What did not happen in time is told; what did is not."""
    run = steps.run(
        'mkdir marker; exec -a x python3 -ISc \'import os,time; os.mkdir("d"); os.chdir("d"); os.mkdir("marker"); os.rmdir("marker"); os.mkdir("marker"); time.sleep(0.6)\'',
        tmp_path,
    )
    assert [line for line in run.words if " left " in line] == ["python3 left marker"]


def test_a_child_s_work_reaches_its_parent(steps: Watcher, tmp_path: Path) -> None:
    """child.mkdir is the parent's trigger, and the line is the parent's."""
    run = steps.run("mkdir d; true", tmp_path)
    assert [line for line in run.words if "had_made" in line] == ["bash had_made d"]


def test_activities_are_made_of_operations(tmp_path: Path) -> None:
    """The second layer on the first one's lines, live."""
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("file.yaml", "name.yaml"):
        text = (Path(__file__).parents[2] / "behaviors" / name).read_text()
        (folder / name).write_text(text)
    found = sensor_for(folder, pack=PACK)
    try:
        given(tmp_path, "echo g > g")
        run = found.run("gzip g; true", tmp_path)
    finally:
        found.sensor.kernel.close()
    check(run.words, ["gzip read g", "gzip create g.gz", "gzip remove g", "gzip compress g -> g.gz"])
    assert run.lines[-1].severity == "notice"
    assert [event.triggers[0] for event in run.lines[-1].events] == ["open", "open", "unlink"]
