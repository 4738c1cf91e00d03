# SPDX-License-Identifier: Apache-2.0
"""Each syscall behind each trigger, called by its number: programs reach the same end by many ways."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from panorama.paths import BEHAVIORS
from panorama.sensor import kernel
from panorama.sensor.numbers import number_of
from panorama.sensor.probes import needed
from panorama.sensor.source import served, text
from panorama.vocabulary import TRIGGERS

from .conftest import Told, Watcher, open_sensor
from .test_programs import check, given
from .test_sensor import python

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers below are those of x86-64"),
]

Tell = Callable[..., Told]

# Linux x86-64, arch/x86/entry/syscalls/syscall_64.tbl
PRELUDE = """
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *(a if isinstance(a, (bytes, ctypes.Array)) else ctypes.c_long(a) for a in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(number))
    return result
def vector(*parts):
    keep = [ctypes.create_string_buffer(p, len(p)) for p in parts]
    call.keep = keep
    return struct.pack("PL" * len(parts), *(x for k in keep for x in (ctypes.addressof(k), len(k))))
CWD = -100
room = ctypes.create_string_buffer(64)
a = os.open("a", os.O_RDWR)
"""

CASES = {
    "open": ('call(0, call(2, b"b", os.O_RDONLY, 0), room, 9)', ["read b"]),
    "creat": ('call(85, b"n", 0o644)', ["create n"]),
    "openat": ('call(0, call(257, CWD, b"b", os.O_RDONLY, 0), room, 9)', ["read b"]),
    "openat2": (
        'call(0, call(437, CWD, b"b", struct.pack("QQQ", os.O_RDWR | os.O_TRUNC, 0, 0), 24), room, 9)',
        ["cover b"],
    ),
    "read": ("call(0, a, room, 9)", ["read a"]),
    "pread64": ("call(17, a, room, 9, 0)", ["read a"]),
    "readv": ('call(19, a, vector(b"xxx"), 1)', ["read a"]),
    "preadv": ('call(295, a, vector(b"xxx"), 1, 0, 0)', ["read a"]),
    "preadv2": ('call(327, a, vector(b"xxx"), 1, 0, 0, 0)', ["read a"]),
    "write": ('call(1, a, b"x", 1)', ["write a"]),
    "pwrite64": ('call(18, a, b"x", 1, 0)', ["write a"]),
    "writev": ('call(20, a, vector(b"x", b"y"), 2)', ["write a"]),
    "pwritev": ('call(296, a, vector(b"x"), 1, 0, 0)', ["write a"]),
    "pwritev2": ('call(328, a, vector(b"x"), 1, 0, 0, 0)', ["write a"]),
    "sendfile": ('call(40, os.open("n", os.O_WRONLY | os.O_CREAT), a, 0, 9)', ["read a", "create n"]),
    "copy_file_range": ('call(326, a, 0, os.open("n", os.O_WRONLY | os.O_CREAT), 0, 9, 0)', ["read a", "create n"]),
    "splice": (
        'r, w = os.pipe(); call(275, a, 0, w, 0, 9, 0); call(275, r, 0, os.open("n", os.O_WRONLY | os.O_CREAT), 0, 9, 0)',
        ["read a", "create n"],
    ),
    "ftruncate": ("call(77, a, 0)", ["cover a"]),
    "ftruncate to a size": ("call(77, a, 1)", ["write a"]),
    "truncate": ('call(76, b"b", 0)', ["cover b"]),
    "truncate to a size": ('call(76, b"b", 1)', ["write b"]),
    "close_range": ('call(0, a, room, 9); call(436, a, a, 0); os.mkdir("after")', ["read a", "mkdir after"]),
    "dup3": ('call(0, a, room, 9); call(292, 0, a, 0); os.mkdir("after")', ["read a", "mkdir after"]),
    "unlink": ('call(87, b"b")', ["remove b"]),
    "unlinkat": ('call(263, CWD, b"b", 0)', ["remove b"]),
    "rmdir": ('call(84, b"d")', ["rmdir d"]),
    "unlinkat of a directory": ('call(263, CWD, b"d", 0x200)', ["rmdir d"]),
    "mkdir": ('call(83, b"n", 0o755)', ["mkdir n"]),
    "mkdirat": ('call(258, CWD, b"n", 0o755)', ["mkdir n"]),
    "rename": ('call(82, b"b", b"n")', ["rename b -> n"]),
    "renameat": ('call(264, CWD, b"b", CWD, b"n")', ["rename b -> n"]),
    "renameat2": ('call(316, CWD, b"b", CWD, b"n", 1)', ["rename b -> n"]),
    "link": ('call(86, b"b", b"n")', ["link b -> n"]),
    "linkat": ('call(265, CWD, b"b", CWD, b"n", 0)', ["link b -> n"]),
    "symlink": ('call(88, b"b", b"n")', ["link b -> n"]),
    "symlinkat": ('call(266, b"b", CWD, b"n")', ["link b -> n"]),
    "chmod": ('call(90, b"b", 0o600)', ["chmod b 0600"]),
    "fchmod": ("call(91, a, 0o600)", ["chmod a 0600"]),
    "fchmodat": ('call(268, CWD, b"b", 0o600)', ["chmod b 0600"]),
    "chown": ('call(92, b"b", 1, 2)', ["chown b 1:2"]),
    "lchown": ('call(94, b"b", 1, -1)', ["chown b 1:-"]),
    "fchown": ("call(93, a, 1, 2)", ["chown a 1:2"]),
    "fchownat": ('call(260, CWD, b"b", -1, 2, 0)', ["chown b -:2"]),
    "fchmod of a file just made": (
        'n = os.open("n", os.O_CREAT | os.O_WRONLY); call(91, n, 0o600); os.close(n); call(90, b"n", 0o644)',
        ["create n"],
    ),
    "the same file moved meanwhile": (
        'os.close(os.open("n", os.O_CREAT | os.O_WRONLY)); os.rename("n", "m"); os.chmod("m", 0o600)',
        ["create n", "rename n -> m"],
    ),
    "an earlier file of that name": (
        'os.close(os.open("n", os.O_CREAT | os.O_WRONLY)); os.rename("b", "n"); os.chmod("n", 0o600)',
        ["create n", "rename b -> n", "chmod n 0600"],
    ),
    "chmod by name of a file still open": (
        'n = os.open("n", os.O_CREAT | os.O_WRONLY); os.chmod("b", 0o600); os.chmod("./n", 0o600); os.close(n)',
        ["chmod b 0600", "create n"],
    ),
    "read and then written": ('call(0, a, room, 1); call(1, a, b"x", 1)', ["write a"]),
    "opened only": ("pass", []),
    "read nothing": ("call(0, a, room, 0)", ["read a"]),
}


@pytest.mark.parametrize("name", CASES)
def test_syscall(name: str, told: Tell, tmp_path: Path) -> None:
    """The line it should give, and none more."""
    given(tmp_path, "echo aaaa > a; echo bbbb > b; mkdir d; [ $0 = x ] || true")
    code, wanted = CASES[name]
    if "renameat2" in name:
        (tmp_path / "n").unlink(missing_ok=True)
        code = code.replace(", 1)", ", 0)")
    run = told(python(PRELUDE + code))
    assert run.status == 0, run.output
    check([line for line in run.words if not line.startswith("bash")], [f"python3 {line}" for line in wanted])


def test_cloning_blocks_counts_as_reading_and_writing(told: Tell, tmp_path: Path) -> None:
    """FICLONE, which cp prefers where the file system can do it (XFS here)."""
    image = tmp_path / "image"
    given(tmp_path, f"mkdir m; truncate -s 400M {image}; mkfs.xfs -q {image}; mount -o loop {image} m; seq 9999 > m/a")
    try:
        run = told("cp --reflink=always m/a m/b")
    finally:
        given(tmp_path, "umount m")
    check(sorted(run.words), ["cp create b", "cp read a"])


# Calls symlink by its number in 32-bit programs, which is that of mkdir in others, with what mkdir would take as well.
# In a child: where the kernel does not run such programs, this ends it.
OTHER_NUMBERS = """
import ctypes, os, struct
if not os.fork():
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_long
    page = libc.mmap(None, ctypes.c_size_t(4096), 7, 0x62, -1, ctypes.c_long(0))  # executable, below 4 GiB
    target, link = page + 1024, page + 2048
    ctypes.memmove(target, b"target", 7)
    ctypes.memmove(link, b"link", 5)
    code = b"\\x53\\x48\\xbf" + struct.pack("<Q", link)  # push rbx; mov rdi
    code += b"\\xb8" + struct.pack("<I", 83) + b"\\xbb" + struct.pack("<I", target)  # mov eax; mov ebx
    code += b"\\xb9" + struct.pack("<I", link) + b"\\xcd\\x80\\x5b\\xc3"  # mov ecx; int 0x80; pop rbx; ret
    ctypes.memmove(page, code, len(code))
    ctypes.CFUNCTYPE(ctypes.c_int)(page)()
    os._exit(0)
