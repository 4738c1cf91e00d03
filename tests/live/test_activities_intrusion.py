# SPDX-License-Identifier: Apache-2.0
"""Activities of intruders, done for real in namespaces of their own, and harmless ones that must not be taken for them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import Told
from .sandbox import EXAMPLES, examples_of, proves, sandboxed

pytestmark = pytest.mark.live

Tell = Callable[..., Told]

NAMES = (
    *("account", "credentials", "download-run", "log-tampering", "mass-change", "persistence", "reverse-shell"),
    "self-delete",
)


@pytest.mark.parametrize(("name", "number"), examples_of(NAMES))
def test_every_example_gives_its_lines(name: str, number: int, told: Tell) -> None:
    """The lines that a behavior's file promises, and none of those that it rules out."""
    example = EXAMPLES[name][number]
    proves(example, told(sandboxed(example.run), log="all"))


@pytest.mark.parametrize("name", NAMES)
def test_a_warning_has_a_counterexample(name: str) -> None:
    """Something harmless that looks like it, which is run above."""
    assert any(example.without for example in EXAMPLES[name])
