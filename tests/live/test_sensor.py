# SPDX-License-Identifier: Apache-2.0
"""What the kernel side must get right whatever the program: paths, descriptors, processes, sockets."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Told, Watcher, open_sensor
from .test_programs import check, given

pytestmark = pytest.mark.live

Tell = Callable[..., Told]


def python(code: str) -> str:
    """A shell command that runs Python code, with nothing of its own around it."""
    return "exec /usr/bin/python3 -ISc " + "'" + textwrap.dedent(code).replace("'", '"') + "'"


def perl(code: str) -> str:
    return "exec perl -e '" + code + "'"


def paths(told: Told, verb: str) -> list[str]:
    return [line.events[-1].file.path for line in told.lines if line.verb == verb and line.events[-1].file]


# Paths


def test_paths_are_absolute_whatever_the_program_passed(told: Tell, tmp_path: Path) -> None:
    """Relative names, `..`, symbolic links in the middle and at the end: what was opened is what is told."""
    given(tmp_path, "mkdir -p d/e; echo x > d/e/f; ln -s d/e l; ln -s d/e/f g")
    run = told("cd d; cat e/../e/f; cat ../l/f; cat ../g; cat $PWD/e/f")
    assert paths(run, "read") == [str(tmp_path / "d/e/f")] * 4


def test_names_of_unlink_and_rename_are_absolute(told: Tell, tmp_path: Path) -> None:
    """Relative to the working directory, to a descriptor, through a symbolic link to a directory, from the root."""
    given(tmp_path, "mkdir -p d/e; touch d/a d/b d/c d/e/x; ln -s d/e l")
    run = told(
        python(
            f"""
            import os
            d = os.open("d", os.O_RDONLY)
            os.unlink("a", dir_fd=d)
            os.rename("b", "e/b", src_dir_fd=d, dst_dir_fd=d)
            os.chdir("d/e")
            os.unlink("../c")
            os.unlink("../../l/x")
            os.rename("{tmp_path}/d/e/b", "../../B")
            """
        )
    )
    assert paths(run, "remove") == [str(tmp_path / name) for name in ("d/a", "d/c", "d/e/x")]
    renamed = [line.events[-1] for line in run.lines if line.verb == "rename"]
    assert [(event.file.path, event.to.path) for event in renamed if event.file and event.to] == [
        (str(tmp_path / "d/b"), str(tmp_path / "d/e/b")),
        (str(tmp_path / "d/e/b"), str(tmp_path / "B")),
    ]
    assert not any(event.file.mark for event in renamed if event.file)


def test_a_removed_symbolic_link_is_the_link(told: Tell, tmp_path: Path) -> None:
    """unlink and rename do not follow the last name; chmod does."""
    given(tmp_path, "touch f; ln -s f l; ln -s f k")
    check(told("rm l; mv k m").words, ["rm remove l", "mv rename k -> m"])
    run = told("chmod 600 m")
    check(run.words, ["chmod chmod f 0600"])


def test_a_mount_in_the_middle_of_the_path(told: Tell, tmp_path: Path) -> None:
    """The path crosses file systems, and a bind mount has the path it was reached by."""
    given(tmp_path, "mkdir m b; mount -t tmpfs none m; mkdir -p m/d; echo x > m/d/f; mount --bind m/d b")
    try:
        run = told("cat m/d/f b/f; rm b/f")
    finally:
        given(tmp_path, "umount b m")
    assert paths(run, "read") == [str(tmp_path / "m/d/f"), str(tmp_path / "b/f")]
    assert paths(run, "remove") == [str(tmp_path / "b/f")]


def test_in_a_chroot_paths_are_those_of_the_host(told: Tell, tmp_path: Path) -> None:
    """Opened files as well as names; a name's links cannot be followed from outside, so it is marked as given."""
    given(tmp_path, "mkdir -p root/d; echo x > root/d/f; touch root/d/g root/d/h")
    run = told(
        python(
            """
            import os
            os.chroot("root")
            os.chdir("/d")
            open("/d/f").read()
            os.unlink("/d/g")
            os.unlink("h")
            """
        )
    )
    assert paths(run, "read") == [str(tmp_path / "root/d/f")]
    assert paths(run, "remove") == [str(tmp_path / "root/d/g"), str(tmp_path / "root/d/h")]
    assert [e.file.mark for e in run.events if "unlink" in e.triggers and e.file] == ["given", ""]


