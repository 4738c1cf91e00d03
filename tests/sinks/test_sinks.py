# SPDX-License-Identifier: Apache-2.0
"""Sinks against the real thing: pipes, terminals, full disks and rsyslogd (test_syslog.py)."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from output_samples import UTC_CONTEXT, read_line

from panorama.errors import ReaderGone, SinkError
from panorama.output.formats import formatter
from panorama.output.line import Line
from panorama.sinks import Console, File, Style, file, open_sink
from panorama.sinks.queues import Memory
from panorama.sinks.spool import OnDisk
from panorama.sinks.store import Store

TEXT = formatter("text", UTC_CONTEXT)
REPOSITORY = Path(__file__).parents[2]


def numbered(number: int) -> Line:
    return read_line(f"file-{number}", 0)


def numbers(text: str) -> list[int]:
    """The numbers in whole lines, and -N for a notice of N dropped lines; anything else is a torn line."""
    result = []
    for line in text.splitlines():
        match = re.fullmatch(r"\S+ \S+ 2682 3760 alice scp read file-(\d+)", line)
        gap = re.fullmatch(r"\S+ \S+ \d+ \d+ \S+ panorama dropped (\d+) lines? here: .*", line)
        assert match or gap, line
        result.append(int(match[1]) if match else -int(gap[1]) if gap else 0)
    return result


def read_all(descriptor: int) -> str:
    os.set_blocking(descriptor, False)
    parts = []
    try:
        while part := os.read(descriptor, 65536):
            parts.append(part)
    except BlockingIOError:
        pass
    return b"".join(parts).decode()


def assert_none_vanished(found: list[int], written: int, dropped: int) -> None:
    """Each line is there, in order, or counted where it is missing."""
    expected = 0
    for number in found:
        if number < 0:
            expected -= number
        else:
            assert number == expected
            expected += 1
    assert expected == written
    assert -sum(number for number in found if number < 0) == dropped


# console


def test_a_pipe_nobody_reads_does_not_hold_up_the_console() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    sink = Console(TEXT, writer, header="TIME", queue=Memory(10_000))
    for number in range(500):
        sink.write(numbered(number))
    assert sink.waiting > 0
    assert sink.dropped > 0
    assert not fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK  # the descriptor others share is as it was
    text = read_all(reader)
    while sink.waiting:
        sink.flush()
        text += read_all(reader)
    sink.write(numbered(500))
    sink.close()
    text += read_all(reader)
    header, rest = text.split("\n", 1)
    assert header == "TIME"
    assert_none_vanished(numbers(rest), 501, sink.dropped)
    os.close(reader)
    os.close(writer)


def test_the_oldest_lines_are_the_ones_kept() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    sink = Console(TEXT, writer, queue=Memory(5_000))
    for number in range(1000):
        sink.write(numbered(number))
    text = read_all(reader)
    while sink.waiting:
        sink.flush()
        text += read_all(reader)
    found = numbers(text)
    assert found[:-1] == list(range(len(found) - 1))
    assert found[-1] == -sink.dropped == -(1000 - len(found) + 1)
    sink.close()
    os.close(reader)
    os.close(writer)


def test_a_gap_is_told_where_it_is_also_if_the_reader_goes_on_slowly() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        theirs.setblocking(False)
        sink = Console(TEXT, ours.fileno(), queue=Memory(5_000))
        text = b""
        for number in range(3000):
            sink.write(numbered(number))
            if number % 2:
                text += theirs.recv(62)
        while sink.waiting:
            text += theirs.recv(65536)
            sink.flush()
        text += read_all(theirs.fileno()).encode()
        found = numbers(text.decode())
        assert sum(number < 0 for number in found) > 3
        assert_none_vanished(found, 3000, sink.dropped)
        sink.close()


def test_a_patient_console_waits_for_its_reader() -> None:
    reader, writer = os.pipe()
    parts: list[bytes] = []

    def read() -> None:
        while part := os.read(reader, 1000):
            parts.append(part)

    thread = threading.Thread(target=read)
    thread.start()
    sink = Console(TEXT, writer, queue=Memory(1000), patient=True)
    for number in range(3000):
        sink.write(numbered(number))
    sink.close()
    os.close(writer)
    thread.join(10)
    os.close(reader)
    assert numbers(b"".join(parts).decode()) == list(range(3000))


def test_a_paused_terminal_does_not_hold_up_the_console() -> None:
    leader, follower = os.openpty()
    import termios

    termios.tcflow(follower, termios.TCOOFF)  # what Ctrl-S does
    sink = Console(TEXT, follower)
    for number in range(1000):
        sink.write(numbered(number))
    assert sink.waiting
    termios.tcflow(follower, termios.TCOON)
    text = ""
    deadline = time.monotonic() + 10
    while sink.waiting and time.monotonic() < deadline:
        sink.flush()
        text += read_all(leader)
    text += read_all(leader)
    assert numbers(text) == list(range(1000))
    sink.close()
    os.close(follower)
    os.close(leader)


def test_a_reader_that_leaves_ends_the_console_once() -> None:
    reader, writer = os.pipe()
    sink = Console(TEXT, writer)
    os.close(reader)
    with pytest.raises(ReaderGone):
        sink.write(numbered(0))
    sink.write(numbered(1))
    sink.flush()
    sink.close()
    assert (sink.waiting, sink.dropped) == (0, 0)
    os.close(writer)


def test_head_ends_the_program_quietly() -> None:
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from output_samples import read_line\n"
        "from panorama.errors import ReaderGone\n"
        "from panorama.sinks import Style, open_sink\n"
        "sink = open_sink('console', Style(patient=True))\n"
        "try:\n"
        "    while True:\n"
        "        sink.write(read_line())\n"
        "except ReaderGone as error:\n"
        "    sys.exit(error.status)\n"
    )
    command = [sys.executable, "-c", program, str(REPOSITORY), str(REPOSITORY / "tests")]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert writer.stdout
    head = subprocess.run(["head", "-n1"], stdin=writer.stdout, capture_output=True, timeout=30, check=True)
    writer.stdout.close()
    assert writer.wait(30) == 0
    assert writer.stderr
    assert writer.stderr.read() == b""
    writer.stderr.close()
    assert head.stdout.endswith(b" read f2.txt:3015807\n")


def test_the_console_may_be_a_file_or_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("w") as file:
        file.write("before\n")
        file.flush()
        sink = Console(TEXT, file.fileno())
        sink.write(numbered(0))
        sink.close()
        file.write("after\n")
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["before", "file-0", "after"]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sink = Console(TEXT, ours.fileno(), queue=Memory(10**9))
        written = 0
        while not sink.waiting:
            sink.write(numbered(written))
            written += 1
        text = b""
        while sink.waiting:
            text += theirs.recv(1 << 20)
            sink.flush()
        sink.close()
        text += read_all(theirs.fileno()).encode()
    assert numbers(text.decode()) == list(range(written))


# file


def test_lines_are_appended_to_a_file_only_some_can_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for number in range(2):
        sink = File(TEXT, str(path))
        sink.write(numbered(number))
        sink.close()
    assert numbers(path.read_text()) == [0, 1]
    assert path.stat().st_mode & 0o7777 & ~0o640 == 0


def test_a_file_that_ends_within_a_line_gets_an_end_first(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("the power fai")
    sink = File(TEXT, str(path))
    sink.write(numbered(0))
    sink.close()
    torn, rest = path.read_text().split("\n", 1)
    assert torn == "the power fai"
    assert numbers(rest) == [0]


def test_a_rotated_file_is_left_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = File(TEXT, str(path))
    sink.write(numbered(0))
    path.rename(tmp_path / "log.1")
    sink.write(numbered(1))
    sink.reopen()
    sink.write(numbered(2))
    sink.close()
    assert numbers((tmp_path / "log.1").read_text()) == [0, 1]
    assert numbers(path.read_text()) == [2]


@pytest.mark.parametrize("how", ["create", "nocreate", "copytruncate"])
def test_logrotate_needs_to_send_no_signal(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "_LOOK", 0.2)
    path = tmp_path / "log"
    configuration = tmp_path / "conf"
    configuration.write_text(f"{path} {{\n rotate 9\n {how}\n nocompress\n su root root\n}}\n")
    tmp_path.chmod(0o755)
    sink = File(TEXT, str(path))
    count = 0
    for _ in range(2):
        sink.write(numbered(count))
        count += 1
        subprocess.run(["logrotate", "-f", "-s", tmp_path / "state", configuration], check=True)
        until = time.monotonic() + 0.7
        while time.monotonic() < until or not path.exists():
            sink.write(numbered(count))
            count += 1
            time.sleep(0.02)
    sink.close()
    parts = [numbers((tmp_path / name).read_text()) for name in ("log.2", "log.1", "log")]
    assert [number for part in parts for number in part] == list(range(count))
    assert all(parts)


def test_a_deleted_file_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = File(TEXT, str(path))
    sink.write(numbered(0))
    path.unlink()
    count = 0
    deadline = time.monotonic() + 5
    while not path.exists():
        assert time.monotonic() < deadline
        sink.write(numbered(count := count + 1))
        time.sleep(0.05)
    sink.close()
    assert numbers(path.read_text()) == [count]


def test_a_folder_that_is_gone_is_waited_for_in_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "_LOOK", 0.2)
    folder = tmp_path / "folder"
    folder.mkdir()
    sink = File(TEXT, str(folder / "log"))
    sink.write(numbered(0))
    folder.rename(tmp_path / "moved")
    until = time.monotonic() + 0.7
    count = 1
    while time.monotonic() < until:
        sink.write(numbered(count))
        count += 1
        time.sleep(0.05)
    sink.close()
    assert numbers((tmp_path / "moved" / "log").read_text()) == list(range(count))


def test_a_file_that_cannot_be_reopened_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    sink = File(TEXT, str(folder / "log"))
    folder.rename(tmp_path / "moved")
    with pytest.raises(SinkError, match="No such file or directory"):
        sink.reopen()
    sink.write(numbered(0))
    sink.close()
    assert numbers((tmp_path / "moved" / "log").read_text()) == [0]


def test_a_named_pipe_gets_its_lines_when_somebody_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    sink = File(TEXT, str(path))
    sink.write(numbered(0))
    assert sink.waiting == 1
    for first in (0, 2):  # the second reader comes after the first has left
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        sink.write(numbered(first + 1))
        assert numbers(read_all(reader)) == [first, first + 1]
        os.close(reader)
        sink.write(numbered(first + 2))
        assert sink.waiting == 1
    sink.close()
    assert sink.waiting == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs to mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("buffer_bytes", [10_000_000, 5_000])
def test_a_full_disk_tears_no_line_and_hides_none(small_disk: Path, buffer_bytes: int) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 45_056)
    path = small_disk / "log"
    sink = File(TEXT, str(path), queue=Memory(buffer_bytes))
    for number in range(600):  # about 37 kB, where there is room for 20 kB
        sink.write(numbered(number))
    assert sink.waiting
    assert not path.read_text().endswith("\n")  # the disk was full in the middle of a line
    filler.unlink()
    sink.write(numbered(600))
    sink.write(numbered(601))
    sink.close()
    assert bool(sink.dropped) == (buffer_bytes == 5_000)
    assert_none_vanished(numbers(path.read_text()), 602, sink.dropped)


def test_a_line_the_full_disk_cut_is_written_whole_into_the_next_file(small_disk: Path, tmp_path: Path) -> None:
    (small_disk / "filler").write_bytes(b"x" * 61_440)
    path = tmp_path / "log"
    path.symlink_to(small_disk / "log")
    sink = File(TEXT, str(path))
    written = 0
    while not sink.waiting:
        sink.write(numbered(written))
        written += 1
    path.unlink()
    sink.reopen()
    sink.close()
    assert numbers(path.read_text()) == [written - 1]


def test_a_line_half_written_when_its_file_was_emptied_is_written_whole(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(b"x" * 61_440)
    path = small_disk / "log"
    sink = File(TEXT, str(path))
    written = 0
    while not sink.waiting:
        sink.write(numbered(written))
        written += 1
    assert not path.read_text().endswith("\n")
    os.truncate(path, 0)  # what copytruncate does once it has copied
    sink.write(numbered(written))
    sink.close()
    assert numbers(path.read_text()) == [written - 1, written]


# a queue on disk


def on_disk(folder: Path) -> OnDisk:
    return OnDisk(Store(folder / "state.db"), "local", 1 << 20)


def test_lines_on_disk_are_written_by_the_next_process(small_disk: Path, tmp_path: Path) -> None:
    (small_disk / "filler").write_bytes(b"x" * 65_536)
    path = small_disk / "log"
    child = os.fork()
    if not child:
        sink = File(TEXT, str(path), on_disk(tmp_path))
        for number in range(300):
            sink.write(numbered(number))
        sink.flush()
        os._exit(sink.waiting == 300 and sink.trouble == f"{path}: No space left on device")  # nothing is closed
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    (small_disk / "filler").unlink()
    again = File(TEXT, str(path), on_disk(tmp_path))
    again.write(numbered(300))
    again.close()
    assert (again.waiting, again.busy, again.trouble) == (0, False, "")
    assert numbers(path.read_text()) == list(range(301))


def test_nothing_goes_to_the_disk_while_lines_go_out(tmp_path: Path) -> None:
    queue = on_disk(tmp_path)
    sink = File(TEXT, str(tmp_path / "log"), queue)
    before = (tmp_path / "state.db-wal").stat().st_size
    for number in range(300):
        sink.write(numbered(number))
        sink.flush()
    sink.close()
    assert numbers((tmp_path / "log").read_text()) == list(range(300))
    assert (tmp_path / "state.db-wal").stat().st_size == before


# open_sink


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sislog", "unknown sink 'sislog'; did you mean 'syslog'?"),
        ("kafka:x", "unknown sink 'kafka'; there are console, file, journal, syslog"),
        ("console:x", "sink 'console' takes no 'x'"),
        ("file", "sink 'file' needs a path: file:/var/log/panorama.log"),
        ("file:/nowhere/log", "cannot write to /nowhere/log: No such file or directory"),
        ("file:/tmp", "cannot write to /tmp: Is a directory"),
        (f"syslog:/{'x' * 200}", f"socket path longer than 107 bytes: /{'x' * 200}"),
    ],
)
def test_a_wrong_spec_is_refused_with_what_is_wrong(spec: str, message: str) -> None:
    with pytest.raises(SinkError) as caught:
        open_sink(spec)
    assert (str(caught.value), caught.value.status) == (message, 2)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(SinkError, match=r"unknown format 'jason'; did you mean 'json'\?"):
        open_sink("console", Style(format="jason"))


def test_specs_open_what_they_name(tmp_path: Path) -> None:
    style = Style("v6", UTC_CONTEXT)
    sink = open_sink(f"file:{tmp_path}/log:1", style)
    sink.write(read_line())
    sink.close()
    assert (tmp_path / "log:1").read_text().endswith(" scp read f2.txt:3015807\n")
    open_sink(f"syslog:{tmp_path}/none", style).close()
