# SPDX-License-Identifier: Apache-2.0
"""The small phrases inside a behavior: conditions, emit templates, durations. YAML nodes in, model values out.

What a condition may say follows from the kind of its field (vocabulary.FIELDS). A phrase that is wrong adds a Problem
and gives nothing back.
"""

from __future__ import annotations

import difflib
import ipaddress
import re

from ..reading.fields import WORD, Reading, suggestion
from ..reading.nodes import Node, shortened
from ..vocabulary import FIELDS
from .model import GATHERED, Condition, Emit, Template, Test

__all__ = ["condition", "duration", "emit"]


_COMPARISON = re.compile(r"(<=|>=|!=|<|>)\s*(.*)\Z", re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]{1,19}\Z", re.ASCII)
_DURATION = re.compile(r"([1-9][0-9]{0,8})\s*(ms|s|m|h|d)\Z", re.ASCII)
ASPECTS = ("count", "paths", "top")  # of what was gathered
_UNITS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+", re.DOTALL)
_TAKES = {
    "path": "an absolute path, a prefix ending in /, a glob, a saved value or another field",
    "paths": "an absolute path, a prefix ending in / or a glob",
    "text": "text, a glob or a saved value",
    "number": 'a number, a comparison like ">0", a saved value or another field',
    "flag": "true or false",
    "address": "an address, address:port, a network like 10.0.0.0/8, a saved value or another field",
    GATHERED: 'a number or a comparison like ">=20"',
}
_COMPARED = ("path", "number", "address")  # kinds of which no value looks like a field's name


def condition(reading: Reading, key: Node, value: Node) -> Condition | None:
    """`field: value` or `field: [value, value]`; a saved value can stand for the field."""
    kind = FIELDS[key.text].kind if key.text in FIELDS else reading.saved.get(key.text, "")
    if not kind:
        reading.unknown(key, "field", [*FIELDS, *reading.saved])
        return None
    tests = [_test(reading, key.text, kind, node) for node in reading.words(value, "condition")]
    good = tuple(test for test in tests if test is not None)
    return Condition(key.text, good, kind) if good and len(good) == len(tests) else None


def _test(reading: Reading, name: str, kind: str, node: Node) -> Test | None:
    if not node.quoted and node.text in reading.saved:
        if reading.saved[node.text] == kind != GATHERED:
            return Test("saved", node.text)
        reading.wrong(node, f"'{name}' is a {kind}, the saved value '{node.text}' is a {reading.saved[node.text]}")
        return None
    if not node.quoted and node.text in FIELDS and kind in _COMPARED:
        if FIELDS[node.text].kind == kind and node.text != name:
            return Test("field", node.text)
        what = "itself" if node.text == name else f"the field '{node.text}', which is a {FIELDS[node.text].kind}"
        reading.wrong(node, f"'{name}' is a {kind}, and cannot be compared with {what}")
        return None
    test, why = _READERS[kind](node)
    if test is None:
        hint = "" if why else f"it takes {_TAKES[kind]}"
        if not why and not node.quoted and kind != "flag":
            close = difflib.get_close_matches(node.text[:100], reading.saved, 1)
            hint = f"did you mean '{close[0]}'?" if close else hint
        elif node.quoted and node.text in reading.saved:
            hint = "without quotes it is the saved value"
        reading.wrong(node, f"'{name}' cannot be {node.kind}{why}", hint)
    return test


_Answer = tuple[Test | None, str]


def _path(node: Node) -> _Answer:
    text = node.text
    if "\0" in text:
        return None, ", as no path has a NUL"
    if _is_glob(text):
        if not text.startswith(("/", "**/")):
            return None, ", as a path is absolute: begin it with / or **/, or use 'name'"
        if any("**" in part and part != "**" for part in text.split("/")):
            return None, ", as ** must stand alone between slashes"
        return Test("glob", text if text.startswith("/") else f"/{text}"), ""
    if not text.startswith("/"):
        return None, ""
    return (Test("prefix", text) if text.endswith("/") else Test("equal", text)), ""


def _text(node: Node) -> _Answer:
    return (Test("glob", node.text) if _is_glob(node.text) else Test("equal", node.text)), ""


