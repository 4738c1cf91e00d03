#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""changelog.py VERSION: prints debian/changelog, made from CHANGELOG.md.

Each `## [VERSION] - DATE` becomes an entry, and each item of its lists a change. What is under `## [Unreleased]` counts
as VERSION, and as of the last commit.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

_TOP = Path(__file__).resolve().parent.parent
_SECTION = re.compile(
    r"^## \[(?P<version>[^]]+)\](?: - (?P<date>\d{4}-\d\d-\d\d))?\n(?P<text>.*?)(?=^## |\Z)", re.M | re.S
)
_ITEM = re.compile(r"^- (.*(?:\n  .*)*)", re.M)


def entries(changelog: str, version: str, now: datetime) -> list[str]:
    """The entries, newest first. Raises SystemExit where the file is not as it should be."""
    maintainer = re.search(r"^Maintainer: (.+)$", (_TOP / "packaging/debian/control").read_text(), re.M)
    if not maintainer:
        raise SystemExit("packaging/debian/control: no Maintainer")
    made = []
    names: set[str] = set()
    for section in _SECTION.finditer(changelog):
        items = [" ".join(item.split()) for item in _ITEM.findall(section["text"])]
        if not items:
            continue
        name = version if section["version"] == "Unreleased" else section["version"]
        if name in names:
            raise SystemExit(f"CHANGELOG.md: {name} is there already; raise __version__ in panorama/__init__.py")
        names.add(name)
        date = datetime.fromisoformat(section["date"]).replace(tzinfo=UTC) if section["date"] else now
        changes = "\n".join(textwrap.fill(item, 78, initial_indent="  * ", subsequent_indent="    ") for item in items)
        head = f"panorama ({name}) unstable; urgency=medium"
        made.append(f"{head}\n\n{changes}\n\n -- {maintainer[1]}  {format_datetime(date)}\n")
    if not made:
        raise SystemExit("CHANGELOG.md: no version with changes")
    return made


def _last_change() -> datetime:
    """When the last commit was made; where there is no git, when the changelog was."""
    command = ["git", "-C", str(_TOP), "log", "-1", "--format=%ct"]
    try:
        seconds = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        seconds = (_TOP / "CHANGELOG.md").stat().st_mtime
    return datetime.fromtimestamp(int(seconds), UTC)


if __name__ == "__main__":
    print("\n".join(entries((_TOP / "CHANGELOG.md").read_text(), sys.argv[1], _last_change())), end="")
