# SPDX-License-Identifier: Apache-2.0
"""Records to events, without a kernel: records are packed here by the names in bpf/event.h."""

from __future__ import annotations

import struct
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from panorama.event import Address, Event, File
from panorama.sensor.decode import Decoder, Undecodable
from panorama.sensor.layout import LayoutError, read_layout
from panorama.sensor.processes import Processes

LAYOUT = read_layout()
OURS = 4026531841  # a mount namespace
BASH: dict[str, Any] = {"pid": 7_000_001, "start": 500, "ppid": 7_000_000, "parent_start": 400, "command": b"bash"}


def record(trigger: str, /, *texts: bytes, flags: str = "", **fields: Any) -> bytes:
    sizes = ("file_base_size", "file_text_size", "to_base_size", "to_text_size")
    values: dict[str, Any] = {name: b"" if code.endswith("s") else 0 for name, code in LAYOUT.codes.items()}
    values |= {"fd": -1, "mount_ns": OURS, "trigger": LAYOUT.triggers.index(trigger), **BASH, **fields}
    values |= {name: len(text) for name, text in zip(sizes, texts, strict=False)}
    values["flags"] = sum(LAYOUT.flags[name] for name in flags.split())
    return struct.pack(LAYOUT.format, *values.values()) + b"".join(texts)


class Elsewhere:
    """A tree in which every directory is a link to one below /real, and so is every file but those that are gone."""

    def directory(self, path: str) -> str:
        return f"/real{path}"

    def file(self, path: str) -> str | None:
        return None if path.endswith("gone") else f"/real{path}"


@pytest.fixture
def decoder() -> Decoder:
    known = Processes()
    known.started((BASH["pid"], BASH["start"]), (1, 0), "/usr/bin/bash", ("bash", "-i"), 600)
    return Decoder(LAYOUT, known, 10**18, {OURS: Elsewhere()}, frozenset(LAYOUT.triggers))


def test_every_field_arrives_where_it_belongs(decoder: Decoder) -> None:
    """All different, so that none can stand in for another."""
    event = decoder.decode(
        record(
            "close",
            *(b"f\0d\0",),
            flags="created inherited",
            **{"sequence": 1, "time": 2000, "began": 1900, "first_read": 1960, "first_write": 1950, "inode": 3},
            **{"bytes_read": 4, "bytes_written": 5, "reads": 6, "writes": 7, "opens": 8, "cpu": 9, "device": 10},
            **{"mode": 0o100644, "fd": 11, "uid": 0, "euid": 13, "login_uid": 14},
        )
    )
    process = event.process
    assert (process.pid, process.start, process.ppid, process.parent_start) == (7_000_001, 500, 7_000_000, 400)
    assert (process.user, process.euid, process.login_uid, process.command) == ("root", 13, 14, "bash")
    assert (process.exe, process.argv) == ("/usr/bin/bash", ("bash", "-i"))
    assert event == Event(
        triggers=("open", "write", "read", "close"),
        time=10**18 + 2000,
        process=process,
        calls={"open": 8, "read": 6, "write": 7, "close": 1},
        sequence=1,
        cpu=9,
        began=10**18 + 1900,
        fd=11,
        file=File("/d/f", 3, 10, "file"),
        created=True,
        inherited=True,
        bytes_read=4,
        bytes_written=5,
    )


def test_what_was_held_back_of_a_process_comes_with_its_records(decoder: Decoder) -> None:
    """Beside the event, which is none the wiser; it is there for who takes it, whatever the record is about."""
    decoder.decode(record("unlink", b"", b"f\0"))
    assert decoder.held is None
    decoder.decode(record("unlink", b"", b"f\0", flags="held", held=3, held_global=2**40))
    assert decoder.held == (3, 2**40)


def test_a_socket_has_its_ends_and_no_file(decoder: Decoder) -> None:
    fields = {"mode": 0o140777, "family": 2, "socket_type": 1, "socket": 99, "local_port": 22, "remote_port": 4711}
    event = decoder.decode(record("accept", **fields, protocol=6, local=b"\x0a\0\0\1", remote=b"\x0a\0\0\2"))
    assert (event.triggers, event.calls, event.session, event.protocol) == (("accept",), {"accept": 1}, 99, "tcp")
    assert (event.local, event.remote) == (Address("inet", "10.0.0.1", 22), Address("inet", "10.0.0.2", 4711))
    assert event.file is None


