# SPDX-License-Identifier: Apache-2.0
"""The dataclasses of event.py as plain JSON data, and back with every attribute's type checked.

The type hints are the schema: an attribute added there needs nothing here. Knows no files and no lines.
"""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Hashable, Iterable
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from .event import Address, File, Process

__all__ = ["checked", "inner", "made", "nearest", "plain", "scalars"]


def plain(value: Any) -> Any:
    """A dataclass as JSON data without the attributes that have their default; processes are left to the caller."""
    result = {}
    for name, default in _defaults(cast(Hashable, type(value))):
        attribute = getattr(value, name)
        if attribute == default or isinstance(attribute, Process):
            continue
        result[name] = plain(attribute) if isinstance(attribute, File | Address) else attribute
    return result


def made(kind: type[Any], data: dict[str, Any]) -> Any:
    """The dataclass `kind` from JSON data; ValueError or TypeError names the attribute that is wrong."""
    hints = _hints(cast(Hashable, kind))
    for key in data:
        if key not in hints:
            raise ValueError(f"unknown attribute {key!r} of {kind.__name__.lower()}{nearest(key, hints)}")
    for field in fields(kind):
        if field.default is MISSING and field.name not in data:
            raise ValueError(f"{kind.__name__.lower()} without '{field.name}'")
    return kind(**{key: checked(value, hints[key], key) for key, value in data.items()})


def checked(value: Any, hint: Any, name: str) -> Any:
    """`value` as what the type hint says, if it is that."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):  # File | None, Address | None
        return checked(value, get_args(hint)[0], name)
    if hint in (File, Address) and isinstance(value, dict):
        return made(hint, value)
    if origin is tuple and isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(value)
    if origin is dict and isinstance(value, dict):
        inner = get_args(hint)[1]
        return value if inner is Any else {key: checked(entry, inner, f"{name}.{key}") for key, entry in value.items()}
    if origin is None and type(value) is hint:  # not isinstance: true is no number
        return value
    raise TypeError(f"{name!r} cannot be {json.dumps(value)[:40]}")


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` to put behind a message, or nothing if no known word is near."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean '{close[0]}'?" if close else ""


@cache
def scalars(kind: Hashable) -> dict[str, Any]:
    """The attributes of a dataclass that are a plain number, text or flag, with their type."""
    return {name: hint for name, hint in _hints(kind).items() if hint in (int, str, bool)}


@cache
def inner(kind: Hashable) -> dict[str, Any]:
    """The attributes of a dataclass that are a File or an Address, if anything, with which of them."""
    found = {name: get_args(hint)[0] for name, hint in _hints(kind).items() if get_origin(hint) is types.UnionType}
    return {name: hint for name, hint in found.items() if hint in (File, Address)}


@cache
def _defaults(kind: Hashable) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.default) for field in fields(cast(Any, kind)) if not field.metadata.get("derived"))


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    derived = {field.name for field in fields(cast(Any, kind)) if field.metadata.get("derived")}
    return {name: hint for name, hint in get_type_hints(kind).items() if name not in derived}
