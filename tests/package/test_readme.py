# SPDX-License-Identifier: Apache-2.0
"""What the READMEs say of the shipped behaviors is so, and commands on traces print what README.md shows.

`pytest --golden` writes what README.md derives from these anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from panorama.machines.model import Behavior
from panorama.machines.spec import load_behaviors
from panorama.output.line import SEVERITIES
from panorama.paths import BEHAVIORS

TOP = Path(__file__).resolve().parents[2]
README = TOP / "README.md"
TABLE = re.compile(r"(?<=\| verb \| what it says \| ATT&CK \| severity \|\n\|---\|---\|---\|---\|\n)(\|.*\n)+")
COUNT = re.compile(r"(?m)^(\| `(operations|activities|all)` \| .* \| )\d+ \|$")
TRANSCRIPT = re.compile(r"(?m)^( +)\$ (panorama (?:replay|explain) .*)\n(?:\1.*\n|\n(?=\1))*")


def shipped() -> dict[str, Behavior]:
    return {behavior.name: behavior for behavior in load_behaviors([BEHAVIORS])}


def verbs(behavior: Behavior) -> list[str]:
    """In the order in which its file has them."""
    return list(dict.fromkeys(each.emit.verb for each in behavior.transitions if each.emit))


def rows() -> str:
    """An activity each, the more severe last."""
    made = []
    for each in shipped().values():
        if each.layer == "activity":
            names = " ".join(f"`{verb}`" for verb in sorted(verbs(each)))
            row = f"| {names} | {each.summary} | {' '.join(each.attack)} | {each.severity} |\n"
            made.append((-SEVERITIES.index(each.severity), row))
    return "".join(row for _, row in sorted(made))


def printed(command: str) -> str:
    """By the program of this checkout, which calls itself installed."""
    environment = os.environ | {"TZ": "UTC"}
    script = f'panorama() {{ "{sys.executable}" -m panorama "$@"; }}; {command}'
    run = subprocess.run(["bash", "-c", script], cwd=TOP, env=environment, capture_output=True, text=True)
    return run.stdout.rstrip().replace(str(TOP), "/usr/share/panorama")


def transcript(found: re.Match[str]) -> str:
    indent, command = found.groups()
    return "".join(f"{indent}{line}".rstrip() + "\n" for line in [f"$ {command}", *printed(command).splitlines()])


def lines_of_a_build(found: re.Match[str]) -> str:
    return f"{found[1]}{len(printed(f'panorama replay --log {found[2]} traces/build.jsonl.gz').splitlines())} |"


@pytest.mark.parametrize(
    ("part", "made"),
    [(TABLE, lambda _: rows()), (COUNT, lines_of_a_build), (TRANSCRIPT, transcript)],
    ids=["activities", "log", "transcripts"],
)
def test_readme_says_what_is_so(
    part: re.Pattern[str], made: Callable[[re.Match[str]], str], request: pytest.FixtureRequest
) -> None:
    """The table of activities, how many lines a setting of `log` gives, and what commands on traces print."""
    text = README.read_text()
    wanted, count = part.subn(made, text)
    if request.config.getoption("--golden"):
        README.write_text(wanted)
    else:
        assert count
        assert text == wanted


def test_the_readme_of_behaviors_has_each_with_its_verbs() -> None:
    """Some rows are of more than one behavior."""
    behaviors = shipped()
    told: list[str] = []
    for first, second in re.findall(r"(?m)^\| (`.*?) \| (.*?) \|", (BEHAVIORS / "README.md").read_text()):
        names = re.findall(r"`([\w-]+)`", first)
        assert set(second.split()) == {verb for name in names for verb in verbs(behaviors[name])}, first
        told += names
    assert sorted(told) == sorted(behaviors)
