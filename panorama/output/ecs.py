# SPDX-License-Identifier: Apache-2.0
"""The ecs format: Elastic Common Schema 8, one JSON object per line; what ECS has no field for is under `panorama`.

Rename and link have their new name in `file.*`, the old one in `panorama.original_path`. `event.kind` is alert for a
behavior of severity warning or worse, else event; its category and type are for an activity those of all its
operations. `event.id` is the same for a line that came twice.
"""

from __future__ import annotations

from .. import __version__
from .classes import Deed, deed_of
from .context import Context, utc_stamp
from .facts import Facts
from .line import Line
from .operations import operation_texts
from .severities import ALERTS
from .shape import Record, Shape, dumps, fitted

__all__ = ["ECS_VERSION", "ecs_line"]

ECS_VERSION = "8.11.0"

_ALWAYS = {"ecs": {"version": ECS_VERSION}, "agent": {"type": "panorama", "version": __version__}}
_OS = {"type": "linux"}
_FILE_KINDS = {"directory": "dir", "link": "symlink"}

_SHAPE = Shape(
    "ecs",
    {
        "time": utc_stamp,
        "octal": lambda mode: f"{mode:04o}",
        "operations": operation_texts,
        "id": str,
        "uid": str,
        "file_kind": lambda kind: _FILE_KINDS.get(kind, kind),
        "ip_version": lambda version: f"ipv{version}",
    },
    ours="panorama",
)


def ecs_line(line: Line, context: Context) -> str:
    """The line as one line of JSON, no longer than the context's limit if it has one."""
    return fitted(_text, line, context)


def _text(facts: Facts, rank: int, longest: int) -> str:
    return dumps(_completed(_SHAPE.record(facts, rank, longest), facts))


def _completed(record: Record, facts: Facts) -> Record:
    """With what is the same in all lines, or follows from the whole line."""
    line, event = facts.line, record["event"]
    record |= _ALWAYS
    record.setdefault("host", {})["os"] = _OS
    event["module"] = "panorama"
    event["dataset"] = f"panorama.{line.layer}"
    event["kind"] = "alert" if line.severity in ALERTS and line.layer != "panorama" else "event"
    if deeds := _deeds(facts):
        event["category"] = list(dict.fromkeys([deed.category for deed in deeds]))
        event["type"] = list(dict.fromkeys([word for deed in deeds for word in deed.types]))
    else:
        event["type"] = ["info"]
    if "threat" in record:
        record["threat"]["framework"] = "MITRE ATT&CK"
    return record


def _deeds(facts: Facts) -> list[Deed]:
    """What was done, each thing once or more often."""
    done = [deed_of(each.verb, each.events[-1]) for each in facts.line.operations if each.events]
    return done or ([deed_of(facts.line.verb, facts.event)] if facts.event else [])
