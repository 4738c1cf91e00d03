# SPDX-License-Identifier: Apache-2.0
"""Which C function goes to which tracepoint, for the triggers that the behaviors ask for. Pure: knows no BCC."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..vocabulary import TRIGGERS
from .source import Served

__all__ = ["LIFE", "Probe", "callers", "needed", "tail_calls"]

LIFE = ("sched:sched_process_exec", "sched:sched_process_exit")  # of every process: names, arguments, ends


@dataclass(frozen=True, slots=True)
class Probe:
    """`function` on `tracepoint` (category:event)."""

    function: str
    tracepoint: str

    @property
    def syscall(self) -> tuple[str, str] | None:
        """Which side of which syscall it serves, such as ("enter", "close"); None if it serves something else."""
        if not self.tracepoint.startswith("syscalls:sys_"):
            return None
        side, _, name = self.tracepoint.removeprefix("syscalls:sys_").partition("_")
        return side, name


def needed(triggers: Iterable[str], served: Iterable[Served], follow: bool) -> list[Probe]:
    """The probes for these triggers and a process's life; with `follow`, also for finding its children."""
    wanted = set(triggers)
    syscalls = {name for trigger in wanted for name in TRIGGERS[trigger].syscalls}
    points = {name for trigger in wanted for name in TRIGGERS[trigger].tracepoints} | set(LIFE)
    if follow:
        points.add("task:task_newtask")
    probes = []
    for item in served:
        side = item.function.partition("_")[0]
        for word in item.words:
            if ":" in word:
                if word in points:
                    probes.append(Probe(item.function, word))
            elif word in syscalls and side in ("enter", "exit"):
                probes.append(Probe(item.function, f"syscalls:sys_{side}_{word}"))
    return probes


def callers(served: Iterable[Served]) -> list[Probe]:
    """What calls the functions of syscalls where these cannot be at their own tracepoints; see bpf/syscall.c."""
    return [Probe(item.function, word) for item in served for word in item.words if word.startswith("raw_syscalls:")]


def tail_calls(served: Iterable[Served]) -> dict[int, str]:
    """Functions that others tail-call, by their number in the map `programs`."""
    found = {}
    for item in served:
        for word in item.words:
            if word.startswith("programs["):
                found[int(word[9:-1])] = item.function
    return found
