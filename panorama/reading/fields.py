# SPDX-License-Identifier: Apache-2.0
"""One YAML file being understood: values taken out of nodes, with a Problem for each that is not what it should be.

What is wrong adds a Problem and comes back empty; the caller goes on, so that one run finds everything. Knows words,
lists and mappings, not what a behavior is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import Problem
from .nodes import Node, shortened

__all__ = ["WORD", "Reading", "suggestion"]

WORD = re.compile(r"[a-z][a-z0-9_-]*\Z", re.ASCII)


@dataclass(slots=True)
class Reading:
    """Where the problems of a file go, and the kinds of the values that its behavior saves."""

    path: str
    problems: list[Problem]
    saved: dict[str, str] = field(default_factory=dict)  # name -> kind of the field it was saved from

    def wrong(self, node: Node, what: str, hint: str = "") -> None:
        """Adds a problem at this node."""
        self.problems.append(Problem(self.path, node.line, node.column, what, hint))

    def unknown(self, node: Node, what: str, known: Iterable[str]) -> None:
        """Adds the problem that the node's text is none of the known words."""
        self.wrong(node, f"unknown {what} '{shortened(node.text)}'", suggestion(node.text, known))

    def quiet(self) -> Reading:
        """For a second look at what is reported elsewhere."""
        return Reading(self.path, [])

    def keys(self, node: Node, known: tuple[str, ...], needed: tuple[str, ...] = ()) -> None:
        """Refuses keys of a mapping that are not known, and asks for those that are needed."""
        for text, key in node.keys.items():
            if text not in known:
                self.unknown(key, "key", known)
        for text in needed:
            if text not in node.keys:
                self.wrong(node, f"the key '{text}' is missing")

    def text(self, node: Node, key: str) -> str:
        """The scalar under a key as it was written; "" where there is none."""
        value = node.value.get(key)
        if value is None:
            return ""
        if isinstance(value.value, dict | list) or not value.text.strip():
            self.wrong(value, f"'{key}' cannot be {value.kind}", "it takes text")
            return ""
        return str(value.text)

    def word(self, node: Node, key: str) -> str:
        """The word under a key."""
        text = self.text(node, key)
        if text and not WORD.match(text):
            self.wrong(node.value[key], f"'{key}' cannot be '{shortened(text)}'", "it takes a word of a-z 0-9 _ -")
        return text

    def choice(self, node: Node, key: str, choices: tuple[str, ...], default: str) -> str:
        """The word under a key, one of a few."""
        text = self.text(node, key)
        if text and text not in choices:
            self.unknown(node.value[key], key, choices)
            return default
        return text or default

    def flag(self, node: Node, key: str, default: bool) -> bool:
        """True or false under a key."""
        value = node.value.get(key)
        if value is None or isinstance(value.value, bool):
            return default if value is None else bool(value.value)
        self.wrong(value, f"'{key}' cannot be {value.kind}", "it takes true or false")
        return default

    def items(self, node: Node, key: str) -> list[Node]:
        """The list under a key."""
        value = node.value.get(key)
        if value is None:
            return []
        if not isinstance(value.value, list):
            self.wrong(value, f"'{key}' is a list, not {value.kind}")
            return []
        return list(value.value)

    def mappings(self, node: Node, key: str, what: str) -> list[Node]:
        """The list of mappings under a key."""
        found = self.items(node, key)
        for item in found:
            if not isinstance(item.value, dict):
                self.wrong(item, f"{what} is a mapping, not {item.kind}")
        return [item for item in found if isinstance(item.value, dict)]

    def entries(self, node: Node, key: str) -> list[tuple[Node, Node]]:
        """The mapping under a key, as pairs of key and value."""
        value = node.value.get(key)
        if value is None:
            return []
        if not isinstance(value.value, dict):
            self.wrong(value, f"'{key}' is a mapping, not {value.kind}")
            return []
        return [(value.keys[text], entry) for text, entry in value.value.items()]

    def words(self, node: Node, what: str) -> list[Node]:
        """A scalar or a list of scalars, as nodes."""
        nodes = node.value if isinstance(node.value, list) else [node]
        if not nodes:
            self.wrong(node, f"an empty list of {what}s")
        for item in nodes:
            if isinstance(item.value, dict | list) or item.value is None:
                self.wrong(item, f"a {what} cannot be {item.kind}")
        return [item for item in nodes if not isinstance(item.value, dict | list) and item.value is not None]


def suggestion(word: str, known: Iterable[str]) -> str:
    """The nearest of the known words as a question, or all of them if none is near and they are few."""
    candidates = sorted(known)
    close = difflib.get_close_matches(word[:100], candidates, 1)
    if close:
        return f"did you mean '{close[0]}'?"
    verb = "is" if len(candidates) == 1 else "are"
    return f"there {verb} {', '.join(candidates)}" if 0 < len(candidates) < 15 else ""
