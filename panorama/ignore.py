# SPDX-License-Identifier: Apache-2.0
"""Ignore rules: what is left out of the lines, by name and with a count.

Rules come from behaviors/ignore.yaml, which documents them, and from files like it. What in them is a kind, a file
system or a plain path is handed to the kernel (demand.py); paths are all looked at here as well, so that a replay gives
the same lines.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError, Problem
from .event import Event
from .machines.globs import path_glob
from .reading.fields import Reading, suggestion
from .reading.nodes import Node, read, shortened
from .reading.trust import distrust

__all__ = ["FILESYSTEMS", "KINDS", "IgnoreRules", "Rule", "load_ignore"]

# super_block.s_magic, include/uapi/linux/magic.h
FILESYSTEMS = {
    "proc": 0x9FA0,
    "sysfs": 0x62656572,
    "cgroup": 0x27E0EB,
    "cgroup2": 0x63677270,
    "debugfs": 0x64626720,
    "tracefs": 0x74726163,
    "securityfs": 0x73636673,
    "selinuxfs": 0xF97CFF8C,
    "bpf": 0xCAFE4A11,
    "nsfs": 0x6E736673,
    "devpts": 0x1CD1,
    "tmpfs": 0x01021994,
    "ramfs": 0x858458F6,
    "configfs": 0x62656570,
    "efivarfs": 0xDE5E81E4,
    "mqueue": 0x19800202,
    "hugetlbfs": 0x958458F6,
    "binfmt_misc": 0x42494E4D,
}
# i_mode >> 12 as the kernel's part knows it
KINDS = {"anonymous": 0, "pipe": 1, "character": 2, "directory": 4, "block": 6}
_READING = frozenset(("open", "read", "close"))
MOST_RULES = 64  # RULES in bpf/record.h
_TESTS = "path, filesystem, kind, exe"
_KEYS = ("rule", "summary", "enabled", "path", "filesystem", "kind", "exe", "access")
_PREFIX_NAMES, _PREFIX_BYTES = 4, 60  # PREFIX_NAMES and PREFIX_ROOM in bpf/record.h


@dataclass(frozen=True)
class Rule:
    """One rule; see behaviors/ignore.yaml."""

    name: str
    summary: str
    paths: tuple[str, ...] = ()
    filesystems: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    exes: tuple[str, ...] = ()
    only_read: bool = False
    enabled: bool = True

    @property
    def alone(self) -> bool:
        """Whether it has exactly one key, so that one test decides it."""
        return sum(map(bool, (self.paths, self.filesystems, self.kinds, self.exes))) == 1

    @property
    def kernel_paths(self) -> tuple[str, ...]:
        """The paths that the kernel's part can decide: without patterns, not too deep, and no other key beside them."""
        return tuple(path for path in self.paths if _plain(path)) if self.alone else ()


def _magic(path: str) -> bool:
    return re.search(r"[*?\[]", path) is not None


def _beginning(path: str) -> str:
    """What all that a pattern or folder matches begins with."""
    return path if path.endswith("/") else re.split(r"[*?\[]", path)[0]


def _plain(path: str) -> bool:
    names = path.strip("/").split("/")
    return not _magic(path) and len(names) <= _PREFIX_NAMES and len(path.encode()) <= _PREFIX_BYTES


