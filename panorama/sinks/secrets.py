# SPDX-License-Identifier: Apache-2.0
"""Passwords, tokens and keys, each in a file that only its owner can read. They go nowhere but to the receiver."""

from __future__ import annotations

import os
import shlex
import stat

from ..errors import SinkError

__all__ = ["guarded", "secret"]

_LONGEST = 4096


def secret(key: str, path: str) -> str:
    """What is in the file, without the newline at its end. SinkError, which names the `key`, if it cannot serve."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(_LONGEST + 1)
    except OSError as error:
        raise SinkError(f"{key}: {path}: {error.strerror}") from None
    guarded(key, path, status)
    text = data.decode("utf-8", "replace").strip()
    if not text or not text.isprintable() or len(data) > _LONGEST:
        raise SinkError(f"{key}: {path}: must hold one line of text")
    return text


def guarded(key: str, path: str, status: os.stat_result) -> None:
    """Makes sure that only root can read the file; SinkError otherwise."""
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid not in (0, os.geteuid()):
        raise SinkError(f"{key}: {path}: belongs to uid {status.st_uid}; try: chown root {shlex.quote(path)}")
    if mode & (stat.S_IRWXO | stat.S_IRWXG):
        raise SinkError(f"{key}: {path}: others can read it, mode {mode:04o}; try: chmod 0600 {shlex.quote(path)}")
