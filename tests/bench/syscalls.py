# SPDX-License-Identifier: Apache-2.0
"""What watching adds to one operation, in ns: bare, with an empty eBPF program, with auditd, with Panorama.

The generator stays on one CPU and does nothing else, so this is the price in the kernel, and of waiting where auditd
makes it wait. Modes take turns, in one order and then in the other.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import median

from .auditd import Auditd, audit_set_aside, known
from .bench import PYTHON, Bench, pin, said
from .load import Load
from .modes import Bare, Empty, Mode, Panorama
from .report import Row, Section, at_most
from .stats import Figure, paired

__all__ = ["attached", "measure"]

_SAMPLES = 3
_MILLION = 1_000_000

# operation of load.c, and how many bytes it moves where that is not 4096: what it is
_OPERATIONS = {
    "session": "open+read+close of one file",
    "connect": "connect+close on loopback TCP",
    "unlink": "unlink",
    "rename": "rename",
    "read": "read of 4096 bytes, one file, a million times",
    "write": "write of 4096 bytes, one file, a million times",
    "read 131072": "read of 128 KiB, as cat and cp do",
    "write 131072": "write of 128 KiB",
    "getppid": "getppid, which nobody watches",
}
_FOR_AUDIT = {"session": 1 / 20, "connect": 1 / 10, "unlink": 1 / 10, "rename": 1 / 10}
_OFTEN = (
    "read",
    "pread64",
    "readv",
    "preadv",
    "preadv2",
    "write",
    "pwrite64",
    "writev",
    "pwritev",
    "pwritev2",
    "close",
)

_Times = dict[str, dict[str, list[float]]]  # operation: mode: ns each, one a round


def attached() -> list[str]:
    """The syscalls that Panorama's default behaviors attach to."""
    found: list[str] = json.loads(said([PYTHON, "-m", "tests.bench.inside", "syscalls"]))
    return found


def measure(bench: Bench) -> Section:
    section = Section("What one syscall costs more")
    load = Load(bench.folder("syscalls"))
    with audit_set_aside() as no_auditd:
        modes: list[Callable[[], Mode]] = [lambda: Bare(bench), lambda: Empty(bench)]
        if no_auditd:
            section.note(no_auditd)
        else:
            every = attached()
            names, fewer = known(every), known([name for name in every if name not in _OFTEN])
            modes += [lambda: Auditd(bench, names), lambda: Auditd(bench, fewer, "auditd, fewer")]
            section.note(
                f"auditd: one rule for the {len(names)} syscalls that Panorama attaches to, Debian's settings"
                " (programs wait for it: backlog 8192, wait 60000); fewer: without read, write, close and their kin"
            )
            section.note(
                "once auditd has run, every process started later is slower at every syscall until the machine restarts,"
                " also when it is off; the rule `task,never`, which is in force in the other"
                " modes, takes that away"
            )
        modes.append(lambda: Panorama(bench))
        times: _Times = {}
        lost: dict[str, list[str]] = {}
        for turn in range(bench.rounds):
            for make in modes if turn % 2 == 0 else reversed(modes):
                _round(bench, load, make(), times, lost)
    _rows(section, times, no_auditd)
    section.note_lost(lost)
    section.note(
        f"{_SAMPLES} samples a round, of {_seconds(bench)} s but for the million (auditd: {_seconds(bench)} s there, too),"
        f" and their median; on CPU {pin()}"
    )
    return section


def _round(bench: Bench, load: Load, mode: Mode, times: _Times, lost: dict[str, list[str]]) -> None:
    with contextlib.ExitStack() as stack:
        folder = bench.folder("syscalls/files")
        stack.callback(shutil.rmtree, folder)
        load.run(folder, "make", count=_files(bench) * _SAMPLES)
        stack.enter_context(mode)
        for operation in _OPERATIONS:
            each = _sample(load, folder, operation, mode, bench)
            times.setdefault(operation, {}).setdefault(mode.name, []).append(each)
        words = mode.lost()
    lost.setdefault(mode.name, []).append(words or mode.lost())


def _sample(load: Load, folder: Path, operation: str, mode: Mode, bench: Bench) -> float:
    """The median of some samples in ns. What `read` and `write` are asked for is a million, auditd less."""
    word, _, size = operation.partition(" ")
    count = {"unlink": _files(bench)}.get(operation, _MILLION)
    whole = operation in ("read", "write") and not isinstance(mode, Auditd) and not bench.quick
    options = {"count": count, "samples": _SAMPLES, "cpu": pin()} | ({} if whole else {"seconds": _seconds(bench)})
    done = load.run(folder, word, **options, **({"bytes": size} if size else {}))
    mode.settle()
    return median(sample.each for sample in done)


def _seconds(bench: Bench) -> float:
    return bench.pick(0.25, 0.05)


def _files(bench: Bench) -> int:
    return int(bench.pick(20_000, 5_000))


def _rows(section: Section, times: _Times, no_auditd: str) -> None:
    names = list(times["getppid"])
    section.table = [["ns each", *names]]
    section.table += [[words, *(Figure(times[op][name]).both() for name in names)] for op, words in _OPERATIONS.items()]
    for operation, words in _OPERATIONS.items():
        bare, panorama = times[operation]["bare"], times[operation]["Panorama"]
        if operation in _FOR_AUDIT:
            limit = _FOR_AUDIT[operation]
            ours = _added(panorama, bare)
            for name in ("auditd", "auditd, fewer"):
                if name in times[operation]:
                    shares = Figure(paired(ours, _added(times[operation][name], bare)))
                    row = at_most(f"{words}: Panorama adds, of what {name} adds", shares, limit)
                    if name == "auditd":
                        section.rows.append(row)
                    else:
                        section.rows.append(Row(row.what, "", row.measured, row.spread))
            if no_auditd:
                section.rows.append(at_most(f"{words}: Panorama adds, of what auditd adds", None, limit, "", no_auditd))
            added = Figure(ours, "ns")
            section.rows.append(Row(f"{words}: Panorama adds", "", added.text(), added.spread()))
        elif operation == "getppid":
            section.rows.append(at_most(words, Figure(paired(panorama, bare), "times bare"), 1.5, "times bare"))
            empty = Figure(paired(times[operation]["empty"], bare), "times bare")
            section.rows.append(Row("the same with an empty eBPF program", "", empty.text(), empty.spread()))
        else:
            slower = Figure([(ratio - 1) * 100 for ratio in paired(panorama, bare)], "%")
            section.rows.append(at_most(f"{words}: slower than bare", slower, 3, "%"))
            empty = Figure([(ratio - 1) * 100 for ratio in paired(times[operation]["empty"], bare)], "%")
            section.rows.append(Row("the same with an empty eBPF program", "", empty.text(), empty.spread()))


def _added(watched: list[float], bare: list[float]) -> list[float]:
    return [a - b for a, b in zip(watched, bare, strict=True)]
