# SPDX-License-Identifier: Apache-2.0
"""The C program for this kernel: bpf/'s files in order, and the offsets they ask for as #defines.

BCC rewrites only its main file, so the files are joined, with #line marks that keep its messages true.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..paths import BPF
from .btf import KernelTypes

__all__ = ["FILES", "Served", "flags", "served", "text"]

FILES = (
    "event.h",
    "kernel.h",
    "limit.h",
    "record.h",
    "path.h",
    "session.c",
    "file.c",
    "move.c",
    "release.c",
    "name.c",
    "socket.c",
    "process.c",
    "syscall.c",
)
_KERNEL_STACK = 16384  # THREAD_SIZE on x86-64 and arm64 with 4 KiB pages; asked only before bpf_task_pt_regs (5.15)


@dataclass(frozen=True)
class Served:
    """A C function and what it is attached to, as its SERVES line says."""

    function: str
    words: tuple[str, ...]


def text(folder: Path = BPF) -> str:
    return "".join(f'#line 1 "bpf/{name}"\n' + (folder / name).read_text(encoding="utf-8") for name in FILES)


def served(source: str) -> list[Served]:
    return [Served(m[1], tuple(m[2].split())) for m in re.finditer(r"^SERVES\((\w+),([^)]*)\)", source, re.MULTILINE)]


def flags(source: str, types: KernelTypes, ring_pages: int, sessions: int, singles: bool) -> list[str]:
    """Compiler flags: OFF_ and HAS_ for each member the source names, helpers, and the sizes of tables."""
    found = [f"-DRING_PAGES={ring_pages}", f"-DSESSIONS={sessions}", f"-DKERNEL_STACK_SIZE={_KERNEL_STACK}"]
    found.append(f"-DSINGLES={int(singles)}")
    found += ["-Xclang", "-disable-llvm-passes"]  # clang's own: BCC runs LLVM's again, and once is enough
    found.append(f"-DSIZE_pt_regs={types.size('pt_regs')}")
    names = set(re.findall(r"\b(?:OFF|HAS)\((\w+), (\w+)\)", source))
    names |= set(re.findall(r"\b(?:GET|FOLLOW|AT)\([^;]*?, (\w+), (\w+)\)", source))
    for structure, member in sorted(names - {("type", "member")}):
        offset = types.offset(structure, member)
        found.append(f"-DHAS_{structure}__{member}={int(offset is not None)}")
        if offset is not None:
            found.append(f"-DOFF_{structure}__{member}={offset}")
    helpers = types.enumerators("bpf_func_id")
    for name in sorted(set(re.findall(r"\bHAS_HELPER_(\w+)", source))):
        found.append(f"-DHAS_HELPER_{name}={int(f'BPF_FUNC_{name}' in helpers)}")
    return found