def test_another_mount_namespace(told: Tell, tmp_path: Path) -> None:
    """Paths are those of the process's own namespace."""
    given(tmp_path, "mkdir m")
    run = told("unshare -m sh -c 'mount -t tmpfs none m; echo x > m/f; cat m/f'")
    assert paths(run, "read") == [str(tmp_path / "m/f")]


def test_a_path_too_deep_is_marked_as_cut(told: Tell, tmp_path: Path) -> None:
    """80 directories: the end of the path is there, the beginning is not, and that is said."""
    run = told("for i in $(seq 80); do mkdir d; cd d; done; echo x > f")
    created = [line.events[-1].file for line in run.lines if line.verb == "create"]
    assert created[0]
    assert created[0].mark == "cut"
    assert created[0].path.startswith(".../d/d/")
    assert created[0].path.endswith("/d/f")


def test_a_long_name_and_a_long_path_text(told: Tell, tmp_path: Path) -> None:
    """255 bytes of name, and a path text longer than what is kept at the entry of the syscall."""
    name = "n" * 255
    run = told(
        python(
            f"""
            import os
            open("{name}", "w").close()
            os.mkdir("d")
            os.rename("{name}", "./" * 1500 + "d/x")
            """
        )
    )
    event = next(line.events[-1] for line in run.lines if line.verb == "rename")
    assert event.file
    assert event.to
    assert event.file.path == str(tmp_path / name)
    assert event.to.path == str(tmp_path / "d/x")


def test_names_that_are_hostile(told: Tell, tmp_path: Path) -> None:
    """Newlines, escapes, quotes and bytes that are not UTF-8 arrive whole and leave quoted."""
    run = told("touch $'a\\nb' $'\\e[31m' $'\\xff' '\"' 'x y'")
    assert [os.fsencode(Path(path).name) for path in paths(run, "create")] == [
        b"a\nb",
        b"\x1b[31m",
        b"\xff",
        b'"',
        b"x y",
    ]
    assert run.words == [
        'touch create "a\\nb"',
        'touch create "\\x1b[31m"',
        'touch create "\\xff"',
        'touch create "\\""',
        'touch create "x y"',
    ]


def test_files_without_a_name(told: Tell, tmp_path: Path) -> None:
    """memfd_create and O_TMPFILE: told, and marked as having no place in the tree."""
    run = told(
        python(
            """
            import os
            m = os.memfd_create("payload")
            os.write(m, b"x")
            t = os.open(".", os.O_TMPFILE | os.O_RDWR)
            os.write(t, b"x")
            """
        )
    )
    told_files = {
        (line.verb, line.events[-1].file.path.split(":")[0], line.events[-1].file.mark)
        for line in run.lines
        if line.events[-1].file
    }
    assert ("write", "memfd", "unreachable") in told_files
    assert any(verb == "create" and "#" in path for verb, path, _ in told_files)


# Descriptors


def test_dup_and_redirections_are_one_file(told: Tell, tmp_path: Path) -> None:
    """dup, dup2, dup3 and fcntl give more descriptors, not more sessions; the last to go ends it."""
    run = told(
        python(
            """
            import fcntl, os
            a = os.open("f", os.O_WRONLY | os.O_CREAT)
            b, c = os.dup(a), os.dup2(a, 50)
            d = fcntl.fcntl(a, fcntl.F_DUPFD, 70)
            os.close(a)
            for fd in (b, c, d):
                os.write(fd, b"xy")
            os.close(b)
            os.dup2(os.open("/dev/null", os.O_RDONLY), c)
            os.close(d)
            os.mkdir("after")
            """
        )
    )
    assert run.of("python3") == ["python3 create f", "python3 mkdir after"]
    assert run.lines[0].events[-1].bytes_written == 6


