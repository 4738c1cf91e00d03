# SPDX-License-Identifier: Apache-2.0
"""The command line. The only place that turns errors into messages and exit statuses.

0 fine; 1 a trace had lines that did not decode or are missing, or another error; 2 wrong options or files; 3 eBPF
cannot be used. `watch` and `record` pass their command's status on.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from types import ModuleType
from typing import NoReturn

from . import __version__
from .commands import config, doctor, explain, record, replay, run, status, verify, watch
from .errors import PanoramaError, ReaderGone, UsageError
from .plain import nearest

__all__ = ["main", "parsers"]

_COMMANDS: dict[str, tuple[ModuleType, str]] = {
    "run": (run, "watch the machine until stopped (the default)"),
    "watch": (watch, "run a command and print what it does"),
    "record": (record, "keep events in a trace"),
    "replay": (replay, "print the lines of traces; needs neither root nor a kernel"),
    "explain": (explain, "say how the lines of a trace came about, or why a behavior wrote none"),
    "status": (status, "what the running service says of itself"),
    "config": (config, "check the configuration, or show what holds"),
    "verify": (verify, "whether shipped lines are complete and unaltered"),
    "doctor": (doctor, "say what this machine offers and what is missing"),
}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see: {self.prog} --help")


def parsers() -> tuple[_Parser, dict[str, _Parser]]:
    """The parser, and that of each command."""
    parser = _Parser(
        prog="panorama", description="Writes down what programs do: one line for each thing done, not for each syscall."
    )
    parser.add_argument("--version", action="version", version=f"panorama {__version__}")
    words = parser.add_subparsers(dest="word", metavar="COMMAND")
    made = {}
    for word, (module, summary) in _COMMANDS.items():
        made[word] = words.add_parser(word, help=summary, description=summary[0].upper() + summary[1:] + ".")
        module.add(made[word])
    return parser, made


def _parsed(given: list[str]) -> argparse.Namespace:
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help", "--version")):
        given = ["run", *given]
    if not given[0].startswith("-") and given[0] not in _COMMANDS:
        near = nearest(given[0], _COMMANDS) or f"; there are {', '.join(_COMMANDS)}"
        raise UsageError(f"there is no command '{given[0]}'{near}")
    parser, commands = parsers()
    parsed, rest = parser.parse_known_args(given)
    if rest:
        option = rest[0].partition("=")[0]
        known = commands[parsed.word]
        options = re.findall(r"--([a-z-]+)", known.format_help())
        near = nearest(option[2:], options).replace("'", "'--", 1) if option.startswith("--") else ""
        kind = "unknown option" if option.startswith("-") else "nothing to do with"
        raise UsageError(f"{kind} '{option}'{near or f'; see: {known.prog} --help'}")
    return parsed


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    try:
        parsed = _parsed(sys.argv[1:] if arguments is None else arguments)
        status: int = _COMMANDS[parsed.word][0].run(parsed)
    except ReaderGone:
        return 0
    except PanoramaError as error:
        for line in str(error).splitlines():
            print(f"panorama: {line}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    return status
