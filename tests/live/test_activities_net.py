# SPDX-License-Identifier: Apache-2.0
"""Activities about the network, with real programs and a real sshd: what was transferred, who logged in, from where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Told
from .sandbox import EXAMPLES, SSHD, examples_of, proves, sandboxed

pytestmark = pytest.mark.live

Tell = Callable[..., Told]

NAMES = ("download", "git-remote", "package", "upload")


@pytest.mark.parametrize(("name", "number"), examples_of(NAMES))
def test_every_example_gives_its_lines(name: str, number: int, told: Tell) -> None:
    """The lines that a behavior's file promises, and none of those that it rules out."""
    example = EXAMPLES[name][number]
    proves(example, told(sandboxed(example.run), log="all"))