def test_a_descriptor_over_another_closes_it(told: Tell, tmp_path: Path) -> None:
    """dup2 onto an open descriptor, and close_range."""
    given(tmp_path, "echo a > a; echo b > b; echo c > c")
    run = told(
        python(
            """
            import os
            a, b, c = (os.open(n, os.O_RDONLY) for n in "abc")
            for fd in (a, b, c):
                os.read(fd, 9)
            os.dup2(b, a)
            os.mkdir("1")
            os.closerange(b, 60)
            os.mkdir("2")
            """
        )
    )
    check(run.words, ["python3 read a", "python3 mkdir 1", "python3 read c", "python3 mkdir 2", "python3 read b"])


def test_close_on_exec_ends_a_session_and_others_go_on(told: Tell, tmp_path: Path) -> None:
    """What exec closes was the old program's; what it keeps is one file with the new one, if that used it."""
    given(tmp_path, "echo a > a; echo b > b; echo c > c")
    run = told(
        python(
            """
            import os
            a = os.open("a", os.O_RDONLY)
            b = os.open("b", os.O_RDWR)
            c = os.open("c", os.O_RDONLY)
            for fd in (a, b, c):
                os.read(fd, 1)
            os.dup2(b, 1)
            os.set_inheritable(c, True)
            os.execl("/usr/bin/echo", "echo", "hi")
            """
        )
    )
    assert run.words[0] == "python3 read a"
    assert sorted(run.words[1:]) == ["echo write b", "python3 read c"]


def test_inherited_descriptors_belong_to_each_process(told: Tell, tmp_path: Path) -> None:
    """A child that writes to its parent's file has a line of its own, and only if it did."""
    run = told("exec 3> f; (echo child >&3); (:); echo parent >&3")
    assert sorted(run.words) == ["bash create f", "bash write f"]
    pids = [line.process.pid for line in run.lines]
    assert len(set(pids)) == 2


def test_a_descriptor_passed_over_a_socket(told: Tell, tmp_path: Path) -> None:
    """SCM_RIGHTS: the receiver's use is the receiver's."""
    given(tmp_path, "echo a > a")
    run = told(
        python(
            """
            import os, socket
            here, there = socket.socketpair()
            if os.fork() == 0:
                _, fds, _, _ = socket.recv_fds(there, 9, 1)
                os.read(fds[0], 9)
                os._exit(0)
            f = os.open("a", os.O_RDONLY)
            socket.send_fds(here, [b"x"], [f])
            os.wait()
            """
        )
    )
    assert [(line.verb, line.events[-1].inherited) for line in run.lines] == [("read", True)]


def test_threads_share_their_process_s_files(told: Tell, tmp_path: Path) -> None:
    """Opened by one thread, written by others, closed by the first: one line."""
    run = told(
        python(
            """
            import os, threading
            f = os.open("f", os.O_WRONLY | os.O_CREAT)
            threads = [threading.Thread(target=os.write, args=(f, b"x")) for _ in range(7)]
            for t in threads: t.start()
            for t in threads: t.join()
            os.close(f)
            os.mkdir("after")
            """
        )
    )
    check(run.words, ["python3 create f", "python3 mkdir after"])
    event = run.lines[0].events[-1]
    assert (event.calls["write"], event.bytes_written) == (7, 7)


def test_a_process_killed_reports_its_open_files(told: Tell, tmp_path: Path) -> None:
    """SIGKILL leaves no chance to close; the kernel does it, and it is told."""
    run = told("bash -c 'echo x > f; exec 3> g; echo y >&3; kill -9 $$'; true")
    assert run.of("bash")[:2] == ["bash create f", "bash create g"]


def test_many_files_open_at_exit(told: Tell, tmp_path: Path) -> None:
    """Forty files written and never closed."""
    run = told(python('import os\nfor i in range(41): os.write(os.open(f"f{i}", os.O_WRONLY | os.O_CREAT), b"x")'))
    assert sorted(run.words) == sorted(f"python3 create f{i}" for i in range(41))


