# SPDX-License-Identifier: Apache-2.0
"""What is known of a program from the moment it starts: the file that was executed, and who is at its standard streams."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from panorama.event import Address, Event, File

from .conftest import Told
from .test_programs import given
from .test_sensor import python

pytestmark = pytest.mark.live

Tell = Callable[..., Told]

TRUE = os.path.realpath("/usr/bin/true")


def started(run: Told, exe: str = TRUE) -> list[Event]:
    """The starts of this program, or of scripts that it is the interpreter of."""
    return [event for event in run.events if event.triggers == ("exec",) and event.process.exe == exe]


def executed(run: Told, exe: str = TRUE) -> list[tuple[str, str]]:
    """Path and mark of what was executed."""
    return [(event.file.path, event.file.mark) for event in started(run, exe) if event.file]


def script(path: Path, interpreter: str = "/bin/true") -> None:
    path.write_text(f"#!{interpreter}\n")
    path.chmod(0o755)


# The file that was executed


def test_a_program_is_its_own_executable(told: Tell, tmp_path: Path) -> None:
    """By its path, through links, by way of PATH, and where it is among its own arguments, whole or as a long list's end."""
    given(tmp_path, "ln -s /bin/true link")
    long = "x" * 4070
    run = told(f"/usr/bin/true; ./link; enable -n true; true; /bin/true /bin/true; true {long} /bin/true; :")
    assert executed(run) == [(TRUE, "")] * 5


def test_a_script_is_what_was_executed(told: Tell, tmp_path: Path) -> None:
    """Not its interpreter: by a relative path, an absolute one, a link, a directory's link, and by way of PATH."""
    (tmp_path / "d" / "e").mkdir(parents=True)
    script(tmp_path / "d" / "run")
    given(tmp_path, "ln -s d/run link; ln -s d/e folder")
    run = told("d/run; $PWD/d/run -x; ./link; cd d; ../folder/../run; PATH=$PWD:$PATH; cd /; run; :")
    assert executed(run) == [(f"{tmp_path}/d/run", "")] * 5
    assert {event.process.argv[0] for event in started(run)} == {"/bin/true"}


def test_a_script_that_is_given_to_its_interpreter_is_not_executed(told: Tell, tmp_path: Path) -> None:
    script(tmp_path / "run", "/bin/sh")
    run = told("sh run; sh ./run; :")
    shell = os.path.realpath("/bin/sh")
    assert executed(run, shell) == [(shell, "")] * 2


def test_the_interpreter_of_a_script_may_be_a_script(told: Tell, tmp_path: Path) -> None:
    script(tmp_path / "inner")
    script(tmp_path / "outer", f"{tmp_path}/inner -i")
    run = told("./outer; ./inner; :")
    assert executed(run) == [(f"{tmp_path}/outer", ""), (f"{tmp_path}/inner", "")]


def test_a_script_that_has_the_name_of_its_interpreter(told: Tell, tmp_path: Path) -> None:
    script(tmp_path / "true")
    assert executed(told("./true; :")) == [(f"{tmp_path}/true", "")]


def test_a_name_that_is_longer_than_the_arguments_that_are_kept(told: Tell, tmp_path: Path) -> None:
    """A path may be as long as all that is read of the arguments together."""
    script(tmp_path / "run")
    name = f"{tmp_path}/{'./' * ((4090 - len(str(tmp_path))) // 2)}run"
    run = told(f"{name}; :")
    assert executed(run) == [(f"{tmp_path}/run", "")]


