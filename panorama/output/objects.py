# SPDX-License-Identifier: Apache-2.0
"""The object of a line as text, and the facts behind a line that every format needs.

A file is `name:inode`: the name quoted if need be, then, outside of any quotes, `:inode` unless it is 0, then
`(unreachable)` if the file has no place in the tree. A name that itself ends like that is always quoted, so what is
behind the quotes is ours. The new name of a rename or link is the name alone if it stayed in its directory, and the
absolute path if it did not; a path that lost its beginning starts with `.../`. A file marked "given" is written like
any other, because the name is the one the program used; json tells. What a machine gathered is the first three, files
by their names alone, `and N more`; if it is one thing, that thing. A field that ends in `.path` or `.paths` is written
with whole paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..event import Address, Event, File
from .line import Gathered, Line, Part
from .quoting import MISSING, bare, quote

__all__ = [
    *("address_text", "began", "byte_counts", "descriptor", "evidence", "file_text", "gathered_text", "main_file"),
    "object_text",
]

_AND = "and"  # a name that is this word is quoted in a list
_MOST_GATHERED = 3

_LIKE_A_SUFFIX = re.compile(r"(?::\d+|\(unreachable\))\Z")


def object_text(line: Line) -> str:
    """The whole object: literal text as the behavior's author wrote it, fields quoted where they need it."""
    if len(line.object) == 1:
        return _text(line, 0)
    return "".join([_text(line, index) for index in range(len(line.object))])


def file_text(file: File) -> str:
    """`name:inode`, as the module's first paragraph promises."""
    inode = f":{file.inode}" if file.inode else ""
    return f"{_name(file.name)}{inode}{_mark(file)}"


def address_text(address: Address) -> str:
    """`host:port`, `[v6]:port` or a UNIX path; a relative UNIX path is quoted, as it could spell one of the others."""
    if address.family != "unix" or not address.host:
        return quote(str(address))
    return quote(address.host, always=address.host[0] not in "/@")


def gathered_text(gathered: Gathered, paths: bool = False) -> str:
    """`a b c and 47 more`; of one thing what it is by itself."""
    if gathered.count == 1 and not paths:
        return _value(gathered.values[0])
    said = [_path(value) if paths else _gathered(value) for value in gathered.values[:_MOST_GATHERED]]
    left = gathered.count - len(said)
    return " ".join([*said, f"{_AND} {left} more"] if left else said) or MISSING


def evidence(line: Line) -> Iterator[Event]:
    """Each event of the line once: a machine may have taken several steps on one."""
    seen = set()
    for event in line.events:
        if id(event) not in seen:
            seen.add(id(event))
            yield event


def byte_counts(line: Line) -> tuple[int, int]:
    """Bytes read and written by all events of the line."""
    events = list(evidence(line))
    return sum(event.bytes_read for event in events), sum(event.bytes_written for event in events)


def descriptor(line: Line) -> str:
    """The latest descriptor that an event of the line has."""
    return next((str(event.fd) for event in reversed(line.events) if event.fd >= 0), MISSING)


def began(line: Line) -> int:
    """When the first event of the line began; the line's own time where it has none."""
    return min((event.began or event.time for event in line.events), default=line.time)


def main_file(line: Line) -> File | None:
    """The first file of the object, else that of the completing event."""
    for part in line.object:
        if isinstance(part, Part) and isinstance(part.value, File):
            return part.value
    return line.events[-1].file if line.events else None


def _text(line: Line, index: int) -> str:
    part = line.object[index]
    if isinstance(part, str):
        return part if part.isprintable() else bare(part)
    value = part.value
    if isinstance(value, File) and part.field == "to":
        return _new_name(line, index, value)
    if part.field == "mode" and isinstance(value, int):
        return f"{value:04o}"
    whole = part.field.endswith((".path", ".paths"))
    if isinstance(value, Gathered):
        return gathered_text(value, whole)
    return _path(value) if whole else _value(value)


def _value(value: File | Address | str | int | bool | None) -> str:
    if isinstance(value, File):
        return file_text(value)
    if isinstance(value, Address):
        return address_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quote(value)
    return MISSING if value is None else str(value)


def _path(value: File | Address | str | int | bool | None) -> str:
    return f"{quote(value.path)}{_mark(value)}" if isinstance(value, File) else _value(value)


def _gathered(value: File | Address | str | int) -> str:
    """One of several."""
    if isinstance(value, File):
        return f"{_name(value.name)}{_mark(value)}" if value.name != _AND else quote(_AND, always=True)
    return quote(_AND, always=True) if value == _AND else _value(value)


def _new_name(line: Line, index: int, new: File) -> str:
    old = _old_name(line, index, new)
    same_directory = old is not None and old.path.rpartition("/")[0] == new.path.rpartition("/")[0]
    return f"{_name(new.name if same_directory else new.path)}{_mark(new)}"


def _old_name(line: Line, index: int, new: File) -> File | None:
    for event in reversed(line.events):
        if event.to == new and event.file is not None:
            return event.file
    files = (part.value for part in reversed(line.object[:index]) if isinstance(part, Part))
    return next((value for value in files if isinstance(value, File)), None)


def _name(name: str) -> str:
    if name[-1:].isdecimal() or name[-1:] == ")":
        return quote(name, always=_LIKE_A_SUFFIX.search(name) is not None)
    return quote(name)


def _mark(file: File) -> str:
    return "(unreachable)" if file.mark == "unreachable" else ""