def test_created_is_what_the_kernel_says(told: Tell, tmp_path: Path) -> None:
    """O_CREAT on a file that exists makes nothing; O_TRUNC empties it; both together on a new one make it."""
    given(tmp_path, "echo a > a; echo b > b")
    run = told(
        python(
            """
            import os
            for name, flags in (("a", os.O_CREAT), ("b", os.O_CREAT | os.O_TRUNC), ("c", os.O_CREAT | os.O_TRUNC), ("d", os.O_CREAT | os.O_EXCL)):
                f = os.open(name, os.O_WRONLY | flags)
                os.write(f, b"x")
                os.close(f)
            """
        )
    )
    check(run.words, ["python3 write a", "python3 cover b", "python3 create c", "python3 create d"])


def test_a_million_reads_are_one_event(told: Tell, tmp_path: Path) -> None:
    """Sessions live in the kernel."""
    given(tmp_path, "echo a > a")
    run = told("dd if=/dev/zero of=big bs=1 count=20000 status=none")
    event = run.lines[-1].events[-1]
    assert (event.calls["write"], event.bytes_written) == (20000, 20000)
    assert len([e for e in run.events if e.file and e.file.name == "big"]) == 1


# Processes


def test_a_process_older_than_panorama(watcher: Watcher, tmp_path: Path) -> None:
    """Its files were open before; it has a name, a parent and an executable all the same."""
    given(tmp_path, "echo a > a; mkfifo gate")
    code = "import os\nf = open('a')\nopen('ready', 'w').close()\nopen('gate').read()\nf.read()\nf.close()\nos.mkdir('done')"
    with subprocess.Popen(["/usr/bin/python3", "-ISc", code], cwd=tmp_path) as old:
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        run = watcher.run("echo > gate", tmp_path, also=(old.pid,))
    check(run.of("python3"), ["python3 read gate", "python3 read a", "python3 mkdir done"])
    process = next(line.process for line in run.lines if line.process.command == "python3")
    assert (process.pid, process.ppid) == (old.pid, os.getpid())
    assert process.exe == os.path.realpath("/usr/bin/python3")
    assert process.argv == ("/usr/bin/python3", "-ISc", code)


def test_identity_and_arguments(told: Tell, tmp_path: Path) -> None:
    """exe, argv, uid, parent: what JSON has of a process."""
    given(tmp_path, "echo a > a; chmod 777 .")
    run = told("cat ./a; setpriv --reuid 65534 --clear-groups touch nobody; true")
    cat, touch = run.lines[0].process, run.lines[1].process
    assert cat.exe == os.path.realpath("/usr/bin/cat")
    assert cat.argv == ("cat", "./a")
    assert (cat.uid, cat.user) == (0, "root")
    assert (touch.uid, touch.user) == (65534, "nobody")
    assert cat.ppid == touch.ppid
    assert cat.parent_start == touch.parent_start
    assert cat.start > cat.parent_start


def test_a_program_that_renames_itself(told: Tell, tmp_path: Path) -> None:
    """prctl(PR_SET_NAME) changes the command shown and nothing else."""
    run = told(perl('$0 = "kworker/0:1"; open F, ">", "f"; close F;'))
    assert [(line.process.command, line.verb) for line in run.lines] == [("kworker/0:1", "create")]
    assert run.lines[0].process.exe == os.path.realpath("/usr/bin/perl")


ORDER = """
behavior: order
summary: What a server that forks for each connection does, step by step.
layer: operation
per: process
initial: any
transitions:
- {trigger: accept, source: any, emit: "accept {remote}"}
- {trigger: fork, source: any, emit: "fork {child}"}
- {trigger: mkdir, source: any, emit: "mkdir {file}"}
"""


