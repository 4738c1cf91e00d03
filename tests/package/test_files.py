# SPDX-License-Identifier: Apache-2.0
"""What the Debian package has to bring along is in it."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTALLED = [line.split() for line in (ROOT / "packaging/debian/panorama.install").read_text().splitlines() if line]


def test_every_behavior_is_installed_where_it_is_looked_for() -> None:
    behaviors = sorted(path.relative_to(ROOT) for path in (ROOT / "behaviors").rglob("*.yaml"))
    assert behaviors
    for path in behaviors:
        folders = [
            folder
            for pattern, folder in INSTALLED
            if fnmatch(path.name, Path(pattern).name) and path.parent == Path(pattern).parent
        ]
        assert folders == [f"usr/share/panorama/{path.parent}"]
