# SPDX-License-Identifier: Apache-2.0
"""The ocsf format: Open Cybersecurity Schema Framework 1.5, one JSON object per line, with its Linux extension.

Operations are File System Activity (1001), Process Activity (1007) and Network Activity (4001); activities are
Detection Findings (2004), whose operations are the evidence, with file or endpoints of the last one; Panorama's own
notices are Base Events (0). In Process Activity `process` is what was started and `actor` its parent; elsewhere `actor`
is who did it. What OCSF has no attribute for is under `unmapped`.
"""

from __future__ import annotations

from typing import Any

from .. import __version__
from .classes import OCSF_CLASSES, deed_of
from .context import Context, milliseconds
from .facts import Facts
from .line import Line
from .operations import operation_texts
from .severities import ALERTS
from .shape import Record, Shape, dumps, fitted

__all__ = ["OCSF_VERSION", "ocsf_line"]

OCSF_VERSION = "1.5.0"

_BASE, _FINDING = 0, 2004
_OTHER = 99
_FILE_TYPES = {"file": 1, "directory": 2, "character": 3, "block": 4, "socket": 5, "fifo": 6, "link": 7}
_DIRECTIONS = {"ingress": 1, "egress": 2}
_PRODUCT = {"name": "Panorama", "vendor_name": "Panorama", "version": __version__}
_EXTENSIONS = [{"name": "linux", "uid": "1", "version": OCSF_VERSION}]
_OS = {"name": "Linux", "type_id": 200}
_EVIDENCE = ("file", "src_endpoint", "dst_endpoint", "connection_info", "data")

_SHAPE = Shape(
    "ocsf",
    {
        "time": milliseconds,
        "duration": lambda ns: ns // 1_000_000,
        "octal": lambda mode: f"{mode:04o}",
        "operations": operation_texts,
        "id": str,
        "file_kind": lambda kind: _FILE_TYPES.get(kind, 0),
        "direction": lambda direction: _DIRECTIONS.get(direction, 0),
    },
    ours="unmapped",
)


def ocsf_line(line: Line, context: Context) -> str:
    """The line as one line of JSON, no longer than the context's limit if it has one."""
    return fitted(_text, line, context)


def _text(facts: Facts, rank: int, longest: int) -> str:
    return dumps(_completed(_SHAPE.record(facts, rank, longest), facts))


def _completed(record: Record, facts: Facts) -> Record:
    """With what is the same in all lines, or follows from the whole line."""
    metadata = record["metadata"]
    metadata |= {"version": OCSF_VERSION, "product": _PRODUCT, "extensions": _EXTENSIONS}
    metadata["profiles"] = ["host", "container"]
    metadata["log_name"] = f"panorama.{facts.line.layer}"
    record.setdefault("device", {}).update(type_id=0, os=_OS)
    number, activity = _class(facts)
    record |= {"class_uid": number, "category_uid": number // 1000}
    record |= {"activity_id": activity, "type_uid": number * 100 + activity}
    if activity == _OTHER:
        record["activity_name"] = facts.line.verb
    if number == OCSF_CLASSES["process"] and "actor" in record:
        record["process"] = record["actor"]["process"]
        record["actor"] = record["actor"] | {"process": record["process"]["parent_process"]}
        _unmap(record, *_EVIDENCE)
    elif number == _FINDING:
        _make_finding(record, facts)
    return record


def _class(facts: Facts) -> tuple[int, int]:
    """class_uid and activity_id."""
    if facts.line.layer == "activity":
        return _FINDING, 1
    if facts.event is None:
        return _BASE, _OTHER
    deed = deed_of(facts.line.verb, facts.event)
    return OCSF_CLASSES[deed.category], deed.activity


def _make_finding(record: Record, facts: Facts) -> None:
    line = facts.line
    finding: dict[str, Any] = {"title": f"{line.behavior}: {line.verb}", "uid": facts.id or line.behavior}
    finding["analytic"] = {"name": line.behavior, "type": "Behavioral", "type_id": 2}
    if line.attack:
        finding["attacks"] = [{"technique": {"uid": technique}} for technique in line.attack]
    record["finding_info"] = finding
    record["is_alert"] = line.severity in ALERTS
    evidence = {key: record.pop(key) for key in _EVIDENCE if key in record}
    if evidence:
        record["evidences"] = [evidence]
    _unmap(record, "file_result", "traffic", "exit_code")


def _unmap(record: Record, *keys: str) -> None:
    """These have no place in the record's class."""
    ours = record.setdefault("unmapped", {})
    ours |= {key: record.pop(key) for key in keys if key in record}
