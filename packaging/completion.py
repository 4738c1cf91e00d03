#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the bash completion of panorama(1), made from the parsers that read its command line.

It completes commands, options, and the values of options that are one of a list; after `--`, a program's name. All else
is completed as a file name.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path

_TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_TOP))

from panorama.cli import parsers  # noqa: E402

_SCRIPT = """\
# Completion of panorama(1) for bash. Made by packaging/completion.py.

_panorama() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} command=none values= i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
        {commands}) [ "$command" != none ] || command=${{COMP_WORDS[i]}} ;;
        --)
            [ "$before" != -- ] || COMPREPLY=($(compgen -c -- "$word"))
            return
            ;;
        esac
    done
    case $command:$before in
{values}
    *)
        case $word in
        -*)
            case $command in
{options}
            esac
            ;;
        *) [ "$command" != none ] || values='{words}' ;;
        esac
        ;;
    esac
    COMPREPLY=($(compgen -W "$values" -- "$word"))
}}

complete -o default -F _panorama panorama
"""


def script() -> str:
    """The whole file."""
    top, commands = parsers()
    options = []
    takers: dict[str, list[str]] = {}  # options that take a value, by the values there are
    for command, parser in {"none": top, **commands}.items():
        names = sorted(name for action in parser._actions for name in action.option_strings)
        options.append(f"            {command}) values='{' '.join(names)}' ;;")
        for action in parser._actions:
            if action.nargs != 0:
                takers.setdefault(_choices(action), []).extend(f"{command}:{name}" for name in action.option_strings)
    values = [f"    {_patterns(each)}) values='{choices}' ;;" for choices, each in takers.items() if each]
    return _SCRIPT.format(
        commands="|".join(commands),
        words=" ".join(commands),
        values="\n".join(values),
        options="\n".join(options),
    )


def _choices(action: argparse.Action) -> str:
    """The values that an option can have, where they are few: its help shows them as {a,b}."""
    shown = action.metavar if isinstance(action.metavar, str) else ""
    return " ".join(map(str, action.choices or (shown[1:-1].split(",") if shown.startswith("{") else ())))


def _patterns(names: list[str]) -> str:
    lines = textwrap.wrap(" | ".join(names), 110, break_on_hyphens=False)
    return " \\\n    ".join(lines)


if __name__ == "__main__":
    print(script(), end="")
