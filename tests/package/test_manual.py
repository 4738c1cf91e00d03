# SPDX-License-Identifier: Apache-2.0
"""The man pages and the completion know every command, option, key and word that the program knows."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from panorama.cli import parsers
from panorama.machines.document import KEYS
from panorama.machines.spec import IGNORE_RULES, read_behaviors
from panorama.machines.transition import TRANSITION_KEYS
from panorama.output.line import SEVERITIES
from panorama.paths import BEHAVIORS
from panorama.vocabulary import FIELDS, LAYERS, SCOPES, TRIGGERS

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
TOP, COMMANDS = parsers()


def options() -> set[str]:
    return {
        name for parser in (TOP, *COMMANDS.values()) for action in parser._actions for name in action.option_strings
    }


def entries(text: str) -> set[str]:
    """The words in bold of a page."""
    return {word.replace("\\", "") for word in re.findall(r"\*([^*\s]+)\*", text)}


def test_panorama_1_has_every_command_and_every_option() -> None:
    assert set(COMMANDS) | options() <= entries((PACKAGING / "man/panorama.1.scd").read_text())


def test_panorama_1_has_no_option_that_is_not_there() -> None:
    told = {word for word in entries((PACKAGING / "man/panorama.1.scd").read_text()) if re.match(r"--?[a-z]", word)}
    assert told - options() == set()


def test_panorama_behavior_7_has_every_key_trigger_and_field() -> None:
    page = subprocess.run([sys.executable, PACKAGING / "vocabulary.py"], capture_output=True, text=True, check=True)
    assert {*KEYS, *TRANSITION_KEYS, *TRIGGERS, *FIELDS} <= entries(page.stdout)
    for word in (*LAYERS, *SCOPES, *SEVERITIES):
        assert f"_{word}_" in page.stdout, word


def test_the_examples_of_panorama_behavior_7_are_behaviors() -> None:
    page = (PACKAGING / "man/panorama-behavior.7.scd").read_text()
    texts = {path.name: path.read_text() for path in BEHAVIORS.glob("*.yaml") if path.name != IGNORE_RULES}
    found = re.findall(r"^\t# (\w+\.yaml)\+\+\n((?:\t.*\n)+)", page, re.MULTILINE)
    for name, lines in found:
        text = re.sub(r"\+\+$", "", textwrap.dedent(lines), flags=re.MULTILINE)
        texts[name] = re.sub(r"\\(.)", r"\1", text)
    names = {behavior.name for behavior in read_behaviors(texts)}
    assert {"hostkey", "pack"} == {name.removesuffix(".yaml") for name, _ in found} <= names


@pytest.fixture(scope="module")
def completion() -> str:
    command = [sys.executable, PACKAGING / "completion.py"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def completed(script: str, *words: str) -> list[str]:
    """What bash offers for the last word."""
    asked = " ".join(f"'{word}'" for word in words)
    command = (
        f"{script}\nCOMP_WORDS=({asked}); COMP_CWORD={len(words) - 1}; _panorama; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "--norc", "-c", command], capture_output=True, text=True, check=True)
    return sorted({line for line in done.stdout.splitlines() if line})


def test_commands_are_completed(completion: str) -> None:
    assert completed(completion, "panorama", "") == sorted(COMMANDS)
    assert completed(completion, "panorama", "rep") == ["replay"]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_options_are_completed(completion: str, command: str) -> None:
    there = {name for action in COMMANDS[command]._actions for name in action.option_strings}
    assert set(completed(completion, "panorama", command, "-")) == there


def test_values_are_completed_where_there_are_few(completion: str) -> None:
    assert "json" in completed(completion, "panorama", "watch", "--format", "")
    assert completed(completion, "panorama", "status", "--format", "") == ["json", "text"]
    assert completed(completion, "panorama", "watch", "-o", "") == [], "a file name, which bash completes itself"
    assert "bash" in completed(completion, "panorama", "watch", "--", "bas")