def test_a_script_that_is_gone_has_the_path_that_was_given(
    told: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It removes itself before its path's links can be followed."""
    monkeypatch.setattr("panorama.sensor.kernel._GATHER", 2.0)  # s until records are read
    (tmp_path / "run").write_text("#!/bin/sh\nrm run; :\n")
    (tmp_path / "run").chmod(0o755)
    run = told("./run; :")
    assert executed(run, os.path.realpath("/bin/sh")) == [(f"{tmp_path}/run", "given")]


def test_what_is_executed_by_its_descriptor(told: Tell, tmp_path: Path) -> None:
    """execveat(2) of a program, of a script, of one by a directory's descriptor, and of one that has no name at all."""
    script(tmp_path / "run")
    run = told(
        python(
            """
            import ctypes, os
            def start(fd, name=b""):
                os.set_inheritable(fd, True)
                if os.fork() == 0:
                    words, none = (ctypes.c_char_p * 2)(b"x", None), (ctypes.c_char_p * 1)(None)
                    ctypes.CDLL(None).execveat(fd, name, words, none, 0 if name else 0x1000)
                    os._exit(1)
                os.wait()
            start(os.open("/usr/bin/true", os.O_RDONLY))
            start(os.open("run", os.O_RDONLY))
            start(os.open(".", os.O_RDONLY), b"run")
            memory = os.memfd_create("hidden", 0)
            os.write(memory, b"#!/bin/true")
            start(memory)
            """
        )
    )
    assert executed(run) == [(TRUE, ""), *[(f"{tmp_path}/run", "")] * 2, ("memfd:hidden", "unreachable")]


def test_a_script_below_another_root(told: Tell, tmp_path: Path) -> None:
    """Its path is that outside; its links are not followed, for they may mean something else in there."""
    libraries = "$(ldd /bin/true | grep -o '/[^ ]*')"
    given(tmp_path, f"mkdir -p root/bin; cp /bin/true root/bin; cp --parents {libraries} root")
    script(tmp_path / "root" / "run", "/bin/true")
    run = told("chroot root /run; :")
    assert executed(run, f"{tmp_path}/root/bin/true") == [(f"{tmp_path}/root/run", "given")]


# Who is at the other end


@pytest.mark.parametrize(
    ("family", "host", "kind", "protocol"),
    [
        (socket.AF_INET, "127.0.0.1", socket.SOCK_STREAM, "tcp"),
        (socket.AF_INET6, "::1", socket.SOCK_STREAM, "tcp"),
        (socket.AF_INET, "127.0.0.1", socket.SOCK_DGRAM, "udp"),
    ],
)
@pytest.mark.parametrize("fd", [0, 1])
def test_a_program_at_a_connection(
    told: Tell, family: socket.AddressFamily, host: str, kind: socket.SocketKind, protocol: str, fd: int
) -> None:
    """A program whose standard input or output is a connection says so at its start: which, and both ends."""
    with socket.socket(family, kind) as server:
        server.bind((host, 0))
        if kind == socket.SOCK_STREAM:
            server.listen()
        port = server.getsockname()[1]
        run = told(
            python(
                f"""
                import os, socket
                s = socket.socket({int(family)}, {int(kind)})
                s.connect(("{host}", {port}))
                print(s.getsockname()[1], os.fstat(s.fileno()).st_ino, flush=True)
                os.dup2(s.fileno(), {fd})
                os.execv("/usr/bin/true", ["true"])
                """
            )
        )
    [event] = started(run)
    own_port, inode = map(int, run.output.split())
    name = "inet6" if ":" in host else "inet"
    assert (event.remote, event.local) == (Address(name, host, port), Address(name, host, own_port))
    assert (event.protocol, event.session, event.fd) == (protocol, inode, fd)
    assert event.file == File(TRUE, kind="file")


def test_standard_input_comes_first(told: Tell) -> None:
    """Where both are connections."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [each.getsockname()[1] for each in (one, other)]
        run = told(
            python(
                f"""
                import os, socket
                both = [socket.create_connection(("127.0.0.1", port)) for port in {ports}]
                for fd in 0, 1:
                    os.dup2(both[fd].fileno(), fd)
                os.execv("/usr/bin/true", ["true"])
                """
            )
        )
    [event] = started(run)
    assert (event.fd, event.remote) == (0, Address("inet", "127.0.0.1", ports[0]))


def test_a_program_at_no_connection(told: Tell) -> None:
    """Not at one that is only on another descriptor, that goes with the exec, that listens, that has no peer, or is local."""
    run = told(
        python(
            """
            import os, socket
            listener = socket.create_server(("127.0.0.1", 0))
            connected = socket.create_connection(listener.getsockname())
            lonely = socket.socket(type=socket.SOCK_DGRAM)
            pair = socket.socketpair()[0]
            def start(fd, number, stays=True):
                if os.fork() == 0:
                    os.dup2(fd, number, stays)
                    os.execv("/usr/bin/true", ["true"])
                os.wait()
            start(connected.fileno(), 2)
            start(connected.fileno(), 0, False)
            for each in listener, lonely, pair:
                start(each.fileno(), 0)
            os.close(0)
            os.close(1)
            start(connected.fileno(), 5)
            """
        )
    )
    found = [(event.remote, event.local, event.protocol, event.session, event.fd) for event in started(run)]
    assert found == [(None, None, "", 0, -1)] * 6


def test_a_shell_for_whoever_listens(told: Tell) -> None:
    """bash's own way of having one: what it starts has the same connection, and what is redirected has none."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        run = told(f"bash -c '/bin/true; /bin/true </dev/null >/dev/null; :' <>/dev/tcp/127.0.0.1/{port} >&0; :")
    shell, there = started(run, os.path.realpath("/bin/bash")), Address("inet", "127.0.0.1", port)
    assert [event.remote for event in [*shell, *started(run)]] == [there, there, None]
