# SPDX-License-Identifier: Apache-2.0
"""Every file in tests/config/bad is refused with exactly the messages beside it; `WRITE_GOLDEN=1` rewrites them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from panorama.config.behaviors import loaded
from panorama.config.load import load_config
from panorama.errors import InputError

BAD = Path(__file__).parent / "bad"


def refused(path: Path, folder: Path) -> str:
    copy = folder / path.name  # where nobody else can write
    copy.write_bytes(path.read_bytes())
    with pytest.raises(InputError) as caught:
        loaded(load_config(copy))
    return f"{caught.value}\n".replace(f"{folder}/", "")


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_bad_config(path: Path, tmp_path: Path) -> None:
    """All problems of the file, in order, each on one line with its place."""
    expected = path.with_suffix(".err")
    if os.environ.get("WRITE_GOLDEN"):
        expected.write_text(refused(path, tmp_path))
    assert refused(path, tmp_path) == expected.read_text()


def test_no_message_without_its_file() -> None:
    """An .err whose .yaml is gone would be read by nobody."""
    assert {path.stem for path in BAD.glob("*.err")} == {path.stem for path in BAD.glob("*.yaml")}
