# SPDX-License-Identifier: Apache-2.0
"""The behaviors and ignore rules that a Config names, ready to run, or everything that is wrong with them.

Also what of the configuration only makes sense with behaviors at hand: whether those it names are there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import InputError, Problem, UsageError
from ..ignore import IgnoreRules, load_ignore
from ..machines.compiler import Program, compile_behaviors
from ..machines.model import BehaviorSet
from ..machines.spec import behavior_names, load_behaviors
from ..reading.fields import suggestion
from .model import COMMAND_LINE, Config
from .settings import SETTINGS

__all__ = ["Loaded", "loaded"]


@dataclass(frozen=True)
class Loaded:
    """Behaviors compiled, and the ignore rules beside them."""

    program: Program
    rules: IgnoreRules


def loaded(config: Config) -> Loaded:
    """Reads and compiles; InputError with everything wrong, UsageError for a name on the command line."""
    problems: list[Problem] = []
    folders = _there(config, "behaviors.folders", problems)
    names = behavior_names(folders)
    if names:
        _switches(config, names, problems)
    rules = IgnoreRules([])
    try:
        rules = load_ignore(*map(Path, _there(config, "ignore", problems)))
    except InputError as error:
        problems += error.problems
    behaviors = BehaviorSet()
    switched = dict.fromkeys(config.behaviors_disable, False) | dict.fromkeys(config.behaviors_enable, True)
    try:
        behaviors = load_behaviors(folders, switched=switched, activities=config.log != "operations")
    except InputError as error:
        problems += error.problems
    else:
        _filters(config, names, behaviors, problems)
    if problems:
        raise InputError(sorted(problems, key=lambda problem: (problem.path, problem.line, problem.column)))
    return Loaded(compile_behaviors(behaviors), rules)


def _there(config: Config, key: str, problems: list[Problem]) -> list[str]:
    """Those of the paths under a key that exist. One that the file names and that is not a default has to."""
    found = []
    for number, path in enumerate(config.setting(key)):
        place = config.origin(f"{key}[{number}]")
        if os.path.exists(path):
            found.append(path)
        elif place.line and path not in SETTINGS[key].default:
            problems.append(Problem(place.path, place.line, place.column, f"'{key}': there is no {path}"))
        elif config.origin(key) == COMMAND_LINE:
            found.append(path)  # whoever reads it says what is wrong
    return found


def _switches(config: Config, names: list[str], problems: list[Problem]) -> None:
    """Names in `enable` and `disable` that no behavior has. Those of the file are meant for the file's folders."""
    for key in ("behaviors.enable", "behaviors.disable"):
        for number, name in enumerate(config.setting(key)):
            place = config.origin(f"{key}[{number}]")
            if name in names:
                continue
            what = f"there is no behavior '{name}'"
            hint = suggestion(name, names)
            if not place.line:
                raise UsageError(f"--{key.partition('.')[2]}: {what}; {hint}" if hint else what)
            if config.origin("behaviors.folders") != COMMAND_LINE:
                problems.append(Problem(place.path, place.line, place.column, what, hint))


def _filters(config: Config, names: list[str], behaviors: BehaviorSet, problems: list[Problem]) -> None:
    """Filters that name what is not there, or that let nothing through."""
    if config.origin("behaviors.folders") == COMMAND_LINE or not names:
        return
    on = [behavior for behavior in behaviors if behavior.enabled]
    hint = "log: operations leaves activities out" if config.log == "operations" else ""
    for sink in config.sinks:
        key = f"sinks.{sink.name}.filter"
        unknown = _unmatched(sink.filter.behavior, names)
        for number in unknown:
            place = config.origin(f"{key}.behavior[{number}]")
            pattern = sink.filter.behavior[number]
            what = f"there is no behavior '{pattern}'"
            problems.append(Problem(place.path, place.line, place.column, what, suggestion(pattern, names)))
        if on and not unknown and not any(sink.filter.admits(each.layer, each.severity, each.name) for each in on):
            place = next(place for name, place in config.origins.items() if name.startswith(f"{key}."))
            what = f"the filter of '{sink.name}' lets nothing through: no behavior that is on fits it"
            problems.append(Problem(place.path, place.line, place.column, what, hint))


def _unmatched(patterns: Iterable[str], names: list[str]) -> list[int]:
    return [
        number
        for number, pattern in enumerate(patterns)
        if pattern != "*" and not any(fnmatchcase(name, pattern) for name in names)
    ]
