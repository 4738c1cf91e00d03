# SPDX-License-Identifier: Apache-2.0
"""The json format: one object per line with everything known, versioned by `schema`.

A key that is absent is not known or does not apply. `file`, `to`, `local`, `remote` and their kin are those of the
completing event; byte counts are of all events; `fields` lists what else the object names. Integers are exact (inodes
and `start_ns` may exceed 2**53: read them as 64 bit). The output is ASCII, so no name reaches a terminal. Text that is
not UTF-8 has U+FFFD for the bytes that are not, and a sibling `<key>_bytes` with all of it in hexadecimal. Where the
sink limits the length, argv goes first, then event ids, `_bytes`, and the ends of long texts; `"cut": true` says so.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ..event import Address, Event, File, Process
from .context import Context, utc_stamp
from .line import Line, Part
from .objects import began, byte_counts, evidence, object_text
from .quoting import CUT

__all__ = ["SCHEMA", "json_line", "record"]

SCHEMA = "panorama/1"

_MOST_EVENTS = 100  # ids in one record; `event_count` has the true number
_SHORT = 200  # bytes left of each text in a record that must be cut
_SURROGATE = re.compile("[\ud800-\udfff]")
_IDENTITY = ("schema", "time", "host", "boot_id", "sequence", "repeated", "previous", "chain")
_VITAL = (*_IDENTITY, "behavior", "severity", "verb", "object", "process", "certainty")


def json_line(line: Line, context: Context) -> str:
    """The record as one line of JSON, no longer than the context's limit if it has one."""
    everything = record(line, context)
    text = _dumps(everything)
    if not context.limit or len(text) <= context.limit:
        return text
    everything["cut"] = True
    everything["process"].pop("argv", None)
    everything["process"].pop("argv_bytes", None)
    text = _dumps(everything)
    if len(text) > context.limit:
        everything.pop("events")
        text = _dumps(_trimmed(everything))
    if len(text) > context.limit:
        text = _dumps(_trimmed({key: everything[key] for key in (*_VITAL, "cut") if key in everything}))
    return text


def record(line: Line, context: Context) -> dict[str, Any]:
    """The line as plain data."""
    events = list(evidence(line))
    start = began(line)
    read, written = byte_counts(line)
    result: dict[str, Any] = {"schema": SCHEMA, "time": utc_stamp(line.time), "start": utc_stamp(start)}
    result["duration_s"] = round(max(line.time - start, 0) / 1e9, 9)
    _put(result, "host", context.host)
    _put(result, "boot_id", context.boot_id)
    result |= {"sequence": line.sequence, **_links(line)}
    result |= {"behavior": line.behavior, "layer": line.layer, "severity": line.severity}
    result |= {"verb": line.verb, "object": object_text(line), "process": _process(line.process)}
    result |= _facts(events[-1]) if events else {}
    result |= {"bytes_read": read, "bytes_written": written}
    others = _fields(line, events[-1] if events else None)
    if others:
        result["fields"] = others
    if line.attack:
        result["attack"] = list(line.attack)
    result |= {"states": list(line.states), "certainty": line.certainty, "event_count": len(events)}
    result["events"] = [{"cpu": event.cpu, "sequence": event.sequence} for event in events[-_MOST_EVENTS:]]
    return result


def _links(line: Line) -> dict[str, Any]:
    """How it stands to the lines before it."""
    result: dict[str, Any] = {"repeated": line.repeated} if line.repeated else {}
    if line.previous is not None:
        result["previous"] = line.previous
    if line.chain:
        result["chain"] = line.chain
    return result


def _process(process: Process) -> dict[str, Any]:
    result: dict[str, Any] = {"pid": process.pid, "ppid": process.ppid}
    result |= {"start_ns": process.start, "parent_start_ns": process.parent_start}
    _put(result, "user", process.user)
    result |= {"uid": process.uid, "euid": process.euid}
    if process.login_uid >= 0:
        result["login_uid"] = process.login_uid
    _put(result, "command", process.command)
    _put(result, "exe", process.exe)
    if process.argv:
        result["argv"] = [_readable(word) for word in process.argv]
        if result["argv"] != list(process.argv):
            result["argv_bytes"] = [_hex(word) for word in process.argv]
    _put(result, "container", process.container)
    return result


def _facts(event: Event) -> dict[str, Any]:
    """What the completing event says of files, sockets and values, leaving out what it does not."""
    result: dict[str, Any] = {}
    for key, file in (("file", event.file), ("to", event.to)):
        if file is not None:
            result[key] = _file(file)
    _put(result, "target", event.target)
    for key, address in (("local", event.local), ("remote", event.remote)):
        if address is not None:
            result[key] = _address(address)
    _put(result, "protocol", event.protocol)
    if event.session:
        result["socket_inode"] = event.session
    result |= {key: True for key in ("created", "truncated", "inherited") if getattr(event, key)}
    if not event.final:
        result["final"] = False
    if event.mode >= 0:
        result["mode"] = f"{event.mode:04o}"
    result |= {key: getattr(event, key) for key in ("fd", "owner", "group", "size") if getattr(event, key) >= 0}
    if "exit" in event.triggers:
        result["status"] = event.status
    if event.child:
        result["child"] = event.child
    return result


def _fields(line: Line, event: Event | None) -> list[dict[str, Any]]:
    told = (event.file, event.to, event.local, event.remote) if event else ()
    result = []
    for part in line.object:
        if isinstance(part, Part) and part.value not in told:
            entry: dict[str, Any] = {"field": part.field}
            if isinstance(part.value, File):
                entry["file"] = _file(part.value)
            elif isinstance(part.value, Address):
                entry["address"] = _address(part.value)
            elif isinstance(part.value, str):
                _put(entry, "value", part.value)
            else:
                entry["value"] = part.value
            result.append(entry)
    return result


def _file(file: File) -> dict[str, Any]:
    result: dict[str, Any] = {}
    _put(result, "path", file.path)
    _put(result, "name", file.name)
    result |= {key: getattr(file, key) for key in ("inode", "device", "kind", "mark") if getattr(file, key)}
    return result


def _address(address: Address) -> dict[str, Any]:
    result: dict[str, Any] = {"family": address.family}
    _put(result, "host", address.host)
    return result if address.family == "unix" else result | {"port": address.port}


def _put(into: dict[str, Any], key: str, text: str) -> None:
    """Adds text that may hold raw bytes; nothing if it is empty."""
    if text:
        into[key] = _readable(text)
        if into[key] != text:
            into[f"{key}_bytes"] = _hex(text)


def _readable(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)


def _hex(text: str) -> str:
    try:
        return text.encode("utf-8", "surrogateescape").hex()
    except UnicodeEncodeError:  # a surrogate that stands for no byte: it came from a hand-made trace
        return text.encode("utf-8", "surrogatepass").hex()


def _dumps(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"))


def _trimmed(data: Any) -> Any:
    """A copy without `_bytes`, each text cut so that it takes about _SHORT bytes of JSON."""
    if isinstance(data, dict):
        return {key: _trimmed(value) for key, value in data.items() if not key.endswith("_bytes")}
    if isinstance(data, list):
        return [_trimmed(value) for value in data]
    if isinstance(data, str) and len(_dumps(data)) > _SHORT:
        data = data[:_SHORT]
        while len(_dumps(data)) > _SHORT - len(CUT):
            data = data[: len(data) * 3 // 4]
        return data + CUT
    return data
