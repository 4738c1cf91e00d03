# SPDX-License-Identifier: Apache-2.0
"""Reads bpf/event.h, the one definition of the record, into sizes and offsets.

It understands `#define NAME number`, one `enum trigger` and one flat `struct event` of u8 to u64, s32, s64, char[n] and
u8[n]; anything else is refused, so that the header stays a thing two languages can read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import PanoramaError
from ..paths import BPF

__all__ = ["Layout", "LayoutError", "read_layout"]

_CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "s32": "i", "s64": "q"}


class LayoutError(PanoramaError):
    """event.h says something this reader does not understand, or the compiler understood it differently."""


@dataclass(frozen=True)
class Layout:
    """`fields` maps a name to (offset, size) in bytes; `triggers` are in the order of their numbers."""

    fields: dict[str, tuple[int, int]]
    size: int
    codes: dict[str, str]  # by field, for the struct module
    flags: dict[str, int]
    triggers: tuple[str, ...]

    @property
    def format(self) -> str:
        """For the struct module: native byte order, no implied padding."""
        return "=" + "".join(self.codes.values())


def _statements(text: str) -> Iterator[str]:
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    for part in text.split(";"):
        if statement := " ".join(part.split()):
            yield statement


def read_layout(path: Path = BPF / "event.h") -> Layout:
    """The layout that `path` defines; LayoutError names the first thing in it that is not understood."""
    text = path.read_text(encoding="utf-8")
    numbers = {m[1]: int(m[2]) for m in re.finditer(r"^#define (\w+) (\d+)\b", text, re.MULTILINE)}
    body = re.search(r"struct event \{(.*?)\n\};", text, re.DOTALL)
    words = re.search(r"enum trigger \{(.*?)\}", text, re.DOTALL)
    if not body or not words:
        raise LayoutError(f"{path}: no struct event or no enum trigger")
    fields: dict[str, tuple[int, int]] = {}
    codes: dict[str, str] = {}
    offset = 0
    for statement in _statements(body[1]):
        match = re.fullmatch(r"(\w+) (\w+)(?:\[(\w+)\])?", statement)
        if not match:
            raise LayoutError(f"{path}: cannot read '{statement}' in struct event")
        kind, name, length = match.groups()
        if length and kind in ("char", "u8") and (length in numbers or length.isdigit()):
            size = numbers[length] if length in numbers else int(length)
            codes[name] = f"{size}s"
        elif not length and kind in _CODES:
            size = struct.calcsize("=" + _CODES[kind])
            codes[name] = _CODES[kind]
            if offset % size:
                raise LayoutError(f"{path}: {name} is not aligned")
        else:
            raise LayoutError(f"{path}: {name} has a type this reader does not know: {statement}")
        fields[name] = (offset, size)
        offset += size
    if offset % 8:
        raise LayoutError(f"{path}: struct event has {offset} bytes; spell out the padding to a multiple of 8")
    listed = re.sub(r"/\*.*?\*/", " ", words[1], flags=re.DOTALL).replace(",", " ").split()
    return Layout(
        fields=fields,
        size=offset,
        codes=codes,
        flags={name.removeprefix("FLAG_").lower(): n for name, n in numbers.items() if name.startswith("FLAG_")},
        triggers=tuple(word.lower() for word in listed if word != "TRIGGERS"),
    )
