# SPDX-License-Identifier: Apache-2.0
"""The json format: one object per line with everything known, versioned by `schema`.

A key that is absent is not known or does not apply. `file`, `to`, `local`, `remote` and their kin are those of the
completing event; byte counts are of all events; `fields` lists what else the object names. Integers are exact (inodes
and `start_ns` may exceed 2**53: read them as 64 bit). The output is ASCII, so no name reaches a terminal. shape.py says
what becomes of text that is not UTF-8, and what goes first where the sink limits the length.
"""

from __future__ import annotations

from .context import Context, utc_stamp
from .facts import Facts
from .line import Line
from .operations import operation_records
from .shape import Shape, dumps, fitted

__all__ = ["json_line"]

_SHAPE = Shape(
    "json",
    {
        "time": utc_stamp,
        "duration": lambda ns: round(ns / 1e9, 9),
        "octal": lambda mode: f"{mode:04o}",
        "operations": operation_records,
    },
)


def json_line(line: Line, context: Context) -> str:
    """The record as one line of JSON, no longer than the context's limit if it has one."""
    return fitted(_text, line, context)


def _text(facts: Facts, rank: int, longest: int) -> str:
    return dumps(_SHAPE.record(facts, rank, longest))
