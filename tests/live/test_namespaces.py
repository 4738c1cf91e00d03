# SPDX-License-Identifier: Apache-2.0
"""Panorama in a mount namespace of its own, as it is as a service: it tells of the files that others see."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from panorama.sensor.trees import Tree

from .test_commands import ENVIRONMENT, PANORAMA

pytestmark = pytest.mark.live


def test_links_are_followed_where_the_programs_are(tmp_path: Path) -> None:
    """A directory's link, a file's link, and links that begin at the root, none of which Panorama itself can see.

    The programs are in the mount namespace of a process 1, as on a machine. It is one of our own making, because not
    every machine that runs tests lets them look at the real one.
    """
    seen, log, said = tmp_path / "seen", tmp_path / "log", tmp_path / "said"
    (seen / "d").mkdir(parents=True)
    for name in ("d/f", "d/g", "h"):
        (seen / name).touch()
    (seen / "relative").symlink_to("d")
    (seen / "absolute").symlink_to(seen / "d")
    (seen / "file").symlink_to(seen / "h")
    hidden = (
        f"mount -t tmpfs -o ro none {seen} && exec {PANORAMA} run --log operations --format json -s file:{log} 2>{said}"
    )
    script = f"""
        unshare --mount sh -c '{hidden}' & panorama=$!
        until grep -q watching {said}; do kill -0 $panorama || exit 1; sleep 0.1; done
        cd {seen}
        rm relative/f absolute/g
        chmod 600 file
        touch end
        until grep -q {seen}/end {log}; do sleep 0.1; done
        kill $panorama
        wait $panorama
    """
    command = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + said.read_text()
    files = [json.loads(line).get("file", {}) for line in log.read_text().splitlines()]
    told = [(file["path"], file.get("mark", "")) for file in files if file.get("path", "").startswith(f"{seen}/")]
    assert told == [
        (f"{seen}/d/f", ""),
        (f"{seen}/d/g", ""),
        (f"{seen}/h", ""),
        (f"{seen}/end", ""),
    ]


def test_a_tree_has_no_way_out(tmp_path: Path) -> None:
    """Links and `..` start and end at its root; what is gone, or only /proc could follow, is not found."""
    (tmp_path / "d").mkdir()
    (tmp_path / "f").touch()
    (tmp_path / "up").symlink_to("../../../d")
    (tmp_path / "root").symlink_to("/d")
    (tmp_path / "nowhere").symlink_to("/etc")
    tree = Tree(str(tmp_path))
    assert [tree.directory(path) for path in ("/up", "/root", "/../d", "/")] == [f"{tmp_path}/d"] * 3 + [str(tmp_path)]
    assert [tree.directory(path) for path in ("/nowhere", "/f", "/gone")] == [None] * 3
    assert [tree.file(path) for path in ("/f", "/gone")] == [f"{tmp_path}/f", None]
    (tmp_path / "d").rmdir()
    assert tree.directory("/up") == f"{tmp_path}/d", "what was found counts for the batch"
    tree.forget()
    assert tree.directory("/up") is None
    tree.close()
    machine = Tree("/")
    assert machine.directory(f"/proc/{os.getpid()}/cwd") is None
    machine.close()