def _number(node: Node) -> _Answer:
    if type(node.value) is int:
        return Test("equal", node.value), ""
    match = _COMPARISON.match(node.text)
    text = match[2] if match else node.text
    if _NUMBER.match(text) and str(int(text)) == text:
        return (Test("compare", int(text), match[1]) if match else Test("equal", int(text))), ""
    if re.match(r"0o[0-7]{1,6}\Z", text):
        return (Test("compare", int(text, 8), match[1]) if match else Test("equal", int(text, 8))), ""
    return None, f", octal is written 0o{text.lstrip('0')}" if re.match(r"0[0-7]{1,6}\Z", text) else ""


def _flag(node: Node) -> _Answer:
    return (Test("equal", node.value) if isinstance(node.value, bool) else None), ""


def _address(node: Node) -> _Answer:
    text = node.text
    if text.startswith(("/", "@")):  # a UNIX address
        return Test("equal", (text, -1)), ""
    if "/" in text:
        try:
            return Test("network", str(ipaddress.ip_network(text))), ""
        except ValueError as error:
            return None, f" ({shortened(str(error))})" if "host bits" in str(error) else ""
    match = re.match(r"\[([^\[\]]*)\](?::(\d{1,5}))?\Z|([^:]*):(\d{1,5})\Z", text, re.ASCII)
    host, port = text, -1
    if match:
        host = match[1] if match[1] is not None else match[3]
        port = int(match[2] or match[4] or -1)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None, ""
    if port > 65535 or (match and (address.version == 6) != (match[1] is not None)):
        return None, ""
    return Test("equal", (str(address), port)), ""


def _is_glob(text: str) -> bool:
    return any(character in text for character in "*?[")


_READERS = {
    "path": _path,
    "paths": _path,
    "text": _text,
    "number": _number,
    "flag": _flag,
    "address": _address,
    GATHERED: _number,
}


def emit(reading: Reading, node: Node) -> Emit | None:
    """`verb` or `verb text {field} text`; {{ and }} are braces."""
    if not isinstance(node.value, str):
        reading.wrong(node, f"emit cannot be {node.kind}", "it takes a verb, then text with {fields}")
        return None
    verb, space, text = node.value.partition(" ")
    if not WORD.match(verb):
        reading.wrong(node, f"a line cannot begin with '{shortened(verb)}'", "it begins with a verb of a-z 0-9 _ -")
        return None
    if not space:
        return Emit(verb)
    template = _template(reading, node, text)
    return None if template is None else Emit(verb, template)


def _template(reading: Reading, node: Node, text: str) -> Template | None:
    pieces: list[str | tuple[str]] = []
    fine = True
    for match in _PIECE.finditer(text):
        piece, name = match[0], match[1]
        if name is not None:
            known = [*_fillable(), *reading.saved, *_aspects(reading)]
            if name not in known:
                hint = suggestion(name, known) or "fields and saved values can stand in braces"
                reading.wrong(node, f"unknown field '{shortened(name)}' in emit", hint)
                fine = False
            pieces.append((name,))
        elif piece in "{}":
            reading.wrong(node, f"a lone {piece} in emit", f"a brace is written {piece}{piece}")
            fine = False
        else:
            piece = piece[0] if piece in ("{{", "}}") else piece
            if pieces and isinstance(pieces[-1], str):
                pieces[-1] += piece
            else:
                pieces.append(piece)
    if not text or text != text.strip() or not text.isprintable():
        reading.wrong(node, "emit ends in a space, has two after the verb, or a control character")
        fine = False
    return tuple(pieces) if fine else None


def _fillable() -> list[str]:
    """The fields that have one value, which can be written or saved."""
    return [name for name, known in FIELDS.items() if known.kind != "paths"]


def _aspects(reading: Reading) -> list[str]:
    """Names with what can stand behind them in an emit."""
    paths = [name for name in _fillable() if FIELDS[name].kind == "path"]
    paths += [name for name, kind in reading.saved.items() if kind == "path"]
    gathered = [name for name, kind in reading.saved.items() if kind == GATHERED]
    return [f"{name}.path" for name in paths] + [f"{name}.{word}" for name in gathered for word in ASPECTS]


def duration(reading: Reading, node: Node) -> int | None:
    """`30s`, `500ms`, `5m`, `2h`, `1d` in ns."""
    match = _DURATION.match(node.text) if not isinstance(node.value, dict | list) else None
    if match is None:
        reading.wrong(node, f"a timeout cannot be {node.kind}", "it takes a number and ms, s, m, h or d, like 30s")
        return None
    return int(match[1]) * _UNITS[match[2]]
