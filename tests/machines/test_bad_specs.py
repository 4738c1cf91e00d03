# SPDX-License-Identifier: Apache-2.0
"""Every file in tests/specs/bad is refused with exactly the messages beside it; `WRITE_GOLDEN=1` rewrites them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from panorama.errors import InputError
from panorama.machines.spec import load_behaviors

BAD = Path(__file__).parent.parent / "specs" / "bad"


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_behaviors([path], uid=1000)
    return f"{caught.value}\n".replace(f"{path.parent}/", "")


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_bad_spec(path: Path) -> None:
    """All problems of the file, in order, each on one line with its place."""
    expected = path.with_suffix(".err")
    if os.environ.get("WRITE_GOLDEN"):
        expected.write_text(refused(path))
    assert refused(path) == expected.read_text()


def test_no_message_without_its_file() -> None:
    """An .err whose .yaml is gone would be read by nobody."""
    assert {path.stem for path in BAD.glob("*.err")} == {path.stem for path in BAD.glob("*.yaml")}


def test_all_problems_of_all_files_come_in_one_run() -> None:
    """Sorted by file, line and column; nothing is loaded."""
    with pytest.raises(InputError) as caught:
        load_behaviors([BAD], uid=1000)
    problems = caught.value.problems
    assert {Path(problem.path).name for problem in problems} >= {path.name for path in BAD.glob("*.yaml")}
    assert problems == sorted(problems, key=lambda problem: (problem.path, problem.line, problem.column))
    assert caught.value.status == 2
