# SPDX-License-Identifier: Apache-2.0
"""What /proc says of processes: their CPU time, their memory, and when the last of a group has let go."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator

from .bench import CannotMeasure

__all__ = ["anonymous", "cpu_seconds", "group", "named", "until"]

_TICK = 1 / os.sysconf("SC_CLK_TCK")


def _stat(pid: int | str) -> list[str]:
    """The fields of /proc/PID/stat behind the name, that is from state on (proc(5)); empty if there is none."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].decode().split()
    return []


def _all() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes so far, with that of their children that have ended."""
    return sum(sum(int(word) for word in fields[11:15]) for pid in pids if (fields := _stat(pid))) * _TICK


def anonymous(pids: Iterable[int]) -> int:
    """RssAnon of these processes in bytes: memory of their own, without files and shared mappings."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon:"))
    return total


def group(pgid: int) -> list[int]:
    """The processes of a group that run: who is a zombie has closed its files already."""
    found = []
    for pid in _all():
        fields = _stat(pid)
        if fields and int(fields[2]) == pgid and fields[0] not in "ZX":
            found.append(pid)
    return found


def named(command: str) -> list[int]:
    """Processes whose command (comm) is this."""
    found = []
    for pid in _all():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            if file.read().rstrip("\n") == command:
                found.append(pid)
    return found


def until(what: str, true: Callable[[], object], seconds: float = 30.0, every: float = 0.01) -> None:
    """Waits until `true` says so; CannotMeasure("not WHAT within ... s") if it does not."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise CannotMeasure(f"not {what} within {seconds:.0f} s")
        time.sleep(every)