class IgnoreRules:
    """The rules in order. `ignored` has the count of syscalls by rule name and trigger that this side held back."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self.ignored: dict[str, dict[str, int]] = {}
        self._compiled = [(rule, _matcher(rule.paths), _matcher(rule.exes)) for rule in self.rules]
        self._verdicts: dict[tuple[str, str, bool], str | None] = {}
        paths = [path for rule in self.rules if rule.paths or rule.exes for path in rule.paths or ("*",)]
        self._paths = frozenset(paths)
        self._beginnings = tuple({_beginning(path) for path in paths if path.endswith("/") or _magic(path)})

    def match(self, event: Event) -> str | None:
        """The name of the first rule that ignores this event, or None. Depends on the event alone."""
        path = event.file.path if event.file else ""
        if not path and event.remote and event.remote.family == "unix":
            path = event.remote.host
        if not path or not (path in self._paths or path.startswith(self._beginnings)):
            return None
        if "exec" in event.triggers:  # rules are about files that are used, not about programs that are started
            return None
        only_read = not (event.created or event.truncated) and _READING.issuperset(event.triggers)
        key = (path, event.process.exe, only_read)
        try:
            return self._verdicts[key]
        except KeyError:
            if len(self._verdicts) > 8192:
                self._verdicts.clear()
            found = self._verdicts[key] = self._find(*key)
            return found

    def _find(self, path: str, exe: str, only_read: bool) -> str | None:
        for rule, paths, exes in self._compiled:
            if rule.only_read and not only_read:
                continue
            if (rule.paths or rule.exes) and paths(path) and exes(exe):
                return rule.name
        return None

    def keep(self, event: Event) -> bool:
        """False if a rule ignores the event, which is then counted."""
        name = self.match(event)
        if name is None:
            return True
        counts = self.ignored.setdefault(name, {})
        for trigger, n in event.calls.items():
            counts[trigger] = counts.get(trigger, 0) + n
        return False


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """A test for "is one of these, or below one of these that end in a slash"; true where there are none."""
    if not patterns:
        return lambda _: True
    exact = frozenset(p for p in patterns if not p.endswith("/") and not _magic(p))
    below = tuple(p for p in patterns if p.endswith("/"))
    globs = [path_glob(p) for p in patterns if p not in exact and p not in below]

    def test(path: str) -> bool:
        return path in exact or path.startswith(below) or any(glob.fullmatch(path) for glob in globs)

    return test


def load_ignore(*paths: Path) -> IgnoreRules:
    """The rules in `paths` that are on. A rule of a later file replaces the one of the same name in an earlier file.

    InputError has everything wrong with them; a missing file is no rules.
    """
    problems: list[Problem] = []
    rules: dict[str, Rule] = {}
    for path in paths:
        document = read(path, problems) if os.path.exists(path) else None
        if document:
            node, status = document
            for place, found in ((path, status), (path.parent, path.parent.stat())):
                if wrong := distrust(str(place), found, os.geteuid(), os.environ):
                    problems.append(Problem(str(place), 1, 1, wrong[0], wrong[1]))
            reading = Reading(str(path), problems)
            rules |= _rules(reading, node, rules)
            on = sum(rule.enabled for rule in rules.values())
            if on > MOST_RULES:
                reading.wrong(node, f"{on} rules; {MOST_RULES} at most")
    if problems:
        raise InputError(problems)
    return IgnoreRules(rule for rule in rules.values() if rule.enabled)


def _rules(reading: Reading, node: Node, before: Mapping[str, Rule]) -> dict[str, Rule]:
    """The rules of one file by name; `before` are those of earlier files."""
    listed = node.value.get("ignore") if isinstance(node.value, dict) else None
    if listed is None or not isinstance(listed.value, list) or len(node.value) != 1:
        reading.wrong(node, "the one key here is 'ignore', a list of rules")
        return {}
    rules: dict[str, Rule] = {}
    for item in reading.mappings(node, "ignore", "a rule"):
        rule = _rule(reading, item, before)
        if rule and rule.name in rules:
            reading.wrong(item, f"a second rule '{rule.name}'")
        elif rule:
            rules[rule.name] = rule
    return rules


def _rule(reading: Reading, item: Node, before: Mapping[str, Rule]) -> Rule | None:
    problems = len(reading.problems)
    reading.keys(item, _KEYS)
    rule = Rule(
        name=reading.text(item, "rule"),
        summary=reading.text(item, "summary"),
        paths=_words(reading, item, "path"),
        filesystems=_words(reading, item, "filesystem", FILESYSTEMS),
        kinds=_words(reading, item, "kind", KINDS),
        exes=_words(reading, item, "exe"),
        only_read=reading.choice(item, "access", ("read", "any"), "any") == "read",
        enabled=reading.flag(item, "enabled", True),
    )
    tests = rule.paths or rule.filesystems or rule.kinds or rule.exes
    if not rule.name:
        reading.wrong(item, "a rule without a name", "begin it with 'rule: NAME'")
    elif not rule.enabled and not tests:
        if rule.name not in before:
            what = f"there is no rule '{shortened(rule.name)}' to switch off in an earlier file"
            reading.wrong(item.value["rule"], what, suggestion(rule.name, before))
    elif not tests:
        reading.wrong(item, "a rule that ignores everything", f"add one of {_TESTS}")
    elif (rule.filesystems or rule.kinds) and not rule.alone:
        reading.wrong(item, "'kind' and 'filesystem' stand alone in a rule", "make two rules of it")
    elif rule.kinds and rule.only_read:
        reading.wrong(item, "'kind' has no 'access'", "leave it out")
    return rule if len(reading.problems) == problems else None


def _words(reading: Reading, item: Node, key: str, known: Iterable[str] = ()) -> tuple[str, ...]:
    if key not in item.value:
        return ()
    found = reading.words(item.value[key], key)
    for word in found:
        if known and word.text not in known:
            reading.unknown(word, key, known)
        elif not known and not word.text.startswith("/"):
            reading.wrong(word, f"'{shortened(word.text)}' is no absolute path")
    return tuple(word.text for word in found)
