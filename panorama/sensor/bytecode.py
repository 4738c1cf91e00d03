# SPDX-License-Identifier: Apache-2.0
"""The compiled program: made by compile.py in a process of its own, and kept for the next start.

What is kept is found by a digest of all that goes into it: the source, the flags (which have this kernel's offsets) and
BCC's version. Without a place to keep it, it is compiled at every start. Root obeys what is kept only if nobody else
could have written it; and the kernel's verifier has the last word on it either way.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.machinery
import json
import os
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CannotSense
from ..paths import BPF, CACHE

__all__ = ["Bytecode", "Code", "MapShape", "compiled"]

_COMPILER = Path(__file__).with_name("compile.py")
_KEPT = 4  # the latest: other kernels, other behaviors
_FORM = 1  # of what is kept
_IMMEDIATE = 4  # where an instruction's immediate value is
_SIDES = ("key", "value")


@dataclass(frozen=True, slots=True)
class MapShape:
    """A map to be made; `key` and `value` have (name, offset in bytes, struct code) of each member, "" for a scalar."""

    number: int
    type: int
    key_size: int
    value_size: int
    entries: int
    flags: int
    key: tuple[tuple[str, int, str], ...]
    value: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True, slots=True)
class Code:
    """A function's instructions (struct bpf_insn); `maps` has the map's number by the place, in bytes, of its use."""

    instructions: bytes
    maps: tuple[tuple[int, int], ...]

    def linked(self, descriptors: Mapping[int, int]) -> bytes:
        """The instructions with each map's descriptor, given by number, where it is used."""
        changed = bytearray(self.instructions)
        for at, number in self.maps:
            struct.pack_into("=i", changed, at + _IMMEDIATE, descriptors[number])
        return bytes(changed)


@dataclass(frozen=True)
class Bytecode:
    """Functions and maps by name."""

    programs: dict[str, Code]
    maps: dict[str, MapShape]


def compiled(source: str, flags: list[str], cache: Path = CACHE) -> Bytecode:
    """The program for these flags, from `cache` if it is there. Raises CannotSense."""
    version = _bcc_version()
    digest = hashlib.sha256(json.dumps([_FORM, source, flags, version]).encode()).hexdigest()
    path = cache / f"{digest[:32]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return _read(_trusted(path))
    text = _compile(source, flags)
    with contextlib.suppress(OSError):
        _keep(path, text)
    return _read(text)


def _bcc_version() -> str:
    spec = importlib.machinery.PathFinder.find_spec("bcc")
    if spec is None or spec.origin is None:
        raise CannotSense("BCC is not installed; try: apt install python3-bpfcc")
    folder = Path(spec.origin).parent
    if not (folder / "libbcc.py").is_file():
        raise CannotSense("the module bcc found is not the BPF Compiler Collection; try: apt install python3-bpfcc")
    return (folder / "version.py").read_text(encoding="utf-8", errors="replace")


def _compile(source: str, flags: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-I", str(_COMPILER)],
        input=json.dumps({"source": source, "flags": flags}),
        capture_output=True,
        text=True,
        errors="replace",
        env=os.environ | {"BCC_KERNEL_SOURCE": str(BPF / "headers")},
        start_new_session=True,  # Ctrl-C is for us; this takes a second
        check=False,
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = next((line for line in lines if "error:" in line), (lines or ["no reason given"])[-1])
        raise CannotSense(f"the eBPF program does not compile here ({said}); see: panorama doctor")
    return done.stdout


def _read(text: str) -> Bytecode:
    """Raises ValueError, KeyError or TypeError if it is not what compile.py writes."""
    data: dict[str, Any] = json.loads(text)
    return Bytecode(
        programs={
            name: Code(base64.b64decode(code, validate=True), tuple((int(at), int(number)) for at, number in used))
            for name, (code, used) in data["programs"].items()
        },
        maps={
            name: MapShape(**shape | {side: tuple((n, int(at), c) for n, at, c in shape[side]) for side in _SIDES})
            for name, shape in data["maps"].items()
        },
    )


def _trusted(path: Path) -> str:
    """The text of a file that only root, or whoever runs this, could have written; OSError if it is not such a one."""
    with path.open(encoding="ascii") as file:
        for status in (os.fstat(file.fileno()), path.parent.stat()):
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise PermissionError(path)
        return file.read()


def _keep(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        new = Path(folder) / path.name
        new.write_text(text, encoding="ascii")
        new.chmod(0o600)
        new.replace(path)
    older = sorted(path.parent.glob("*.json"), key=lambda each: each.stat().st_mtime, reverse=True)[_KEPT:]
    for each in older:
        each.unlink(missing_ok=True)
