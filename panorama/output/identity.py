# SPDX-License-Identifier: Apache-2.0
"""Which line a shipped one is: host, boot id and sequence, out of its text as a receiver has it.

json, ecs and ocsf lines are JSON objects, cef lines begin with `CEF:`; either may stand behind a syslog header (RFC
3164 or 5424) that names panorama. A text line has its identity in an element of RFC 5424's structured data, which is
written here too:

    [panorama@32473 host="ep1" boot="0b0e..." sequence="7" previous="4" chain="c0de..."]

The host may be left to the header, which has it in printable ASCII. Nothing is looked for inside the object of a line:
a file name that looks like an identity is none. What has no identity, or is no line of Panorama's, gives None; nothing
raises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from .context import Context
from .line import Line
from .quoting import unquote
from .table import SCHEMA, SECTIONS

__all__ = ["Identity", "identity", "structured_data"]

_SD_ID = "panorama@32473"
_KEYS = ("host", "boot_id", "sequence", "previous", "chain")
_FIELDS = {field.name: field for section in SECTIONS for field in section.fields if field.name in _KEYS}
# where a JSON object says that it is Panorama's, and in which format
_MARKS = (
    ("schema", SCHEMA, "json"),
    ("event.module", "panorama", "ecs"),
    ("metadata.product.name", "Panorama", "ocsf"),
)

_PARAMETER = re.compile(r' ([^ =\]"]+)="((?:[^"\\\]]|\\.)*)"')
_ELEMENT = re.compile(rf'\[([^ =\]"]+)((?:{_PARAMETER.pattern})*)\]')
# <PRI>1 TIME HOST panorama PROCID MSGID SD MSG, and <PRI>TIME HOST panorama[pid]: MSG
_RFC5424 = re.compile(rf"(?:<\d{{1,3}}>)?1 \S+ (\S+) panorama \S+ \S+ (-|(?:{_ELEMENT.pattern})+)(?: |\Z)")
_RFC3164 = re.compile(r"(?:<\d{1,3}>)?(?:\w{3} [ \d]\d [\d:]{8} \S+ |\d{4}-\S+ \S+ )?panorama(?:\[\d+\])?: ")
_TO_QUOTE, _CONTROL = re.compile(r'["\\\]]'), re.compile(r"[\x00-\x1f\x7f]")
_QUOTED = re.compile(r'\\(["\\\]])')
_CEF_HEADER = re.compile(r"CEF:0\|Panorama\|Panorama\|(?:(?:[^\\|]|\\.)*\|){4}")
_CEF_KEY = re.compile(r"(?:\A| )(\w+)=")


@dataclass(frozen=True, slots=True)
class Identity:
    """Unique with host, boot id and sequence; `previous` is None where it is the number before.

    `text` is the line as its format made it, without what a syslog header put in front.
    """

    host: str
    boot_id: str
    sequence: int
    previous: int | None = None
    chain: str = ""
    text: str = field(default="", compare=False)


def identity(text: str) -> Identity | None:
    """The identity in one line of text."""
    text = text.removesuffix("\n")
    found = None
    if header := _RFC5424.match(text):
        found = _in_structured_data(header[1], header[2])
        text = text[header.end() :].removeprefix("\ufeff")
    elif header := _RFC3164.match(text):
        text = text[header.end() :]
    if not found and text.startswith("{"):
        found = _in_json(text)
    if not found and text.startswith("CEF:"):
        found = _in_cef(text)
    return replace(found, text=text) if found else None


def structured_data(line: Line, context: Context) -> str:
    """The element for a line; `-`, which is no element, for one without a number."""
    if not line.sequence:
        return "-"
    values = {"host": context.host, "boot": context.boot_id, "sequence": str(line.sequence)}
    if line.previous is not None:
        values["previous"] = str(line.previous)
    if line.chain:
        values["chain"] = line.chain
    return f"[{_SD_ID}{''.join(f' {key}={_quoted(value)}' for key, value in values.items())}]"


def _quoted(text: str) -> str:
    return '"' + _TO_QUOTE.sub(r"\\\g<0>", _CONTROL.sub("_", text)) + '"'


def _in_structured_data(host: str, elements: str) -> Identity | None:
    for element in _ELEMENT.finditer(elements):
        if element[1] == _SD_ID:
            parameters = {name: _QUOTED.sub(r"\1", value) for name, value in _PARAMETER.findall(element[2])}
            return _made({"host": host, "boot_id": parameters.get("boot")} | parameters)
    return None


def _in_json(text: str) -> Identity | None:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    for path, mark, name in _MARKS:
        if _at(record, path) == mark:
            return _made({key: _at(record, field.column(name)[0]) for key, field in _FIELDS.items()})
    return None


def _at(record: Any, path: str) -> Any:
    for key in path.split("."):
        record = record.get(key) if isinstance(record, dict) else None
    return record


def _in_cef(text: str) -> Identity | None:
    header = _CEF_HEADER.match(text)
    if header is None:
        return None
    values = dict(_extension(text[header.end() :]))
    try:
        return _made({key: unquote(values.get(field.column("cef")[0], "")) for key, field in _FIELDS.items()})
    except ValueError:
        return None


def _extension(text: str) -> Iterator[tuple[str, str]]:
    """Keys and values; an equals sign inside a value has a backslash before it."""
    keys = list(_CEF_KEY.finditer(text))
    for number, key in enumerate(keys, 1):
        end = keys[number].start() if number < len(keys) else len(text)
        yield key[1], re.sub(r"\\([\\=])", r"\1", text[key.end() : end])


def _made(values: dict[str, Any]) -> Identity | None:
    host, boot_id, chain = (values.get(key) or "" for key in ("host", "boot_id", "chain"))
    sequence, previous = _number(values.get("sequence")), _number(values.get("previous"))
    if not all(isinstance(text, str) for text in (host, boot_id, chain)) or not host or not boot_id or not sequence:
        return None
    return Identity(host, boot_id, sequence, previous, chain)


def _number(value: Any) -> int | None:
    if type(value) is int:
        return value if 0 <= value < 2**63 else None
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value) else None