@pytest.mark.parametrize(
    ("texts", "flags", "path", "mark"),
    [
        ((b"d\0", b"f\0"), "", "/d/f", ""),
        ((b"", b"f\0"), "", "/f", ""),
        ((b"e\0d\0", b"../f\0"), "", "/real/d/e/../f", ""),
        ((b"d\0", b"a/f\0"), "chroot", "/d/a/f", "given"),
        ((b"d\0", b"f\0"), "text_lost", "/d/f", "lost"),
        ((b"e\0d\0", b"f\0"), "file_cut", ".../d/e/f", "cut"),
        ((b"d\0", b"f\0"), "file_detached", "d/f", "unreachable"),
        ((b"d\0", b"\xff\0"), "", "/d/\udcff", ""),
    ],
)
def test_names(decoder: Decoder, texts: tuple[bytes, ...], flags: str, path: str, mark: str) -> None:
    event = decoder.decode(record("unlink", *texts, flags=flags))
    assert event.file
    assert (event.file.path, event.file.mark) == (path, mark)


def test_what_some_syscalls_say_beside_the_name(decoder: Decoder) -> None:
    assert decoder.decode(record("rename", b"d\0", b"a\0", b"e\0", b"b\0")).to == File("/e/b")
    assert decoder.decode(record("symlink", b"d\0", b"a\0", b"", b"../x\0")).target == "../x"
    assert decoder.decode(record("mkdir", b"d\0", b"a\0", value=0o40755)).mode == 0o755
    assert decoder.decode(record("truncate", b"a\0", value=12)).size == 12
    changed = decoder.decode(record("chown", b"a\0", value=7 << 32 | 0xFFFFFFFF))
    assert (changed.owner, changed.group) == (-1, 7)
    assert decoder.decode(record("fork", value=12)).child == 12


def test_chmod_of_what_the_process_has_just_made(decoder: Decoder) -> None:
    """The record has the file it made last; only if that is the one it names is it that."""
    same = decoder.decode(record("chmod", b"f\0d\0", b"", b"f\0d\0", flags="made created", inode=5, value=0o600))
    other = decoder.decode(record("chmod", b"g\0d\0", b"", b"f\0d\0", flags="made created", inode=5, value=0o600))
    assert (same.created, same.file) == (True, File("/d/f", 5))
    assert (other.created, other.file) == (False, File("/d/g"))


def test_a_process_is_the_same_object_until_it_becomes_another_program(decoder: Decoder) -> None:
    """An exec, the end and a change of accounts make another one of the same words."""
    read = record("close", b"f\0", mode=0o100644)
    first = decoder.decode(read).process
    assert decoder.decode(read).process is first
    started = decoder.decode(record("exec", b"bash\0bin\0", b"bash\0-c\0x\0", time=700)).process
    assert started == replace(first, exe="/bin/bash", argv=("bash", "-c", "x"))
    assert decoder.decode(read).process is started
    decoder.forget_users()
    assert decoder.decode(read).process is not started
    assert decoder.decode(read).process == started
    assert decoder.decode(record("exit", value=256)).status == 256
    assert decoder.decode(read).process.exe == ""


BIN_SH = b"dash\0bin\0usr\0"
SH = ("/usr/bin/dash", "")
ARGUMENTS = b"/bin/sh\0-e\0"


@pytest.mark.parametrize(
    ("arguments", "base", "name", "flags", "found"),
    [
        (b"sh\0-c\0x\0", b"", b"/bin/sh\0", "", SH),
        (b"sh\0-c\0x\0", b"d\0", b"sh\0", "", SH),
        (b"", b"", b"/bin/sh\0", "text_lost", SH),
        (b"sh\0/bin\0/bin/sh.d\0", b"", b"/bin/sh\0", "", SH),
        (b"/bin/sh\0x\0", b"", b"/bin/sh\0", "", SH),
        (ARGUMENTS + b"e/run\0", b"d\0", b"e/run\0", "", ("/real/real/d/e/run", "")),
        (ARGUMENTS + b"run\0x\0", b"d\0", b"run\0", "", ("/real/d/run", "")),
        (ARGUMENTS + b"e/ru", b"d\0", b"e/run\0", "", ("/real/real/d/e/run", "")),
        (ARGUMENTS + b"/d/gone\0", b"", b"/d/gone\0", "", ("/real/d/gone", "given")),
        (ARGUMENTS + b"/run\0", b"d\0", b"/run\0", "chroot", ("/d/run", "given")),
        (ARGUMENTS + b"run\0", b"d\0", b"run\0", "to_cut", (".../real/d/run", "cut")),
        (ARGUMENTS + b"/dev/fd/3\0", b"run\0d\0", b"/dev/fd/3\0", "", ("/d/run", "")),
        (ARGUMENTS + b"/dev/fd/3\0", b"memfd:x\0", b"/dev/fd/3\0", "to_detached", ("memfd:x", "unreachable")),
        (ARGUMENTS + b"/dev/fd/3\0", b"", b"/dev/fd/3\0", "", ("/dev/fd/3", "given")),
        (ARGUMENTS + b"/dev/fd/3/run\0", b"d\0", b"/dev/fd/3/run\0", "", ("/real/d/run", "")),
        (ARGUMENTS + b"/dev/fd/3/run\0", b"", b"/dev/fd/3/run\0", "", ("/real/run", "")),
        (ARGUMENTS + b"/dev/fd/x\0", b"", b"/dev/fd/x\0", "", ("/real/real/dev/fd/x", "")),
        (b"sh\0", b"", b"", "file_detached", ("usr/bin/dash", "unreachable")),
    ],
)
def test_what_was_executed(
    decoder: Decoder, arguments: bytes, base: bytes, name: bytes, flags: str, found: tuple[str, str]
) -> None:
    """A program that has the name it was executed by among its arguments is an interpreter's script; see bpf/README.md."""
    event = decoder.decode(record("exec", BIN_SH, arguments, base, name, flags=flags))
    assert event.process.exe == SH[0]
    assert event.file == File(found[0], kind="file", mark=found[1])


