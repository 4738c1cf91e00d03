# SPDX-License-Identifier: Apache-2.0
"""Behavior files and folders as one BehaviorSet, or every problem of every file at once. The keys: document.py."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, Problem
from ..reading import nodes
from ..reading.fields import Reading
from ..reading.nodes import Node
from ..reading.trust import distrust
from . import document
from .model import Behavior, BehaviorSet
from .soundness import unsound
from .transition import Alphabet

__all__ = ["IGNORE_RULES", "behavior_names", "load_behaviors", "read_behaviors"]

IGNORE_RULES = "ignore.yaml"  # lives among the behaviors, but is none


@dataclass(frozen=True, slots=True)
class _Document:
    reading: Reading
    node: Node
    stem: str


def load_behaviors(
    paths: Iterable[str | os.PathLike[str]],
    uid: int | None = None,
    environ: Mapping[str, str] | None = None,
    switched: Mapping[str, bool] | None = None,
    activities: bool = True,
) -> BehaviorSet:
    """The behaviors of files and folders (*.yaml at any depth, less ignore.yaml); InputError with all that is wrong.

    A behavior of a later path replaces the one of the same name in an earlier path, which is not even read. `switched`
    says by name which are on or off, whatever their files say; without `activities` all of those are off, and may have
    verbs that no operation emits. A file that others could have written is refused for root: `uid` and `environ` are
    this process's unless given.
    """
    uid = os.geteuid() if uid is None else uid
    environ = os.environ if environ is None else environ
    problems: list[Problem] = []
    documents = []
    whole = True
    for path in _files(paths, problems):
        count = len(problems)
        read = _read(path, uid, environ, problems)
        whole = whole and len(problems) == count
        if read:
            documents.append(read)
    behaviors = _behaviors(documents, whole, switched or {}, activities)
    problems += [problem for each in documents for problem in each.reading.problems]
    if problems:
        raise InputError(sorted(problems, key=lambda problem: (problem.path, problem.line, problem.column)))
    return BehaviorSet(tuple(sorted(behaviors, key=lambda behavior: behavior.name)))


def read_behaviors(texts: Mapping[str, str]) -> BehaviorSet:
    """Behaviors from YAML text by file name, as load_behaviors would read them from files."""
    problems: list[Problem] = []
    documents = []
    for path, text in texts.items():
        node = nodes.parse(text.encode("utf-8", "surrogateescape"), path, problems)
        if node:
            documents.append(_Document(Reading(path, []), node, Path(path).stem))
    behaviors = _behaviors(documents, not problems, {}, True)
    problems += [problem for each in documents for problem in each.reading.problems]
    if problems:
        raise InputError(sorted(problems, key=lambda problem: (problem.path, problem.line, problem.column)))
    return BehaviorSet(tuple(sorted(behaviors, key=lambda behavior: behavior.name)))


def behavior_names(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """The names of the behaviors that load_behaviors would read, without a look into them."""
    return sorted(Path(path).stem for path in _files(paths, []) if Path(path).name != IGNORE_RULES)


def _files(paths: Iterable[str | os.PathLike[str]], problems: list[Problem]) -> list[str]:
    found: dict[str, tuple[int, str]] = {}  # real path -> which of the paths it is from, and path as it was given
    empty = []
    for number, given in enumerate(os.fspath(path) for path in paths):
        names = [given]
        if os.path.isdir(given):
            names = _in_folder(given, problems)
            empty += [] if names else [Problem(given, 1, 1, "there are no behaviors (*.yaml) in this folder")]
        for name in names:
            found.setdefault(os.path.realpath(name), (number, name))
    if not found:
        problems += empty
    latest = {Path(name).stem: number for number, name in found.values()}  # a behavior is called as its file
    return [name for number, name in found.values() if number == latest[Path(name).stem]]


def _in_folder(folder: str, problems: list[Problem]) -> list[str]:
    def unreadable(error: OSError) -> None:
        problems.append(Problem(error.filename, 1, 1, f"cannot be read: {error.strerror}"))

    found = []
    for where, folders, names in os.walk(folder, onerror=unreadable):
        folders.sort()
        found += [os.path.join(where, name) for name in sorted(names) if _is_behavior(name)]
    return found


def _is_behavior(name: str) -> bool:
    return name.endswith(".yaml") and not name.startswith(".") and name != IGNORE_RULES


def _read(path: str, uid: int, environ: Mapping[str, str], problems: list[Problem]) -> _Document | None:
    if Path(path).name == IGNORE_RULES:
        return None
    answer = nodes.read(path, problems)
    if answer is None:
        return None
    node, status = answer
    folder = os.path.dirname(os.path.realpath(path))
    for name, its_status in ((path, status), (folder, os.stat(folder))):
        if wrong := distrust(name, its_status, uid, environ):
            what = wrong[0] if name == path else f"its folder is not safe: {wrong[0]}"
            problems.append(Problem(path, 1, 1, what, wrong[1]))
            return None
    return _Document(Reading(path, []), node, Path(path).stem)


def _behaviors(
    documents: list[_Document], whole: bool, switched: Mapping[str, bool], with_activities: bool
) -> list[Behavior]:
    """Operations first, because the activities' triggers are their verbs."""
    operations: list[_Document] = []
    activities: list[_Document] = []
    for each in documents:
        layer = each.node.value.get("layer") if isinstance(each.node.value, dict) else None
        (activities if layer is not None and layer.text == "activity" else operations).append(each)
    read = [_behavior(each, Alphabet(), switched) for each in operations]
    complete = whole and with_activities and None not in read
    alphabet = _alphabet([behavior for behavior in read if behavior], complete)
    if not with_activities:
        switched = {**switched, **{each.stem: False for each in activities}}
    read += [_behavior(each, alphabet, switched) for each in activities]
    behaviors = [behavior for behavior in read if behavior]
    _unique(behaviors, documents)
    return behaviors


def _behavior(each: _Document, alphabet: Alphabet, switched: Mapping[str, bool]) -> Behavior | None:
    behavior = document.behavior(each.reading, each.node, each.stem, alphabet, switched.get(each.stem))
    if behavior and not each.reading.problems:
        for (line, column), what, hint in unsound(behavior):
            each.reading.problems.append(Problem(each.reading.path, line, column, what, hint))
    return behavior


def _alphabet(operations: list[Behavior], complete: bool) -> Alphabet:
    off = {
        transition.emit.verb: behavior.name
        for behavior in operations
        if not behavior.enabled
        for transition in behavior.transitions
        if transition.emit
    }
    return Alphabet(BehaviorSet(tuple(operations)).verbs(), off, complete)


def _unique(behaviors: list[Behavior], documents: list[_Document]) -> None:
    places = {each.reading.path: each for each in documents}
    first: dict[str, Behavior] = {}
    for behavior in sorted(behaviors, key=lambda behavior: behavior.path):
        other = first.setdefault(behavior.name, behavior)
        if other is not behavior:
            each = places[behavior.path]
            node = each.node.value.get("behavior", each.node)
            each.reading.wrong(node, f"behavior '{behavior.name}' is already defined in {other.path}")
