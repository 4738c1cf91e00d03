# SPDX-License-Identifier: Apache-2.0
"""YAML files as values that know where they stand. The only importer of yaml; knows nothing of behaviors.

The YAML read here is a small part of YAML 1.2: mappings with plain text keys, sequences and scalars, in UTF-8. An
unquoted true, false, null, whole number or decimal fraction is that; everything else is text, `on`, `yes`, `0644` and
dates included. Anchors, aliases, tags, merge keys, second documents and duplicate keys are refused. Whatever a file
holds, and whatever kind of file it is, the answer is a Node or Problems, never another exception.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from ..errors import Problem

__all__ = ["MOST_BYTES", "MOST_DEPTH", "Node", "parse", "read", "shortened"]

MOST_BYTES = 1 << 20
MOST_DEPTH = 32

# the core schema of YAML 1.2.2, section 10.3.2, less what surprises: no octal, hexadecimal, infinity or exponent
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})\Z", re.ASCII)
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]{0,15})\.[0-9]{1,15}\Z", re.ASCII)
_NOT_FILES = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


@dataclass(frozen=True, slots=True)
class Node:
    """One value. A mapping is a dict from text to Node, a sequence a list of Nodes; lines and columns count from 1."""

    value: Any  # dict[str, Node], list[Node], str, int, float, bool or None
    line: int
    column: int
    text: str = ""  # a scalar as it was written, less its quotes
    quoted: bool = False
    keys: dict[str, Node] = field(default_factory=dict)  # where each key of a mapping stands

    @property
    def kind(self) -> str:
        """What the value is, in words for a message."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        return "nothing" if self.value is None else f"'{shortened(self.text)}'"


class _Refused(Exception):
    def __init__(self, line: int, column: int, what: str, hint: str = "") -> None:
        self.place = (line, column, what, hint)


def read(
    path: str | os.PathLike[str], problems: list[Problem], shown: str = "", may_be_empty: bool = False
) -> tuple[Node, os.stat_result] | None:
    """The document in a file and the file's status; None if there was a problem. Messages call the file `shown`."""
    shown = shown or os.fspath(path)
    try:
        status, data = _contents(path)
    except OSError as error:
        problems.append(Problem(shown, 1, 1, f"cannot be read: {error.strerror}"))
        return None
    except _Refused as refused:
        problems.append(Problem(shown, *refused.place))
        return None
    node = parse(data, shown, problems, may_be_empty)
    return None if node is None else (node, status)


def parse(data: bytes, path: str, problems: list[Problem], may_be_empty: bool = False) -> Node | None:
    """The one document in `data`; None if it is none, with the reason in `problems`.

    Nothing but comments is a problem too, or a node without a value where a file `may_be_empty`.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = data[: error.start].decode("utf-8-sig")
        line, column = _position(good)
        problems.append(Problem(path, line, column, f"the byte 0x{data[error.start]:02x} is not UTF-8"))
        return None
    try:
        duplicates: list[Problem] = []
        try:
            node = _document(text, _LOADERS[0], path, duplicates, may_be_empty)
        except yaml.YAMLError:  # the parser in Python has the same messages on every machine
            duplicates.clear()
            node = _document(text, _LOADERS[-1], path, duplicates, may_be_empty)
    except _Refused as refused:
        problems.append(Problem(path, *refused.place))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "is not YAML"
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problems.append(Problem(path, line, column, what, _hint(what)))
    except yaml.reader.ReaderError as error:
        line, column = _position(text[: error.position])
        problems.append(Problem(path, line, column, f"the character U+{ord(text[error.position]):04X} is not allowed"))
    else:
        problems.extend(duplicates)
        return None if duplicates else node
    return None


_LOADERS: tuple[Any, ...] = (*([yaml.CSafeLoader] if yaml.__with_libyaml__ else []), yaml.SafeLoader)


def _contents(path: str | os.PathLike[str]) -> tuple[os.stat_result, bytes]:
    # O_NONBLOCK: opening a pipe must not wait for a writer
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _Refused(1, 1, f"is {_NOT_FILES.get(stat.S_IFMT(status.st_mode), 'a device')}, not a file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(MOST_BYTES + 1)
    finally:
        os.close(fd)
    if len(data) > MOST_BYTES:
        raise _Refused(1, 1, f"is larger than {MOST_BYTES} bytes")
    return status, data


def _document(text: str, loader: Any, path: str, duplicates: list[Problem], may_be_empty: bool) -> Node:
    """The events of the parser as one tree; by a stack of our own, so that depth has a limit and no traceback."""
    events = cast("Iterator[Any]", yaml.parse(text, Loader=loader))
    stack: list[tuple[Node, list[Node]]] = []  # open collections, each with the nodes it has so far
    root: Node | None = None
    for event in events:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, yaml.DocumentStartEvent) and root is not None:
            raise _Refused(line, column, "a second document", "one file holds one")
        if isinstance(event, yaml.AliasEvent) or (isinstance(event, yaml.NodeEvent) and event.anchor):
            raise _Refused(line, column, "anchors and aliases are not allowed", "write the value out")
        if getattr(event, "tag", None) is not None:
            raise _Refused(line, column, f"tags are not allowed: '{shortened(event.tag)}'")
        if isinstance(event, yaml.ScalarEvent):
            node = _scalar(event.value, bool(event.style), line, column)
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(stack) == MOST_DEPTH:
                raise _Refused(line, column, f"nested deeper than {MOST_DEPTH} levels")
            value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            stack.append((Node(value, line, column), []))
            continue
        elif isinstance(event, yaml.CollectionEndEvent):
            node, parts = stack.pop()
            if isinstance(node.value, dict):
                _fill(node, parts, path, duplicates)
            else:
                node.value.extend(parts)
        else:
            continue
        if stack:
            stack[-1][1].append(node)
        else:
            root = node
    if root is None and may_be_empty:
        return Node(None, 1, 1)
    if root is None:
        raise _Refused(1, 1, "is empty")
    return root


def _fill(node: Node, parts: list[Node], path: str, duplicates: list[Problem]) -> None:
    for key, value in zip(parts[::2], parts[1::2], strict=True):
        if isinstance(key.value, dict | list):
            raise _Refused(key.line, key.column, f"{key.kind} cannot be a key")
        if key.text in node.keys:
            first = node.keys[key.text].line
            what = f"duplicate key '{shortened(key.text)}', first in line {first}"
            duplicates.append(Problem(path, key.line, key.column, what))
            continue
        node.keys[key.text] = key
        node.value[key.text] = value


def _scalar(text: str, quoted: bool, line: int, column: int) -> Node:
    value: Any = text
    if not quoted:
        if text in _WORDS:
            value = _WORDS[text]
        elif _WHOLE.match(text):
            value = int(text)
        elif _FRACTION.match(text):
            value = float(text)
    return Node(value, line, column, text, quoted)


def shortened(text: str) -> str:
    """Text from a file, fit to stand in a one-line message."""
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return text if text.isprintable() else ascii(text)[1:-1]


def _position(before: str) -> tuple[int, int]:
    lines = before.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return len(lines), len(lines[-1]) + 1


def _hint(what: str) -> str:
    if "'\\t'" in what:
        return "indent with spaces, not tabs"
    if "'@'" in what or "'`'" in what or "'%'" in what:
        return "quote the text"
    return ""