def test_a_process_is_told_of_before_what_it_does_and_after_what_it_was_made_for(tmp_path: Path) -> None:
    """200 times a server takes two connections and forks for each; the children are at work at once, on both cpus."""
    (tmp_path / "order.yaml").write_text(ORDER)
    watcher = open_sensor([tmp_path / "order.yaml"])
    run = watcher.run(
        python(
            """
            import os, socket
            s = socket.create_server(("127.0.0.1", 0))
            if os.fork() == 0:
                for _ in range(200):
                    two = [socket.create_connection(s.getsockname()) for _ in range(2)]
                    for each in two: each.recv(1)
                os._exit(0)
            for turn in range(200):
                for which, (taken, _) in enumerate([s.accept(), s.accept()]):
                    if os.fork() == 0:
                        os.mkdir(str(2 * turn + which))
                        os._exit(0)
                    taken.close()
                for _ in range(2): os.wait()
            os.wait()
            """
        ),
        tmp_path,
    )
    watcher.sensor.kernel.close()
    assert not run.losses
    accepted = [at for at, line in enumerate(run.lines) if line.verb == "accept"]
    forked = {line.events[-1].child: at for at, line in enumerate(run.lines) if line.verb == "fork"}
    done = [(at, line) for at, line in enumerate(run.lines) if line.verb == "mkdir"]
    assert (len(accepted), len(forked), len(done)) == (400, 401, 400)
    for at, line in done:
        number = int(line.events[-1].file.name)  # type: ignore[union-attr]
        assert accepted[number] < forked[line.process.pid] < at
    heard: set[int] = set()
    for event in run.events:
        if "fork" in event.triggers:
            assert event.child not in heard
        heard.add(event.process.pid)


# Connections


def server(family: socket.AddressFamily, address: object, kind: int = socket.SOCK_STREAM) -> socket.socket:
    listener = socket.socket(family, kind)
    listener.bind(address)
    if kind == socket.SOCK_STREAM:
        listener.listen()
    return listener


@pytest.mark.parametrize(
    ("family", "host", "shown"), [("AF_INET", "127.0.0.1", "127.0.0.1"), ("AF_INET6", "::1", "[[]::1]")]
)
def test_both_ends_of_a_connection(told: Tell, family: str, host: str, shown: str) -> None:
    """Client and server in two processes: listen, connect and accept, each with both addresses."""
    run = told(
        python(
            f"""
            import os, socket
            s = socket.socket(socket.{family}); s.bind(("{host}", 0)); s.listen()
            port = s.getsockname()[1]
            if os.fork() == 0:
                c = socket.socket(socket.{family}); c.connect(("{host}", port)); c.recv(1)
                os._exit(0)
            a, _ = s.accept()
            a.close()
            os.wait()
            """
        )
    )
    check(sorted(run.words), [f"python3 accept {shown}:*", f"python3 connect {shown}:*", f"python3 listen {shown}:*"])
    by_verb = {line.verb: line.events[-1] for line in run.lines}
    assert by_verb["connect"].remote == by_verb["accept"].local
    assert by_verb["connect"].local == by_verb["accept"].remote
    assert by_verb["connect"].protocol == "tcp"


