# SPDX-License-Identifier: Apache-2.0
"""Which C function goes to which tracepoint, for the triggers that the behaviors ask for. Pure: knows no BCC."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..vocabulary import TRIGGERS
from .source import Served

__all__ = ["LIFE", "Probe", "needed", "tail_calls"]

LIFE = ("sched:sched_process_exec", "sched:sched_process_exit")  # of every process: names, arguments, ends


@dataclass(frozen=True, slots=True)
class Probe:
    """`function` on `tracepoint` (category:event); a raw tracepoint has no category."""

    function: str
    tracepoint: str
    raw: bool = False


def needed(triggers: Iterable[str], served: Iterable[Served], follow: bool) -> list[Probe]:
    """The probes for these triggers and a process's life; with `follow`, also for finding its children."""
    wanted = set(triggers)
    syscalls = {name for trigger in wanted for name in TRIGGERS[trigger].syscalls}
    points = {name for trigger in wanted for name in TRIGGERS[trigger].tracepoints} | set(LIFE)
    if follow:
        points.add("sched:sched_process_fork")
    probes = []
    for item in served:
        side = item.function.partition("_")[0]
        for word in item.words:
            if ":" in word:
                if word in points:
                    probes.append(Probe(item.function, word))
            elif word.startswith("sched_"):
                if f"sched:{word}" in points:
                    probes.append(Probe(item.function, word, raw=True))
            elif word in syscalls and side in ("enter", "exit"):
                probes.append(Probe(item.function, f"syscalls:sys_{side}_{word}"))
    return probes


def tail_calls(served: Iterable[Served]) -> dict[int, str]:
    """Functions that others tail-call, by their number in the map `programs`."""
    found = {}
    for item in served:
        for word in item.words:
            if word.startswith("programs["):
                found[int(word[9:-1])] = item.function
    return found
