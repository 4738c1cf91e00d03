# SPDX-License-Identifier: Apache-2.0
"""Which behaviors an event may start, found by what it is about and not by asking every behavior.

A behavior whose first steps all ask for certain paths or names is filed under these: an event finds it by its own path,
the folders above it and its name; or under an address, if they ask for one, which most events have not. So what an
event costs does not grow with the number of behaviors that are about other files. What is found may still turn the
event down; what is not found would.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..event import Address, Event, File
from ..vocabulary import FIELDS
from .model import Condition, Test

if TYPE_CHECKING:
    from .compiler import Listener, Move

__all__ = ["Starters"]

_FILED_BY = ("file", "name", "exe", "to", "command", "suffix")  # the fields, those that tell most first
_HAVING = ("remote", "origin", "peer")
_MOST_ANSWERS = 4096
_MAGIC = frozenset("*?[")

_Key = tuple[str, str, str]  # field; is, below, named or some; the value


class Starters:
    """The listeners of one trigger among the behaviors that match a process, in the order of their tables."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._always: list[Listener] = []
        self._filed: dict[_Key, list[Listener]] = {}
        self._answers: dict[tuple[Any, ...], tuple[Listener, ...]] = {}
        for listener in listeners:
            keys = _keys(listener[0].moves[0][listener[1]])
            for key in keys or ():
                self._filed.setdefault(key, []).append(listener)
            if keys is None:
                self._always.append(listener)
        fields = {key[0] for key in self._filed}
        self._fields = [(name, FIELDS[name].get) for name in (*_FILED_BY, *_HAVING) if name in fields]
        self._rest = tuple(self._always)

    def of(self, event: Event) -> tuple[Listener, ...]:
        """Those that the event may start."""
        if not self._fields:
            return self._rest
        values = tuple([_text(get(event)) for _, get in self._fields])
        found = self._answers.get(values)
        if found is None:
            if len(self._answers) >= _MOST_ANSWERS:
                self._answers.clear()
            found = self._answers[values] = self._find(values)
        return found

    def _find(self, values: tuple[str | None, ...]) -> tuple[Listener, ...]:
        found = {listener[0].number: listener for listener in self._always}
        for (name, _), value in zip(self._fields, values, strict=True):
            for key in _places(name, value) if value is not None else ():
                found |= {listener[0].number: listener for listener in self._filed.get(key, ())}
        return tuple(found[number] for number in sorted(found))


def _text(value: Any) -> str | None:
    if isinstance(value, Address):
        return ""
    return value.path if isinstance(value, File) else value


def _places(name: str, value: str) -> list[_Key]:
    """All keys under which something about this value may be filed."""
    if name in _HAVING:
        return [(name, "some", "")]
    found = [(name, "is", value)]
    if FIELDS[name].kind == "path":
        folder = value
        while "/" in folder:
            folder, _, last = folder.rpartition("/")
            found.append((name, "below", f"{folder}/"))
            if len(found) == 2:
                found.append((name, "named", last))
    return found


def _keys(moves: Iterable[Move]) -> set[_Key] | None:
    """Under which keys the first steps are filed; None if they may be about anything."""
    effective = [move for move in moves if move.dest or move.verb or move.login]
    for name in _FILED_BY:
        found: set[_Key] = set()
        for move in effective:
            keys = _filed(name, move.transition.conditions)
            if keys is None:
                break
            found |= keys
        else:
            return found
    for name in _HAVING:
        if effective and all(any(each.field == name for each in move.transition.conditions) for move in effective):
            return {(name, "some", "")}
    return None


def _filed(name: str, conditions: Iterable[Condition]) -> set[_Key] | None:
    for condition in conditions:
        if condition.field == name:
            keys = [_key(name, test) for test in condition.tests]
            return {key for key in keys if key} if all(keys) else None
    return None


def _key(name: str, test: Test) -> _Key | None:
    text = str(test.value)
    if test.how == "equal":
        return (name, "is", text)
    if test.how == "prefix":
        return (name, "below", text)
    if test.how != "glob" or FIELDS[name].kind != "path":
        return None
    folder, _, last = text.rpartition("/")
    if not _MAGIC & set(last):
        return (name, "named", last)
    literal = ""
    for part in folder.split("/")[1:]:
        if _MAGIC & set(part):
            break
        literal += f"/{part}"
    return (name, "below", f"{literal}/") if literal else None
