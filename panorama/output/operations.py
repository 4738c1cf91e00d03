# SPDX-License-Identifier: Apache-2.0
"""The evidence of an activity: the operations that it collapsed, as records, as texts, and as lines below its own.

A text is `time pid command verb object`, then ` ?` if records were lost, then the events that the operation comes from,
each as `cpu:sequence`; those of one that has more than a hundred are its last hundred.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..event import Event
from .context import Context, stamp, utc_stamp
from .facts import part_record
from .line import Line, Part
from .objects import byte_counts, descriptor, evidence, object_text
from .quoting import quote

__all__ = ["below", "event_ids", "operation_records", "operation_texts"]

_MOST_EVENTS = 100  # of one operation
_MOST_BELOW = 20


def operation_records(operations: Iterable[Line]) -> list[dict[str, Any]]:
    """For json. `fields` is what the object names; a key that is absent is 0, or says nothing that is not usual."""
    return [_record(line) for line in operations]


def operation_texts(operations: Iterable[Line]) -> list[str]:
    """For formats whose values are text. Printable, times in UTC."""
    return [f"{utc_stamp(line.time)} {_what(line)}{_places(line)}" for line in operations]


def below(line: Line, context: Context) -> list[str]:
    """What is written below an activity's line for people: the latest of its operations, with their descriptors."""
    shown = line.operations[-_MOST_BELOW:]
    left = line.operation_count - len(shown)
    said = [f"  ... and {left} more before these"] if left > 0 else []
    for each in shown:
        said.append(f"  {stamp(each.time, context.zone)} {_what(each)} fd={descriptor(each)}{_places(each)}")
    return said


def event_ids(events: Sequence[Event]) -> list[dict[str, int]]:
    """Which records a line comes from."""
    return [{"cpu": event.cpu, "sequence": event.sequence} for event in events]


def _record(line: Line) -> dict[str, Any]:
    process = line.process
    read, written = byte_counts(line)
    record: dict[str, Any] = {
        "time": utc_stamp(line.time),
        "pid": process.pid,
        "start_ns": process.start,
        "command": process.command,
        "verb": line.verb,
        "object": object_text(line),
        "fields": [part_record(part) for part in line.object if isinstance(part, Part)],
        "bytes_read": read,
        "bytes_written": written,
        "certainty": line.certainty if line.certainty != "certain" else "",
        "events": _ids(line),
    }
    return {key: value for key, value in record.items() if value}


def _what(line: Line) -> str:
    doubt = " ?" if line.certainty == "partial" else ""
    words = f"{line.process.pid} {quote(line.process.command)} {quote(line.verb)} {object_text(line)}"
    return f"{words.rstrip()}{doubt}"


def _places(line: Line) -> str:
    return "".join([f" {each['cpu']}:{each['sequence']}" for each in _ids(line)])


def _ids(line: Line) -> list[dict[str, int]]:
    return event_ids(list(evidence(line))[-_MOST_EVENTS:])
