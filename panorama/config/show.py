# SPDX-License-Identifier: Apache-2.0
"""A Config as people and programs read it: every value as it would be written in the file, and where it comes from.

Both forms are valid for what reads them: the text is a panorama.yaml with comments that gives the same Config, the JSON
has the same shape with a value and its origin in place of each value. Secrets are in files of their own, never in here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..reading.keys import Key
from ..reading.values import spelled
from .model import DEFAULT, Config, Origin, SinkConfig
from .settings import FILTER, SETTINGS
from .sinks import sink_table

__all__ = ["scalar", "shown_json", "shown_yaml"]

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/._-]*|[1-9][0-9]*[A-Za-z]+|https?://[A-Za-z0-9/.:_-]*[A-Za-z0-9/]", re.ASCII)
_WORDS = ("true", "false", "null")

_COLUMN = 48  # comments stand behind it, and at once behind what is longer

_Tree = dict[str, Any]  # name -> _Tree, or (value as it is written, where it comes from)


def shown_yaml(config: Config) -> str:
    """As YAML, with the origin of each value behind it."""
    lines = list(_lines(_tree(config)))
    width = max(len(text) for text, _ in lines if len(text) <= _COLUMN)
    return "".join(f"{text:{width}}  # {origin}\n" if origin else f"{text}\n" for text, origin in lines)


def shown_json(config: Config) -> str:
    """As JSON: {"value": ..., "from": ...} for each key."""

    def plain(tree: _Tree) -> _Tree:
        return {
            name: plain(entry) if isinstance(entry, dict) else {"value": entry[0], "from": str(entry[1])}
            for name, entry in tree.items()
        }

    return json.dumps({"file": config.path or None, **plain(_tree(config))}, indent=2) + "\n"


def scalar(value: Any) -> str:
    """One value, or a list of them, in YAML on one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(scalar, value))}]"
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and value not in _WORDS else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def _tree(config: Config) -> _Tree:
    tree: _Tree = {}
    for name, key in SETTINGS.items():
        _put(tree, name, key, config.setting(name), config.origin(name))
    tree["sinks"] = {sink.name: _sink(config, sink) for sink in config.sinks}
    return tree


def _sink(config: Config, sink: SinkConfig) -> _Tree:
    values: Mapping[str, Any] = {
        **{"type": sink.type, "format": sink.format, "policy": sink.policy, "limit": sink.limit},
        **{f"filter.{name}": getattr(sink.filter, name) for name in FILTER},
        **sink.values,
    }
    tree: _Tree = {}
    for name, key in sink_table(sink.kind).items():
        given = f"sinks.{sink.name}.{name}"
        if values[name] is not None:
            _put(tree, name, key, values[name], config.origins.get(given, DEFAULT))
    return tree


def _put(tree: _Tree, name: str, key: Key, value: Any, origin: Origin) -> None:
    *levels, last = name.split(".")
    for level in levels:
        tree = tree.setdefault(level, {})
    tree[last] = (spelled(key.kind, value), origin)


def _lines(tree: _Tree, indent: str = "") -> Iterator[tuple[str, str]]:
    """Lines of YAML, each with the comment that goes behind it."""
    for name, entry in tree.items():
        if isinstance(entry, dict):
            yield f"{indent}{name}:", ""
            yield from _lines(entry, f"{indent}  ")
        else:
            origin = str(entry[1])
            yield f"{indent}{name}: {scalar(entry[0])}", origin if origin.isprintable() else ascii(origin)
