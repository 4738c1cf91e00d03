# SPDX-License-Identifier: Apache-2.0
"""debian/changelog is made from CHANGELOG.md, in the form that dpkg reads."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
sys.path.insert(0, str(PACKAGING))

from changelog import entries  # noqa: E402

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
CHANGELOG = """\
# Changelog

## [Unreleased]

### Added

- A change that takes more than one line, because it
  has much to say.

## [0.1.0] - 2026-05-01

### Fixed

- One thing.
- Another.
"""


def test_dpkg_reads_what_is_made(tmp_path: Path) -> None:
    """Versions, dates and changes, each in its entry."""
    made = tmp_path / "changelog"
    made.write_text("\n".join(entries(CHANGELOG, "0.2.0", NOW)))
    fields = {}
    for place, version in enumerate(("0.2.0", "0.1.0")):
        command = ["dpkg-parsechangelog", "-l", made, "--count", "1", "--offset", str(place)]
        fields[version] = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Version: 0.2.0\n" in fields["0.2.0"]
    assert "Date: Sat, 21 Nov 2026 12:30:00 +0000\n" in fields["0.2.0"]
    assert "  * A change that takes more than one line, because it has much to say.\n" in fields["0.2.0"]
    assert "Date: Fri, 01 May 2026 00:00:00 +0000\n" in fields["0.1.0"]
    assert fields["0.1.0"].count("  * ") == 2


def test_a_version_is_not_released_twice() -> None:
    with pytest.raises(SystemExit, match=r"CHANGELOG.md: 0.1.0 is there already; raise __version__"):
        entries(CHANGELOG, "0.1.0", NOW)


def test_the_project_s_own_changelog_can_be_read() -> None:
    """The newest entry is that of the version being made."""
    text = (PACKAGING.parent / "CHANGELOG.md").read_text()
    assert entries(text, "99", NOW)[0].startswith("panorama (99) unstable; urgency=medium\n\n  * ")
