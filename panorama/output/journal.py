# SPDX-License-Identifier: Apache-2.0
"""A line as fields of the systemd journal: json's keys as PANORAMA_VERB, PANORAMA_FILE_PATH and so on.

Values are as in json, but a list is one text with spaces between, that of operations one with line breaks between, and
text is left as it is: the journal takes any bytes (systemd.journal-fields(7)). `fields` and `events`, which are lists
of records, are left out; so are MESSAGE and PRIORITY, which are the sink's.
"""

from __future__ import annotations

from typing import Any

from .context import Context, utc_stamp
from .facts import Facts
from .line import Line
from .operations import operation_texts
from .shape import Shape
from .table import SECTIONS

__all__ = ["JOURNAL_NAMES", "journal_fields"]

_LEFT_OUT = ("fields", "events")
_KEYS = [key for section in SECTIONS for field in section.fields for key in field.column("json")]

_SHAPE = Shape(
    "json",
    {
        "time": utc_stamp,
        "duration": lambda ns: f"{ns / 1e9:.9f}",
        "octal": lambda mode: f"{mode:04o}",
        "operations": lambda lines: "\n".join(operation_texts(lines)),
    },
    flat=True,
)


# json's keys, and what the journal calls them
JOURNAL_NAMES = {key: f"PANORAMA_{key.upper().replace('.', '_')}" for key in _KEYS if key not in _LEFT_OUT}


def journal_fields(line: Line, context: Context) -> dict[str, str | bytes]:
    """Text, or bytes where it is not UTF-8."""
    record = _SHAPE.record(Facts(line, context))
    return {JOURNAL_NAMES[key]: _value(value) for key, value in record.items() if key in JOURNAL_NAMES}


def _value(value: Any) -> str | bytes:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = " ".join(value) if isinstance(value, list | tuple) else str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")
    return text
