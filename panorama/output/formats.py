# SPDX-License-Identifier: Apache-2.0
"""The formats by name. A formatter is a pure function from a Line to lines of text without their newlines.

json, ecs, cef and ocsf always give one; text too, but with `debug` it gives the operations of an activity below; v6 and
v7 give none, one or two (legacy.py says when).
"""

from __future__ import annotations

from collections.abc import Callable

from .cef import cef_line
from .context import Context
from .ecs import ecs_line
from .legacy import v6_lines, v7_lines
from .line import Line
from .ocsf import ocsf_line
from .records import json_line
from .text import text_lines

__all__ = ["FORMATS", "Format", "Formatter", "formatter"]

Formatter = Callable[[Line], list[str]]
Format = Callable[[Line, Context], list[str]]

FORMATS: dict[str, Format] = {
    "text": text_lines,
    "json": lambda line, context: [json_line(line, context)],
    "ecs": lambda line, context: [ecs_line(line, context)],
    "cef": lambda line, context: [cef_line(line, context)],
    "ocsf": lambda line, context: [ocsf_line(line, context)],
    "v6": v6_lines,
    "v7": v7_lines,
}


def formatter(name: str, context: Context) -> Formatter:
    """The format of that name (a key of FORMATS) in that context."""
    make = FORMATS[name]
    return lambda line: make(line, context)
