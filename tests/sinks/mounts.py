# SPDX-License-Identifier: Apache-2.0
"""A test in mounts of its own: it may put its own /dev/log and /run there, and no daemon of the machine is in the way."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

_CLONE_NEWNS = 0x00020000  # sched.h


def in_own_mounts(body: Callable[[], None]) -> None:
    """Runs `body` in a child process whose mounts nobody else sees; what fails there fails here."""
    child = os.fork()
    if not child:
        status = 1
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS):
                raise OSError(ctypes.get_errno(), "unshare")
            _mount("--make-rprivate", "/")
            body()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "see what it printed"


def empty(folder: str) -> None:
    """Nothing is in that folder any more."""
    _mount("-t", "tmpfs", "tmpfs", folder)


def bare_dev() -> None:
    """A /dev with a few devices and no log socket."""
    devices = ("null", "zero", "random", "urandom")
    kept = {name: os.stat(f"/dev/{name}") for name in devices}
    empty("/dev")
    for name, status in kept.items():
        os.mknod(f"/dev/{name}", status.st_mode, status.st_rdev)
        os.chmod(f"/dev/{name}", 0o666)
    Path("/dev/shm").mkdir()


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)
