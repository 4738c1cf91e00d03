# SPDX-License-Identifier: Apache-2.0
"""Behaviors as a site has them beside the shipped ones, any number: copies of those, about other programs and files.

Of each twenty
- eight are shipped activities that match a program of the site's own, by its folder;
- eight are those shipped activities that are about certain files (account, log-tampering), about the site's;
- two are shipped operations that match a program of the site's own;
- two are per path: a file of the site's is changed and then executed.

Others begin with what anybody does to any file, if it is big enough: by that an event cannot find them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .bench import ROOT

__all__ = ["MIX", "make", "make_asking"]

MIX = (
    "of each 20 added 8 are shipped activities that match another program, 8 shipped ones about other files, 2 shipped"
    " operations that match another program, 2 are per path, about other files"
)

_SHIPPED = ROOT / "behaviors"
_ABOUT_FILES = ("account", "log-tampering")
_OPERATIONS = ("file", "name", "directory", "size")


def make(folder: Path, count: int) -> None:
    """Writes so many behaviors into the folder."""
    folder.mkdir(parents=True)
    activities = [_read(path) for path in sorted((_SHIPPED / "activities").glob("*.yaml"))]
    about_files = [each for each in activities if each["behavior"] in _ABOUT_FILES]
    operations = [_read(_SHIPPED / f"{name}.yaml") for name in _OPERATIONS]
    for number in range(count):
        name, turn = f"site-{number}", number % 20
        if turn < 8:
            behavior = _of_program(activities[number % len(activities)], name)
        elif turn < 16:
            behavior = _about(about_files[number % len(about_files)], name)
        elif turn < 18:
            behavior = _of_program(operations[number // 20 % len(operations)], name)
        else:
            behavior = _per_path(name)
        _write(folder, name, behavior)


def make_asking(folder: Path, count: int) -> None:
    """Writes so many behaviors that every change of a file has to be shown to."""
    for number in range(count):
        _write(folder, f"big-{number}", _of_big_files())


def _write(folder: Path, name: str, behavior: dict[str, Any]) -> None:
    text = yaml.safe_dump({**behavior, "behavior": name}, sort_keys=False)
    (folder / f"{name}.yaml").write_text(f"# SPDX-License-Identifier: Apache-2.0\n{text}")


def _read(path: Path) -> dict[str, Any]:
    behavior: dict[str, Any] = yaml.safe_load(path.read_text())
    behavior.pop("examples", None)
    return behavior


def _of_program(behavior: dict[str, Any], name: str) -> dict[str, Any]:
    return {**behavior, "match": {"exe": f"/opt/{name}/"}}


def _about(behavior: dict[str, Any], name: str) -> dict[str, Any]:
    """The same with the files below a folder of the site's."""
    transitions = []
    for transition in behavior["transitions"]:
        conditions = transition.get("conditions", {})
        moved = {field: _below(name, value) for field, value in conditions.items() if field in ("file", "to")}
        transitions.append({**transition, **({"conditions": conditions | moved} if moved else {})})
    return {**behavior, "transitions": transitions}


def _below(name: str, value: Any) -> Any:
    paths = value if isinstance(value, list) else [value]
    return [f"/srv/{name}{path}" if str(path).startswith("/") else path for path in paths]


def _per_path(name: str) -> dict[str, Any]:
    changed = {"trigger": ["create", "cover", "write"], "source": ["idle", "changed"], "dest": "changed"}
    return _activity(
        "path",
        [
            {**changed, "conditions": {"file": f"/srv/{name}/bin/"}, "save": {"writer": "exe"}},
            {"trigger": "exec", "source": "changed", "emit": "run {file}"},
            {"trigger": "timeout", "source": "changed"},
        ],
    )


def _of_big_files() -> dict[str, Any]:
    changed = {"trigger": ["create", "cover", "write"], "source": ["idle", "changed"], "dest": "changed"}
    return _activity(
        "process",
        [
            {**changed, "conditions": {"bytes_written": f">={2**30}"}, "gather": {"files": "file"}},
            {"trigger": ["exit", "timeout"], "source": "changed", "emit": "fill {files}"},
        ],
    )


def _activity(per: str, transitions: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "behavior": "",
        "summary": "Something that concerns this site.",
        "layer": "activity",
        "per": per,
        "initial": "idle",
        "states": {"changed": {"timeout": "1h"}},
        "transitions": transitions,
    }
