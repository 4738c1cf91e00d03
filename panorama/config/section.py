# SPDX-License-Identifier: Apache-2.0
"""A mapping of panorama.yaml read by a table of Keys, with levels spelled as dots. Knows no key by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..reading.fields import Reading
from ..reading.keys import Key
from ..reading.nodes import Node
from ..reading.values import spelled, value_of
from .model import Origin

__all__ = ["Section", "condition"]


class Section:
    """The values that a mapping has for the keys of a table, each with its place; what is wrong is a Problem.

    `prefix` stands before each key in `origins`. `others` are keys of the mapping that the caller reads. A key with
    nothing behind it counts as left out. `given` are the nodes of those that are there, right or wrong; `values` are
    those that are right.
    """

    def __init__(
        self, reading: Reading, node: Node, table: Mapping[str, Key], prefix: str = "", others: tuple[str, ...] = ()
    ) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[str, Origin] = {}
        self.given: dict[str, Node] = {}
        self._reading = reading
        self._table = table
        self._prefix = prefix
        self._level(node, "", others)

    def complete(self) -> dict[str, Any]:
        """Every key of the table with its value or default."""
        return {name: key.default for name, key in self._table.items()} | self.values

    def check(self, node: Node) -> None:
        """Asks for keys that are needed, and refuses those that make no sense with the others; `node` is the whole."""
        for name, key in self._table.items():
            senseless = key.only and not self._holds(*key.only)
            if key.needed and not senseless and name not in self.given:
                self._reading.wrong(node, f"the key '{name}' is missing", f"it is {_lower(key.summary)}")
            if senseless and name in self.given:
                self._reading.wrong(self.given[name], f"'{name}' makes sense only with {condition(key)}")

    def _holds(self, name: str, *texts: str) -> bool:
        """Whether a key is set, and to one of these if there are any. One whose value is wrong might be."""
        if name in self.given and name not in self.values:
            return True
        key = self._table[name]
        value = spelled(key.kind, self.values.get(name, key.default))
        return value is not None and (not texts or (str(value).lower() if key.kind == "flag" else value) in texts)

    def _level(self, node: Node, above: str, others: tuple[str, ...] = ()) -> None:
        names = {name.removeprefix(above).partition(".")[0] for name in self._table if name.startswith(above)}
        for text, place in node.keys.items():
            name, value = f"{above}{text}", node.value[text]
            if text in others or (value.value is None and text in names):
                continue
            if text not in names:
                self._reading.unknown(place, "key", [*names, *others])
            elif name in self._table:
                self._one(name, value)
            elif isinstance(value.value, dict):
                self._level(value, f"{name}.")
            else:
                self._reading.wrong(value, f"'{name}' is a mapping, not {value.kind}")

    def _one(self, name: str, node: Node) -> None:
        self.given[name] = node
        value = value_of(self._reading, name, node, self._table[name])
        if value is None:
            return
        self.values[name] = value
        self.origins[self._prefix + name] = self._place(node)
        if isinstance(value, tuple) and isinstance(node.value, list):
            for number, item in enumerate(node.value):
                self.origins[f"{self._prefix}{name}[{number}]"] = self._place(item)
        elif isinstance(value, tuple) and self._table[name].kind != "address":
            self.origins[f"{self._prefix}{name}[0]"] = self._place(node)

    def _place(self, node: Node) -> Origin:
        return Origin(self._reading.path, node.line, node.column)


def condition(key: Key) -> str:
    """What a key's `only` asks for, in words."""
    name, *texts = key.only
    return f"{name}: {' or '.join(texts)}" if texts else name


def _lower(summary: str) -> str:
    """A summary as the end of a sentence."""
    return f"{summary[:1].lower()}{summary[1:]}".rstrip(".")
