# SPDX-License-Identifier: Apache-2.0
"""Who may write what root is told to obey. Knows files' owners and modes, nothing of what is in them.

Root refuses a file that others than root can write, or that is in a folder where they can. Whoever called sudo is as
good as root here, because they could do anything as root anyway; so a developer may run the specs in a checkout.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping

__all__ = ["distrust"]


def distrust(path: str, status: os.stat_result, uid: int, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """What is wrong with obeying the file or folder, and the command that mends it; None if nothing is.

    `uid` is the effective one of this process; `environ` tells with SUDO_UID and SUDO_GID who called sudo.
    """
    if uid != 0:
        return None
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid not in {0, _number(environ, "SUDO_UID")}:
        return f"belongs to uid {status.st_uid}, who could change it", f"chown root {shlex.quote(path)}"
    wrong = mode & stat.S_IWOTH
    if mode & stat.S_IWGRP and status.st_gid != _number(environ, "SUDO_GID"):
        wrong |= stat.S_IWGRP
    if not wrong:
        return None
    return f"others than root can write it, mode {mode:04o}", f"chmod {mode & ~wrong:04o} {shlex.quote(path)}"


def _number(environ: Mapping[str, str], name: str) -> int:
    value = environ.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 11 else -1