def test_an_exec_at_a_connection_has_its_ends_and_its_file(decoder: Decoder) -> None:
    fields = {"mode": 0o140000, "family": 2, "socket_type": 1, "socket": 99, "local_port": 4711, "remote_port": 22}
    more: dict[str, Any] = {**fields, "protocol": 6, "fd": 0, "local": b"\x0a\0\0\1", "remote": b"\x0a\0\0\2"}
    event = decoder.decode(record("exec", BIN_SH, b"sh\0-i\0", b"", b"/bin/sh\0", **more))
    assert (event.fd, event.session, event.protocol) == (0, 99, "tcp")
    assert (event.local, event.remote) == (Address("inet", "10.0.0.1", 4711), Address("inet", "10.0.0.2", 22))
    assert (event.process.argv, event.file) == (("sh", "-i"), File("/usr/bin/dash", kind="file"))


def test_a_process_knows_what_made_it(decoder: Decoder) -> None:
    """What the parent ran at that moment, whatever it has become since."""
    child = {"ppid": BASH["pid"], "parent_start": BASH["start"], "command": b"true"}
    early = {"pid": 7_100_001, "start": 550, **child}  # before bash was started in its parent's place
    late = {"pid": 7_100_002, "start": 650, **child}
    first = decoder.decode(record("exec", b"true\0bin\0", b"true\0", time=660, **late)).process
    assert (first.parent_exe, first.parent_argv) == ("/usr/bin/bash", ("bash", "-i"))
    second = decoder.decode(record("exec", b"true\0bin\0", b"true\0", time=670, **early)).process
    assert (second.parent_exe, second.parent_argv) == ("", ())


def test_what_is_too_short_or_unknown_is_undecodable(decoder: Decoder) -> None:
    whole = record("unlink", b"d\0", b"f\0")
    with pytest.raises(Undecodable, match=f"a record of 7 bytes; the header alone has {LAYOUT.size}"):
        decoder.decode(whole[:7])
    with pytest.raises(Undecodable, match=f"a record of {len(whole) - 1} bytes that says it has {len(whole)}"):
        decoder.decode(whole[:-1])
    with pytest.raises(Undecodable, match="no trigger has the number 99"):
        decoder.decode(record("unlink", **{"trigger": 99}))


def test_a_header_in_another_order_is_refused() -> None:
    fields = dict(reversed(LAYOUT.fields.items()))
    with pytest.raises(LayoutError, match=r"struct event does not have the fields of sensor/decode\.py"):
        Decoder(replace(LAYOUT, fields=fields), Processes(), 0, {}, frozenset())


def test_short_processes_leave_nothing(decoder: Decoder) -> None:
    """Whether they become another program or just end, as a shell's subshells do."""
    parent = {"ppid": BASH["pid"], "parent_start": BASH["start"]}

    def lives(numbers: range) -> None:
        for number in numbers:
            who = {"pid": 7_100_000 + number, "start": 1000 + number, **parent}
            decoder.decode(record("close", b"f\0", mode=0o100644, time=1000 + number, **who))
            if number % 2:
                decoder.decode(record("exec", b"true\0bin\0", b"true\0", time=1000 + number, **who))
            decoder.decode(record("exit", **{**who, "command": b"true"}))

    lives(range(1000))
    tracemalloc.start()
    try:
        lives(range(1000, 2000))
        before = tracemalloc.get_traced_memory()[0]
        lives(range(2000, 6000))
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()
