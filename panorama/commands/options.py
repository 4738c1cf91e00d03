# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have, and what they ask for: behaviors, ignore rules, how to write."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from ..config.behaviors import Loaded, loaded
from ..config.load import defaults, load_config
from ..config.model import COMMAND_LINE, Config
from ..config.settings import CONFIG, SETTINGS, SITE_BEHAVIORS
from ..errors import UsageError
from ..machines.spec import IGNORE_RULES
from ..output.context import Context, live_context
from ..output.formats import FORMATS
from ..output.text import HEADER, wants_colour
from ..plain import nearest

__all__ = [
    "Loaded",
    "add_behavior_options",
    "add_config_option",
    "add_format_option",
    "add_log_option",
    "add_long_open_option",
    "configured",
    "console_context",
    "header",
    "loaded",
]


def add_config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", type=Path, help=f"the configuration (default: {CONFIG}, if there)")


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
        "--ignore",
        metavar="FILE",
        action="append",
        type=Path,
        help="ignore rules; may be given more than once (default: ignore.yaml beside the behaviors)",
    )


def add_long_open_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--long-open",
        metavar="SECONDS",
        type=_seconds,
        help="report a file that stays open after so long (default: what the configuration says, 30 without one)",
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
        type=_one_of("format", sorted(FORMATS)),
        default="text",
        metavar="{" + ",".join(sorted(FORMATS)) + "}",
        help="how lines are written (default: text)",
    )


def add_log_option(parser: argparse.ArgumentParser) -> None:
    choices = SETTINGS["log"].choices
    parser.add_argument(
        "--log",
        type=_one_of("kind of line", choices),
        metavar="{" + ",".join(choices) + "}",
        help="which lines are written (default: what the configuration says, all without one)",
    )


def _one_of(what: str, names: Iterable[str]) -> Callable[[str], str]:
    """The type of an option that takes one of these."""

    def chosen(name: str) -> str:
        if name not in names:
            near = nearest(name, names) or f"; there are {', '.join(names)}"
            raise argparse.ArgumentTypeError(f"there is no {what} '{name}'{near}")
        return name

    return chosen


def configured(arguments: argparse.Namespace) -> Config:
    """What the options say over what the configuration says, or InputError with everything wrong in it.

    A command without --config has no configuration: then the options go over the defaults.
    """

    def changed(config: Config) -> Config:
        return _over(config, arguments)

    return load_config(arguments.config, changed) if "config" in arguments else changed(defaults())


def _over(config: Config, arguments: argparse.Namespace) -> Config:
    """The configuration with what the options say in place of it; behaviors are switched on in addition."""
    given: dict[str, object] = {}
    if arguments.behaviors:
        given["behaviors.folders"] = tuple(map(str, arguments.behaviors))
        beside = [str(path / IGNORE_RULES) for path in arguments.behaviors if (path / IGNORE_RULES).exists()]
        given |= {"ignore": tuple(beside)} if beside else {}
    for path in arguments.ignore or ():
        if not path.exists():
            raise UsageError(f"--ignore: there is no file {path}")
        given["ignore"] = tuple(map(str, arguments.ignore))
    for name in ("long_open", "log"):
        if getattr(arguments, name, None):
            given[name] = getattr(arguments, name)
    config = config.with_settings(given)
    if arguments.enable:
        enable = tuple(dict.fromkeys((*config.behaviors_enable, *arguments.enable)))
        origins = {**config.origins, "behaviors.enable": COMMAND_LINE}
        config = replace(config, behaviors_enable=enable, origins=origins)
    return config


def console_context(debug: bool, stream: int = 1) -> Context:
    """For people: colours if that is a terminal and they do not mind."""
    file = sys.stdout if stream == 1 else sys.stderr
    return replace(live_context(), debug=debug, colour=wants_colour(file, os.environ))


def header(format_name: str) -> str:
    return HEADER if format_name == "text" else ""
