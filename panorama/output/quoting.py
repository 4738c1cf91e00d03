# SPDX-License-Identifier: Apache-2.0
"""Fields of a line: written so that a name can neither forge a line nor reach a terminal, and read back exactly.

A field of plain printable characters stays as it is; any other is put in double quotes and escaped as in C:
\\n \\t \\r \\" \\\\, \\xHH for a control character or a raw byte that is not UTF-8, \\uXXXX or \\UXXXXXXXX for every
other character that Unicode calls a separator, control, format (bidi marks among them), private or unassigned one, and
for those that take no ink. A bare `-` is a missing value and a bare `?` a doubt, so as names these two are quoted too.
"""

from __future__ import annotations

import re
import sys

__all__ = ["CUT", "MISSING", "bare", "quote", "shorten", "split_fields", "unquote"]

MISSING = "-"  # a value that is not known
CUT = "...[cut]"  # behind text that was longer than the sink takes

_RESERVED = frozenset(("", MISSING, "?"))

# printable for Python, yet invisible: the Default_Ignorable_Code_Point of Unicode that are not of category Cf,
# and the blank braille pattern
_NO_INK = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
_NEEDS_QUOTES = re.compile(f'[ "\\\\{_NO_INK}]')
_NO_INK_CHARACTER = re.compile(f"[{_NO_INK}]")

_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_NAMED_BACK = {escape[1]: character for character, escape in _NAMED.items()}
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.?))", re.DOTALL)
_FIELD = re.compile(r'(?:[^ "]|"(?:[^"\\]|\\.)*"?)*', re.DOTALL)
_STEP = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.?)|.", re.DOTALL)


def quote(text: str, always: bool = False) -> str:
    """`text` as one field; `unquote` gives it back. `always` quotes even what would not need it."""
    if text.isprintable() and not _NEEDS_QUOTES.search(text):
        return f'"{text}"' if always or text in _RESERVED else text
    return f'"{"".join(map(_escape, text))}"'


def bare(text: str, space: str = " ") -> str:
    """`text` escaped like `quote` but without the quotes, each space written as `space`."""
    if text.isprintable() and not _NEEDS_QUOTES.search(text):
        return text
    return "".join(space if character == " " else _escape(character) for character in text)


def unquote(field: str) -> str:
    """What `quote` or `bare` was given; ValueError for an escape that neither of them writes."""
    if len(field) >= 2 and field[0] == field[-1] == '"':
        field = field[1:-1]
    return _ESCAPE.sub(_unescape, field)


def split_fields(line: str) -> list[str]:
    """The fields of a line as they are written: separated by single spaces that are not inside quotes."""
    fields = []
    at = 0
    while True:
        match = _FIELD.match(line, at)
        assert match  # the pattern matches the empty string
        fields.append(match.group())
        at = match.end() + 1
        if match.end() >= len(line):
            return fields


def shorten(text: str, limit: int) -> str:
    """`text` in at most `limit` bytes of UTF-8: escapes stay whole, an open quote is closed, and `...[cut]` says so."""
    if len(text.encode()) <= limit:
        return text
    room = max(limit - len(CUT) - 1, 0)  # 1 for the closing quote
    kept, quoted = [], False
    for step in _STEP.findall(text):
        room -= len(step.encode())
        if room < 0:
            break
        quoted ^= step == '"'
        kept.append(step)
    return "".join((*kept, '"' if quoted else "", CUT))


def _escape(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if character.isprintable() and not _NO_INK_CHARACTER.match(character):
        return character
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a raw byte, as surrogateescape (PEP 383) carries it
        number -= 0xDC00
    elif number >= 0x80:
        return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
    return f"\\x{number:02x}"


def _unescape(match: re.Match[str]) -> str:
    byte, short, long, named = match.groups()
    if byte:
        number = int(byte, 16)
        return chr(number if number < 0x80 else 0xDC00 + number)
    if short or (long and int(long, 16) <= sys.maxunicode):
        return chr(int(short or long, 16))
    if named in _NAMED_BACK:
        return _NAMED_BACK[named]
    raise ValueError(f"unknown escape: {match.group()}")
