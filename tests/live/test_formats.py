# SPDX-License-Identifier: Apache-2.0
"""Real lines in the formats of SIEMs: what a real kernel says of parents, and of names that are meant to do harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from panorama.output.formats import FORMATS

pytestmark = pytest.mark.live

PANORAMA = str(Path(sys.executable).parent / "panorama")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def watched(folder: Path, format_name: str, script: str) -> list[str]:
    """The lines of a shell script, in a format."""
    options = ["--log", "operations", "--enable", "exec", "--format", format_name]
    command = [PANORAMA, "watch", *options, "--", "bash", "-c", script]
    run = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=True)
    return run.stderr.split("\n")[:-1]


def test_a_program_names_the_one_that_started_it(tmp_path: Path) -> None:
    """What that was at the time, not what it became."""
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in watched(tmp_path, "ecs", "sh -c '/bin/true; exec sort /dev/null'; :")
    ]
    [true] = [line["process"] for line in lines if line["message"] == "true exec /usr/bin/true"]
    [sort] = [line["process"] for line in lines if line["message"] == "sort exec /usr/bin/sort"]
    assert true["parent"]["executable"] == "/usr/bin/dash"
    assert true["parent"]["args"] == ["sh", "-c", "/bin/true; exec sort /dev/null"]
    assert true["parent"]["entity_id"] == sort["entity_id"]
    assert sort["parent"]["executable"] == "/usr/bin/bash"
    assert sort["parent"]["args"][:2] == ["bash", "-c"]


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_real_file_with_a_hostile_name_gives_one_printable_line(tmp_path: Path, format_name: str) -> None:
    """The longest name there can be, with a line break, an escape sequence, a mark that turns text and a broken byte."""
    name = b"\n\x1b[2J|a=b\\\"'\xe2\x80\xae\xff[x] " + b"n" * 400
    path = os.fsencode(tmp_path) + b"/" + name[:255]
    Path(os.fsdecode(path)).write_bytes(b"x")
    lines = [line for line in watched(tmp_path, format_name, "cat ./*") if "nnnn" in line]
    assert len([line for line in lines if " read" in line or '"read"' in line]) == 1
    assert all(map(str.isprintable, lines))
