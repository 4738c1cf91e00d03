# SPDX-License-Identifier: Apache-2.0
"""The text of panorama-fields.7.scd, the manual page of all fields, from the table that the formats are made of.

What people write is in panorama-fields.7.in; each @WORD@ in it is filled in here. Both are scdoc(5): a tab indents, and
`++` breaks a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml

from panorama.output.classes import DEEDS, OCSF_CLASSES
from panorama.output.ecs import ECS_VERSION
from panorama.output.fields import Field
from panorama.output.journal import JOURNAL_NAMES
from panorama.output.ocsf import OCSF_VERSION
from panorama.output.severities import SCALES
from panorama.output.table import SCHEMA, SECTIONS

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE / "panorama-fields.7.in"
PIPELINE = HERE.parent / "sigma" / "panorama.yml"

TYPES = {
    "text": "text",
    "escaped": "text",
    "list": "list of texts",
    "words": "list",
    "number": "integer",
    "flag": "true or false",
    "time": "time",
    "duration": "duration",
    "id": "number",
    "uid": "number",
    "octal": "octal text",
    "file_kind": "kind of file",
    "ip_version": "version",
    "direction": "direction",
    "operations": "list",
}


def page() -> str:
    """The whole page."""
    parts: dict[str, Callable[[], str]] = {
        "SCHEMA": lambda: SCHEMA,
        "ECS": lambda: ECS_VERSION,
        "OCSF": lambda: OCSF_VERSION,
        "FIELDS": fields,
        "VERBS": verbs,
        "SEVERITIES": severities,
        "SIGMA": sigma,
    }
    return re.sub(r"@([A-Z]+)@", lambda word: parts[word[1]](), TEMPLATE.read_text())


def fields() -> str:
    """A section of the page for each of the table."""
    return "\n".join(
        f"## {plain(section.title)}\n\n" + "\n".join(entry(field) for field in section.fields) for section in SECTIONS
    ).rstrip()


def entry(field: Field) -> str:
    """One field: what, its type, when; then its keys."""
    keys = [(column, ", ".join(field.column(column))) for column in ("json", "ecs", "cef", "ocsf")]
    keys.append(("journal", JOURNAL_NAMES.get(field.json, "")))
    known = [f"{column} *{plain(key)}*" for column, key in keys if key]
    what = f"{plain(field.about)} ({TYPES[field.kind]}; {plain(field.when)})"
    return f"*{plain(field.name)}*\n\t" + "++\n\t".join([what, *known]) + "\n"


def verbs() -> str:
    """What ECS and OCSF make of the verbs."""
    rows = [
        (verb, deed.category, ", ".join(deed.types), str(OCSF_CLASSES[deed.category]), str(deed.activity))
        for verb, deed in DEEDS.items()
    ]
    return table(("verb", "event.category", "event.type", "class_uid", "activity_id"), rows)


def severities() -> str:
    """The scales."""
    rows = [(name, str(s.syslog), str(s.ecs), str(s.cef), str(s.ocsf)) for name, s in SCALES.items()]
    return table(("severity", "syslog", "event.severity", "CEF", "severity_id"), rows)


def sigma() -> str:
    """Where Sigma's fields are."""
    steps = yaml.safe_load(PIPELINE.read_text())["transformations"]
    [mapping] = [step["mapping"] for step in steps if step["id"] == "fields"]
    ours = {key for section in SECTIONS for field in section.fields for key in field.column("ecs")}
    rows = [(name, key if key in ours else f"{key} (never there)") for name, key in mapping.items()]
    return table(("Sigma", "ecs"), rows)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Columns, the first row bold."""
    lines = [cells(f"*{plain(cell)}*" for cell in head), *(cells(map(plain, row)) for row in rows)]
    return "\n".join(lines)


def cells(row: Iterable[str]) -> str:
    first, *rest = row
    return "\n".join([f"|[ {first}", *(f":[ {cell}" for cell in rest)])


def plain(text: str) -> str:
    """Text without anything that scdoc takes for formatting."""
    return re.sub(r"([\\_*`#|\[\]<>])", r"\\\1", text)
