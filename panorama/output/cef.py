# SPDX-License-Identifier: Apache-2.0
"""The cef format: ArcSight's Common Event Format, version 0; one line of text.

    CEF:0|Panorama|Panorama|VERSION|behavior:verb|verb|severity|key=value key=value ...

Who did it is the source user and process (suser, sproc), in every line; of a connection, src and dst are who asked and
who was asked. Keys that the standard's dictionary does not have begin with `Panorama`. Text is first escaped as in the
text format (quoting.py: controls, marks that turn or hide text, bytes that are not UTF-8, the backslash), and a space
at either end becomes \\x20; then as CEF asks: `\\` and `|` in the header, `\\` and `=` in values, with a backslash.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from .. import __version__
from .context import Context, milliseconds
from .facts import Facts
from .line import Line
from .operations import operation_texts
from .quoting import bare, quote
from .severities import SCALES
from .shape import Shape, fitted

__all__ = ["cef_line"]

_LABELS = {"c6a2": "Source IPv6 Address", "c6a3": "Destination IPv6 Address"}
_INBOUND, _OUTBOUND = 0, 1


class _Escaped(str):
    """Text that is escaped already, as in the text format."""


_SHAPE = Shape(
    "cef",
    {
        "time": milliseconds,
        "escaped": _Escaped,
        "octal": lambda mode: f"{mode:04o}",
        "operations": operation_texts,
        "direction": lambda direction: _INBOUND if direction == "ingress" else _OUTBOUND,
    },
    flat=True,
)


def cef_line(line: Line, context: Context) -> str:
    """The line, no longer than the context's limit if it has one."""
    return fitted(_text, line, context)


def _text(facts: Facts, rank: int, longest: int) -> str:
    line = facts.line
    record = _SHAPE.record(facts, rank, longest)
    record |= {f"{key}Label": label for key, label in _LABELS.items() if key in record}
    words = " ".join([f"{key}={_value(value)}" for key, value in record.items()])
    event, verb = (_of_header(_plain(text)) for text in (f"{line.behavior}:{line.verb}", line.verb))
    return f"CEF:0|Panorama|Panorama|{__version__}|{event}|{verb}|{SCALES[line.severity].cef}|{words}"


def _value(value: Any) -> str:
    if type(value) is int:
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, _Escaped):
        return _of_value(value)
    if isinstance(value, str):
        return _text_value(value)
    if isinstance(value, dict):
        texts = {key: text if isinstance(text, str) else _listed(text) for key, text in value.items()}
        return _of_value(" ".join(f"{quote(key)}={quote(text)}" for key, text in texts.items()))
    return _of_value(_listed(value))


def _listed(words: Iterable[str]) -> str:
    return " ".join(map(quote, words))


@lru_cache(maxsize=512)  # most of what lines say has just been said
def _text_value(text: str) -> str:
    return _of_value(_plain(text))


def _plain(text: str) -> str:
    text = bare(text)
    if text[:1] == " ":
        text = f"\\x20{text[1:]}"
    return f"{text[:-1]}\\x20" if text[-1:] == " " else text


def _of_header(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _of_value(text: str) -> str:
    return text.replace("\\", "\\\\").replace("=", "\\=")