def test_a_connection_that_fails_is_none(told: Tell) -> None:
    """Refused at once: no line. Begun without waiting (EINPROGRESS): a line, as the design has it."""
    with server(socket.AF_INET, ("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        run = told(
            python(
                f"""
                import socket
                c = socket.socket(); c.connect_ex(("127.0.0.1", 1))
                d = socket.socket(); d.setblocking(False); d.connect_ex(("127.0.0.1", {port}))
                """
            )
        )
    check(run.words, [f"python3 connect 127.0.0.1:{port}"])


def test_unix_sockets(told: Tell, tmp_path: Path) -> None:
    """A path, and an abstract address."""
    given(tmp_path, "true")
    name = f"panorama-test-{os.getpid()}"
    with server(socket.AF_UNIX, str(tmp_path / "s")), server(socket.AF_UNIX, "\0" + name):
        run = told(
            python(
                f"""
                import socket
                socket.socket(socket.AF_UNIX).connect("{tmp_path}/s")
                socket.socket(socket.AF_UNIX).connect(chr(0) + "{name}")
                """
            )
        )
    check(run.words, [f"python3 connect {tmp_path}/s", f"python3 connect @{name}"])


def test_datagrams_connect_when_something_is_sent(told: Tell) -> None:
    """connect(2) alone sends nothing, and getaddrinfo does it to sort addresses."""
    with server(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM) as receiver:
        port = receiver.getsockname()[1]
        run = told(
            python(
                f"""
                import socket
                a = socket.socket(type=socket.SOCK_DGRAM); a.connect(("127.0.0.1", {port})); a.close()
                b = socket.socket(type=socket.SOCK_DGRAM); b.connect(("127.0.0.1", {port}))
                for _ in range(3): b.send(b"x")
                """
            )
        )
    check(run.words, [f"python3 connect 127.0.0.1:{port}"])
    assert run.lines[0].events[-1].protocol == "udp"


def test_a_forked_server_has_its_connection(told: Tell) -> None:
    """The parent accepts; that its child serves and exits gives no second line."""
    with server(socket.AF_INET, ("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    run = told(
        python(
            f"""
            import os, socket, sys
            s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", {port})); s.listen()
            c = socket.socket(); c.connect(("127.0.0.1", {port}))
            a, _ = s.accept()
            if os.fork() == 0:
                a.send(b"x"); os._exit(0)
            os.wait(); c.recv(1)
            """
        )
    )
    check(run.words, ["python3 listen *", "python3 connect *", "python3 accept *"])


def test_every_event_has_its_own_number(told: Tell) -> None:
    """Sequence numbers of a cpu go up one by one, so that a gap would show."""
    run = told("for i in 1 2 3 4 5; do touch f$i; rm f$i; done")
    assert not run.losses
    by_cpu: dict[int, list[int]] = {}
    for event in run.events:
        by_cpu.setdefault(event.cpu, []).append(event.sequence)
    for numbers in by_cpu.values():
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def falls_into_a_loop(code: bytes) -> bool:
    """Whether some loop closes by going on to its head, without a jump. Instructions: struct bpf_insn, linux/bpf.h."""
    jump, jump_32, call, leave, always = 0x05, 0x06, 0x80, 0x90, 0x00
    ahead: list[int] = [0]
    open_: set[int] = set()
    done: set[int] = set()
    while ahead:
        at = ahead[-1]
        open_.add(at)
        kind, offset = code[8 * at], struct.unpack_from("=h", code, 8 * at + 2)[0]
        following = [at + 1]
        jumps = kind & 7 in (jump, jump_32) and kind & 0xF0 != call
        if jumps:
            following = {leave: [], always: [at + 1 + offset]}.get(kind & 0xF0, [at + 1, at + 1 + offset])
        if not jumps and at + 1 in open_:
            return True
        fresh = [each for each in following if each not in open_ | done]
        if fresh:
            ahead.append(fresh[0])
        else:
            open_.discard(ahead.pop())
            done.add(at)
    return False


def test_loops_are_such_as_old_kernels_take(watcher: Watcher) -> None:
    """Linux 5.10 and 6.1 refuse a loop that falls through to its head, and this kernel does not say so."""
    skip, move, again, end = "0500010000000000", "b700000000000000", "5501feff00000000", "9500000000000000"
    assert falls_into_a_loop(bytes.fromhex(skip + move + again + end))
    assert not falls_into_a_loop(bytes.fromhex(move + again + end))
    programs = watcher.sensor.kernel._code.programs
    assert [name for name, code in programs.items() if falls_into_a_loop(code.instructions)] == []


def test_panorama_itself_is_not_told(watcher: Watcher, tmp_path: Path) -> None:
    """Its own thread group is filtered in the kernel."""
    (tmp_path / "own").write_text("x")
    run = watcher.run("true", tmp_path, also=(os.getpid(),))
    assert not [event for event in run.events if event.process.pid == os.getpid()]
    assert sys.executable


def test_what_rules_ignore_by_path_never_leaves_the_kernel(told: Tell, watcher: Watcher) -> None:
    """Libraries are read by every program: not one record of it, and all of it counted under the rule's name."""
    names = [rule.name for rule in watcher.loaded.rules.rules]
    number = names.index("program-loading")
    before = watcher.sensor.kernel.counts().ignored.get(number, {})
    run = told("true; exec /usr/bin/true")
    after = watcher.sensor.kernel.counts().ignored[number]
    assert not [event for event in run.events if event.file and event.file.path.startswith("/usr/lib/")]
    assert after["read"] > before.get("read", 0)
