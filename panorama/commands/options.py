# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have, and what they ask for: behaviors, ignore rules, how to write."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError, Problem, UsageError
from ..ignore import IgnoreRules, load_ignore
from ..machines.compiler import Program, compile_behaviors
from ..machines.model import BehaviorSet
from ..machines.spec import load_behaviors
from ..output.context import Context, live_context
from ..output.formats import FORMATS
from ..output.text import HEADER, wants_colour
from ..paths import BEHAVIORS
from ..plain import nearest

__all__ = [
    "Loaded",
    "add_behavior_options",
    "add_format_option",
    "add_long_open_option",
    "console_context",
    "header",
    "load",
]

SITE_BEHAVIORS = Path("/etc/panorama/behaviors")


@dataclass(frozen=True)
class Loaded:
    """Behaviors compiled, and the ignore rules beside them."""

    program: Program
    rules: IgnoreRules


def add_behavior_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-b",
        "--behaviors",
        metavar="PATH",
        action="append",
        type=Path,
        help="a behavior file or a folder of them; may be given more than once (default: the shipped ones"
        f" and those in {SITE_BEHAVIORS})",
    )
    parser.add_argument(
        "--enable",
        metavar="NAME",
        action="append",
        default=[],
        help="switch on a behavior that is shipped but off, such as exec",
    )
    parser.add_argument(
        "--ignore", metavar="FILE", type=Path, help="ignore rules (default: ignore.yaml beside the behaviors)"
    )


def add_long_open_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--long-open",
        metavar="SECONDS",
        type=_seconds,
        default=30.0,
        help="report a file that stays open after so long (default: 30)",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds")
    return seconds


def add_format_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        type=_format,
        default="text",
        metavar="{" + ",".join(sorted(FORMATS)) + "}",
        help="how lines are written (default: text)",
    )


def _format(name: str) -> str:
    if name not in FORMATS:
        near = nearest(name, FORMATS) or f"; there are {', '.join(sorted(FORMATS))}"
        raise argparse.ArgumentTypeError(f"there is no format '{name}'{near}")
    return name


def load(arguments: argparse.Namespace) -> Loaded:
    """What the options ask for, or InputError with everything wrong in it."""
    given: list[Path] = arguments.behaviors or [BEHAVIORS, *([SITE_BEHAVIORS] if SITE_BEHAVIORS.is_dir() else [])]
    beside = [path / "ignore.yaml" for path in reversed(given) if path.is_dir()] + [BEHAVIORS / "ignore.yaml"]
    if arguments.ignore and not arguments.ignore.exists():
        raise UsageError(f"--ignore: there is no file {arguments.ignore}")
    problems: list[Problem] = []
    behaviors, rules = BehaviorSet(()), IgnoreRules([])
    try:
        behaviors = load_behaviors(given)
    except InputError as error:
        problems += error.problems
    try:
        rules = load_ignore(arguments.ignore or next((path for path in beside if path.exists()), beside[-1]))
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    return Loaded(compile_behaviors(_switched_on(behaviors, arguments.enable)), rules)


def _switched_on(behaviors: BehaviorSet, names: Sequence[str]) -> BehaviorSet:
    known = [behavior.name for behavior in behaviors]
    for name in names:
        if name not in known:
            raise UsageError(f"--enable: there is no behavior '{name}'{nearest(name, known)}")
    return BehaviorSet(tuple(replace(each, enabled=each.enabled or each.name in names) for each in behaviors))


def console_context(debug: bool, stream: int = 1) -> Context:
    """For people: colours if that is a terminal and they do not mind."""
    file = sys.stdout if stream == 1 else sys.stderr
    return replace(live_context(), debug=debug, colour=wants_colour(file, os.environ))


def header(format_name: str) -> str:
    return HEADER if format_name == "text" else ""
