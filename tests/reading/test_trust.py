# SPDX-License-Identifier: Apache-2.0
"""Root obeys only what root wrote: real files with real owners and modes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from panorama.errors import InputError
from panorama.machines.spec import load_behaviors

SPEC = (Path(__file__).parent.parent.parent / "behaviors" / "file.yaml").read_text()
SUDO = {"SUDO_UID": "1000", "SUDO_GID": "1001"}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    folder = tmp_path / "specs"
    folder.mkdir(0o755)
    path = folder / "file.yaml"
    path.write_text(SPEC)
    path.chmod(0o644)
    return path


def complaint(path: Path, environ: dict[str, str]) -> str:
    try:
        load_behaviors([path.parent], uid=0, environ=environ)
    except InputError as error:
        [problem] = error.problems
        assert problem.path == str(path)
        return f"{problem.what}; {problem.hint}".replace(f"{path.parent.parent}/", "")
    return ""


@pytest.mark.parametrize(
    ("mode", "owner", "group", "folder", "environ", "expected"),
    [
        (0o644, 0, 0, 0o755, {}, ""),
        (0o600, 0, 0, 0o700, {}, ""),
        (0o646, 0, 0, 0o755, {}, "others than root can write it, mode 0646; chmod 0644 specs/file.yaml"),
        (0o664, 0, 1001, 0o755, {}, "others than root can write it, mode 0664; chmod 0644 specs/file.yaml"),
        (0o664, 0, 0, 0o755, {}, "others than root can write it, mode 0664; chmod 0644 specs/file.yaml"),
        (0o664, 0, 1001, 0o755, SUDO, ""),
        (0o664, 0, 1002, 0o755, SUDO, "others than root can write it, mode 0664; chmod 0644 specs/file.yaml"),
        (0o666, 1000, 1001, 0o755, SUDO, "others than root can write it, mode 0666; chmod 0664 specs/file.yaml"),
        (0o644, 1000, 0, 0o755, {}, "belongs to uid 1000, who could change it; chown root specs/file.yaml"),
        (0o644, 1000, 0, 0o755, SUDO, ""),
        (0o644, 1002, 0, 0o755, SUDO, "belongs to uid 1002, who could change it; chown root specs/file.yaml"),
        (
            0o644,
            1000,
            0,
            0o755,
            {"SUDO_UID": "x"},
            "belongs to uid 1000, who could change it; chown root specs/file.yaml",
        ),
        (
            *(0o644, 0, 0, 0o777, {}),
            "its folder is not safe: others than root can write it, mode 0777; chmod 0755 specs",
        ),
        (
            *(0o644, 0, 0, 0o1777, {}),
            "its folder is not safe: others than root can write it, mode 1777; chmod 1755 specs",
        ),
    ],
)
def test_files_that_root_may_not_obey(
    spec: Path, mode: int, owner: int, group: int, folder: int, environ: dict[str, str], expected: str
) -> None:
    """The message has the command that would mend it; who called sudo is as good as root."""
    os.chown(spec, owner, group)
    spec.chmod(mode)
    spec.parent.chmod(folder)
    assert complaint(spec, environ) == expected


def test_other_users_may_obey_whom_they_like(spec: Path) -> None:
    """They have nothing to lose but their own."""
    spec.chmod(0o666)
    assert len(load_behaviors([spec], uid=1000, environ={})) == 1


def test_a_link_is_judged_by_what_it_leads_to(spec: Path, tmp_path: Path) -> None:
    """A safe folder does not make the file behind a link safe."""
    spec.parent.chmod(0o777)
    safe = tmp_path / "safe"
    safe.mkdir(0o755)
    link = safe / "file.yaml"
    link.symlink_to(spec)
    assert "its folder is not safe" in complaint(link, {})
