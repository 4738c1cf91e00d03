# SPDX-License-Identifier: Apache-2.0
"""Readers of what the formats write, made from the formats' public rules and sharing no code with the writers."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["cef_parsed", "fields_of_text", "hex_or_text"]

_NAMED = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_DIGITS = {"x": 2, "u": 4, "U": 8}


def fields_of_text(line: str) -> list[str]:
    """Walks the characters of a line of text; knows only what the documentation says of quotes and escapes."""
    fields, field, at, quoted = [], "", 0, False
    while at < len(line):
        character = line[at]
        if character == '"':
            quoted = not quoted
        elif character == " " and not quoted:
            fields.append(field)
            field = ""
        elif character == "\\":
            at += 1
            if line[at] in _DIGITS:
                width = _DIGITS[line[at]]
                number = int(line[at + 1 : at + 1 + width], 16)
                raw = width == 2 and number >= 0x80
                field += bytes([number]).decode("utf-8", "surrogateescape") if raw else chr(number)
                at += width
            else:
                field += _NAMED[line[at]]
        else:
            field += character
        at += 1
    return [*fields, field]


def unescaped(text: str) -> str:
    """One value with escapes and no quotes around it."""
    return " ".join(fields_of_text(text))


_HEADER = re.compile(r"CEF:0\|" + r"((?:[^|\\]|\\[|\\])*)\|" * 6)
_PAIR = re.compile(r"([A-Za-z0-9]+)=((?:[^\\=\r\n]|\\[\\=nr])*)(?: (?=[A-Za-z0-9]+=)|\Z)")


def cef_parsed(line: str) -> tuple[list[str], dict[str, str]]:
    """The header's six fields and the extension, with CEF's own escapes undone.

    Strict, after the rules of the Common Event Format: a backslash stands before pipe and backslash in the header, before
    equals sign and backslash in a value; a value ends at a space before the next key; no key comes twice; nothing is left.
    """
    header = _HEADER.match(line)
    assert header, line
    extension: dict[str, str] = {}
    at = header.end()
    while at < len(line):
        pair = _PAIR.match(line, at)
        assert pair, line[at : at + 80]
        assert pair[1] not in extension
        assert pair[2] == pair[2].strip(" ")  # some readers strip
        extension[pair[1]] = re.sub(r"\\(.)", lambda escape: {"n": "\n", "r": "\r"}.get(escape[1], escape[1]), pair[2])
        at = pair.end()
    return [re.sub(r"\\(.)", r"\1", field) for field in header.groups()], extension


def hex_or_text(node: dict[str, Any], key: str, raw: str | None = None, where: dict[str, Any] | None = None) -> Any:
    """The bytes of a text in a JSON record, and of a list of texts: `raw` names the key that has them if it needs to."""
    found = (node if where is None else where).get(raw or f"{key}_bytes")
    if found is None:
        found = node[key]
        return [word.encode() for word in found] if isinstance(found, list) else found.encode()
    return [bytes.fromhex(word) for word in found] if isinstance(found, list) else bytes.fromhex(found)
