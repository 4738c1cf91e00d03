# SPDX-License-Identifier: Apache-2.0
"""A line as nested plain data with one format's keys, made by walking the table of fields (table.py).

Text that is not UTF-8 has U+FFFD for the bytes that are not, and `<key>_bytes` with all of it in hexadecimal: beside
it, or, where a standard has no room for that, in the part of the record that is ours. Where a sink limits the length,
arguments and all but the last operations go first, then event ids, the other operations, `_bytes` and the ends of long
texts, then all but what tells who did what to what, at last all but the identity; `cut` says so. What that comes to is
a record like any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from .context import Context
from .facts import Actor, Facts
from .fields import ARGUMENTS, EVIDENCE, IDENTITY, USUAL, VITAL, Section
from .line import Line
from .quoting import CUT
from .table import SECTIONS

__all__ = ["Record", "Shape", "dumps", "fitted"]

Record = dict[str, Any]
_Path = tuple[str, ...]
_Nodes = dict[_Path, Record]

_SURROGATE = re.compile("[\ud800-\udfff]")
_RAW = ("text", "list", "operations")  # kinds of fields with text from outside
_MOST_PROCESSES = 512  # whose part of the record is kept
# until it fits: rows of which rank stay, and how long a text may be (0: any)
_STEPS = ((EVIDENCE, 0), (USUAL, 200), (VITAL, 200), (VITAL, 60), (IDENTITY, 60))

dumps = json.JSONEncoder(separators=(",", ":")).encode  # ASCII only: nothing in it can reach a terminal


# plain tuples, because the interpreter takes those apart fastest
# one row: key, getter, converter, and whether the value may hold bytes that are not UTF-8
_Entry = tuple[str, Callable[[Any], Any], Callable[[Any], Any] | None, bool]
_Entries = tuple[tuple[_Path, tuple[_Entry, ...]], ...]  # by the part of the record they are in
# one section: its source, its rows, and what makes a part of them that many lines share
_Step = tuple[Callable[[Facts], Any], _Entries, Callable[[Actor], Record] | None]


class Shape:
    """One column of the table. `convert` says what becomes of which kinds of value.

    `ours` is the part of the record for what the standard has no key for; "" keeps `_bytes` beside the text. A `flat`
    shape has keys without parts, and its values are left as they are, raw bytes and all.
    """

    def __init__(
        self, column: str, convert: Mapping[str, Callable[[Any], Any]], ours: str = "", flat: bool = False
    ) -> None:
        self._column, self._convert, self._ours, self._flat = column, convert, ours, flat
        self._plans = [[self._step(section, rank) for section in SECTIONS] for rank in range(IDENTITY + 1)]
        self._plans = [[step for step in plan if step[1]] for plan in self._plans]
        fields = [field for section in SECTIONS for field in section.fields if field.rank == IDENTITY]
        self._spared = frozenset(key for field in fields for key in field.column(column))

    def record(self, facts: Facts, rank: int = ARGUMENTS, longest: int = 0) -> Record:
        """The rows of at least that rank. The record is the caller's to change, but not what is nested twice.

        With `longest`, text that takes more is cut, and what is not UTF-8 has no `_bytes`; the identity stays.
        """
        result: Record = {}
        nodes: _Nodes = {(): result}
        for take, entries, part in self._plans[rank]:
            source = take(facts)
            if source is None:
                continue
            if part is None:
                self._fill(nodes, entries, source)
            else:
                _merge(nodes, part(source))
        return _trimmed(result, longest, self._spared) if longest else result

    def _step(self, section: Section, rank: int) -> _Step:
        parts: dict[_Path, list[_Entry]] = {}
        for field in section.fields:
            for key in field.column(self._column) if field.rank >= rank else ():
                path, _, last = ("", "", key) if self._flat else key.rpartition(".")
                raw = field.kind in _RAW and not self._flat
                entry = (last, field.get, self._convert.get(field.kind), raw)
                parts.setdefault(tuple(path.split(".")) if path else (), []).append(entry)
        entries = tuple((path, tuple(part)) for path, part in parts.items())
        part = lru_cache(_MOST_PROCESSES)(lambda source: self._part(entries, source)) if section.shared else None
        return section.take, entries, part

    def _part(self, entries: _Entries, source: Any) -> Record:
        result: Record = {}
        self._fill({(): result}, entries, source)
        return result

    def _fill(self, nodes: _Nodes, entries: _Entries, source: Any) -> None:
        for path, fields in entries:
            node = nodes.get(path)
            for key, get, convert, raw in fields:
                value = get(source)
                if not value and (value is None or value == "" or value == ()):
                    continue
                if convert is not None:
                    value = convert(value)
                if node is None:
                    node = _node(nodes, path)
                node[key] = value
                if raw and not (type(value) is str and value.isascii()):
                    node[key] = clean = _readable(value)
                    if clean != value and isinstance(value, str | tuple):
                        self._keep_bytes(nodes, path, key, value)

    def _keep_bytes(self, nodes: _Nodes, path: _Path, key: str, value: Any) -> None:
        raw = [_hex(word) for word in value] if isinstance(value, tuple) else _hex(value)
        if self._ours:
            path, key = (self._ours,), "_".join((*path, key))
        _node(nodes, path)[f"{key}_bytes"] = raw


def fitted(render: Callable[[Facts, int, int], str], line: Line, context: Context) -> str:
    """What `render` makes of the line, the rank that rows must have and the longest text; the first that fits."""
    facts = Facts(line, context)
    limit = context.limit
    text = render(facts, ARGUMENTS, 0)
    for rank, longest in _STEPS if limit else ():
        if len(text) * 4 <= limit or len(text.encode()) <= limit:
            break
        facts.cut = True
        text = render(facts, rank, longest)
    return text


def _trimmed(data: Any, longest: int, spared: frozenset[str], path: str = "") -> Any:
    """A copy without `_bytes`, each text but the spared ones cut so that it takes no more than that in JSON."""
    if isinstance(data, dict):
        inner = {key: (value, f"{path}.{key}" if path else key) for key, value in data.items()}
        return {
            key: value if place in spared else _trimmed(value, longest, spared, place)
            for key, (value, place) in inner.items()
            if not key.endswith("_bytes")
        }
    if isinstance(data, list | tuple):
        return [_trimmed(value, longest, spared) for value in data]
    if isinstance(data, str) and len(dumps(data)) > longest:
        text = data[:longest]
        while len(dumps(text)) > longest - len(CUT):
            text = text[: len(text) * 3 // 4]
        return type(data)(text + CUT)
    return data


def _node(nodes: _Nodes, path: _Path) -> Record:
    """The part of the record at a path, made if need be."""
    found = nodes.get(path)
    if found is None:
        found = nodes[path] = _node(nodes, path[:-1]).setdefault(path[-1], {})
    return found


def _merge(nodes: _Nodes, part: Record) -> None:
    """Joins a part that others share: copied as deep as two sections may meet."""
    for key, value in part.items():
        if isinstance(value, dict):
            _node(nodes, (key,)).update(value)
        else:
            nodes[()][key] = value


def _readable(value: Any) -> Any:
    """The value with U+FFFD for raw bytes; in a dict, which has keys of its own, with `_bytes` beside them."""
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        result = {}
        for key, inner in value.items():
            result[key] = _readable(inner)
            if isinstance(inner, str) and result[key] != inner:
                result[f"{key}_bytes"] = _hex(inner)
            elif isinstance(inner, list) and result[key] != inner and isinstance(inner[0], str):
                result[f"{key}_bytes"] = [_hex(word) for word in inner]
        return result
    if isinstance(value, list):
        return [_readable(inner) for inner in value]
    if isinstance(value, tuple):
        return tuple(_readable(inner) for inner in value)
    return value


def _hex(text: str) -> str:
    try:
        return text.encode("utf-8", "surrogateescape").hex()
    except UnicodeEncodeError:  # a surrogate that stands for no byte: it came from a hand-made trace
        return text.encode("utf-8", "surrogatepass").hex()