os.wait()
os.mkdir("made")
"""


@pytest.mark.parametrize("marker", [kernel._INTERRUPTS, "task_struct"])
def test_syscalls_of_32_bit_programs_are_not_taken_for_others(
    marker: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They have other numbers. So it is both ways to attach to syscalls, whichever this kernel needs."""
    monkeypatch.setattr(kernel, "_INTERRUPTS", marker)
    watcher = open_sensor([BEHAVIORS], "operations")
    try:
        run = watcher.run(python(OTHER_NUMBERS), tmp_path)
    finally:
        watcher.sensor.kernel.close()
    assert [words for words in run.words if "mkdir" in words] == ["python3 mkdir made"]


def test_every_syscall_of_every_trigger_has_a_probe() -> None:
    """The vocabulary names nothing that bpf/ does not serve, and bpf/ serves nothing that it does not name."""
    functions = served(text())
    words = {word for item in functions for word in item.words if not word.startswith("programs[")}
    named = {name for trigger in TRIGGERS.values() for name in trigger.syscalls}
    points = {name for trigger in TRIGGERS.values() for name in trigger.tracepoints}
    assert named == {word for word in words if ":" not in word}
    callers = {"raw_syscalls:sys_enter", "raw_syscalls:sys_exit"}
    assert points | callers == {word for word in words if ":" in word}
    assert len({number_of(name) for name in named}) == len(named)


def test_only_what_behaviors_use_is_attached(watcher: Watcher) -> None:
    """A set that never mentions `write` costs nothing on write."""
    functions = served(text())
    probes = {probe.tracepoint for probe in needed({"unlink", "exit"}, functions, False)}
    assert probes == {
        "syscalls:sys_enter_unlink",
        "syscalls:sys_exit_unlink",
        "syscalls:sys_enter_unlinkat",
        "syscalls:sys_exit_unlinkat",
        "sched:sched_process_exec",
        "sched:sched_process_exit",
    }
    attached = set(watcher.sensor.kernel.tracepoints)
    assert "syscalls:sys_exit_write" in attached
    assert "syscalls:sys_exit_bind" not in attached
    assert os.path.exists("/sys/kernel/tracing/events/syscalls/sys_exit_bind")
