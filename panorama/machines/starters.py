# SPDX-License-Identifier: Apache-2.0
"""Which behaviors an event may start, found by what it is about and not by asking every behavior.

A behavior whose first steps each ask for certain paths or names, or for something that few events have, is filed under
these: an event finds it by its own path, the folders above it, its name, and what it has. So what an event costs does
not grow with the number of behaviors that are about other files. What is found may still turn the event down; what is
not found would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..event import Event, File
from ..vocabulary import FIELDS
from .model import Condition, Test

if TYPE_CHECKING:
    from .compiler import Listener, Move

__all__ = ["Key", "Starters", "keys_of"]

_SELDOM = ("remote", "peer", "origin")  # fields that few events have: no condition on what is not there holds
_FILED_BY = (*_SELDOM, "file", "name", "exe", "to", "command", "suffix")  # the fields, those that tell most first
_OF_FILE = ("name", "suffix")  # follow from `file`
_MOST_ANSWERS = 4096
_MAGIC = frozenset("*?[")

Key = tuple[str, str, str]  # field; is, below, named or there; the value


class Starters:
    """The listeners of one trigger among the behaviors that match a process, in the order of their tables."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._always: list[Listener] = []
        self._filed: dict[Key, list[Listener]] = {}
        self._answers: dict[tuple[Any, ...], tuple[Listener, ...]] = {}
        for listener in listeners:
            keys = listener[0].filed[listener[1]]
            for key in keys or ():
                self._filed.setdefault(key, []).append(listener)
            if keys is None:
                self._always.append(listener)
        fields = {key[0] for key in self._filed}
        self._fields = [(name, _asked(name)) for name in _FILED_BY if name in fields]
        self._deciding = [get for name, get in self._fields if name not in _OF_FILE or "file" not in fields]
        self._rest = tuple(self._always)

    def of(self, event: Event) -> tuple[Listener, ...]:
        """Those that the event may start."""
        if not self._fields:
            return self._rest
        values = tuple([get(event) for get in self._deciding])
        found = self._answers.get(values)
        if found is None:
            if len(self._answers) >= _MOST_ANSWERS:
                self._answers.clear()
            found = self._answers[values] = self._find(event)
        return found

    def _find(self, event: Event) -> tuple[Listener, ...]:
        found = {listener[0].number: listener for listener in self._always}
        for name, get in self._fields:
            value = get(event)
            for key in _places(name, value) if value is not None else ():
                for listener in self._filed.get(key, ()):
                    found[listener[0].number] = listener
        return tuple(found[number] for number in sorted(found))


def _asked(name: str) -> Callable[[Event], str | None]:
    """What decides where an event looks: the text of a field, or whether there is something in it."""
    get = FIELDS[name].get
    if name in _SELDOM:
        return lambda event: None if get(event) is None else ""
    if FIELDS[name].kind == "path":
        return lambda event: value.path if isinstance(value := get(event), File) else value
    return get


def _places(name: str, value: str) -> list[Key]:
    """All keys under which something about this value may be filed."""
    if name in _SELDOM:
        return [(name, "there", "")]
    found = [(name, "is", value)]
    if FIELDS[name].kind == "path":
        folder = value
        while "/" in folder:
            folder, _, last = folder.rpartition("/")
            found.append((name, "below", f"{folder}/"))
            if len(found) == 2:
                found.append((name, "named", last))
    return found


def keys_of(moves: Iterable[Move]) -> set[Key] | None:
    """Under which keys the first steps are filed; None if one of them may be about anything."""
    found: set[Key] = set()
    for move in moves:
        if move.dest or move.verb or move.login:
            conditions = move.transition.conditions
            filed = (keys for name in _FILED_BY if (keys := _filed(name, conditions)) is not None)
            keys = next(filed, None)
            if keys is None:
                return None
            found |= keys
    return found


def _filed(name: str, conditions: Iterable[Condition]) -> set[Key] | None:
    for condition in conditions:
        if condition.field == name and name in _SELDOM:
            return {(name, "there", "")}
        if condition.field == name:
            keys = [_key(name, test) for test in condition.tests]
            return {key for key in keys if key} if all(keys) else None
    return None


def _key(name: str, test: Test) -> Key | None:
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
