# SPDX-License-Identifier: Apache-2.0
"""The formats by name. A formatter is a pure function from a Line to lines of text without their newlines.

text and json always give one; v6 and v7 give none, one or two (legacy.py says when).
"""

from __future__ import annotations

from collections.abc import Callable

from .context import Context
from .legacy import v6_lines, v7_lines
from .line import Line
from .records import json_line
from .text import text_line

__all__ = ["FORMATS", "Format", "Formatter", "formatter"]

Formatter = Callable[[Line], list[str]]
Format = Callable[[Line, Context], list[str]]

FORMATS: dict[str, Format] = {
    "text": lambda line, context: [text_line(line, context)],
    "json": lambda line, context: [json_line(line, context)],
    "v6": v6_lines,
    "v7": v7_lines,
}


def formatter(name: str, context: Context) -> Formatter:
    """The format of that name (a key of FORMATS) in that context."""
    make = FORMATS[name]
    return lambda line: make(line, context)
