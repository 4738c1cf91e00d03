# SPDX-License-Identifier: Apache-2.0
"""A command is watched as the configuration says: the site's behaviors and ignore rules go over the shipped ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from panorama.paths import BEHAVIORS

PANORAMA = str(Path(sys.executable).parent / "panorama")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

ERASE = """\
behavior: name
summary: Names that are gone, in the site's own word.
layer: operation
per: process
initial: idle
transitions:
- {trigger: unlink, source: idle, emit: "erase {file}"}
"""


def lines(folder: Path, configuration: str) -> list[str]:
    """What is said of a command that removes a file and writes to a device that is ignored otherwise."""
    (folder / "panorama.yaml").write_text(configuration)
    (folder / "site").mkdir(exist_ok=True)
    script = "echo x > f; mv f g; rm g; echo x > /dev/null"
    command = [PANORAMA, "watch", "--log", "operations", "--config", "panorama.yaml", "--", "sh", "-c", script]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [" ".join(line.split()[5:]).partition(":")[0] for line in done.stderr.splitlines()]


def test_the_site_goes_over_what_is_shipped(tmp_path: Path) -> None:
    folders = f"behaviors: {{folders: [{BEHAVIORS}, {tmp_path}/site]}}\n"
    assert lines(tmp_path, folders) == ["sh create f", "mv rename f -> g", "rm remove g"]
    (tmp_path / "site" / "name.yaml").write_text(ERASE)
    (tmp_path / "site" / "ignore.yaml").write_text("ignore: [{rule: endless-devices, enabled: false}]\n")
    told = lines(tmp_path, folders)
    assert [line for line in told if "null" not in line] == ["sh create f", "rm erase g"]
    assert [line for line in told if "null" in line] == ["sh write null"]
    assert lines(tmp_path, f"{folders.rstrip()[:-1]}, disable: [file]}}\n") == ["rm erase g"]


def test_what_is_wrong_is_told_before_the_command_runs(tmp_path: Path) -> None:
    (tmp_path / "panorama.yaml").write_text("long_open: 30\n")
    command = [PANORAMA, "watch", "--config", "panorama.yaml", "--", "touch", "f"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (
        2,
        "panorama: panorama.yaml:1:12: 'long_open' has no unit: '30'; write 30s, or another of ms, s, m, h, d\n",
    )
    assert not (tmp_path / "f").exists()
