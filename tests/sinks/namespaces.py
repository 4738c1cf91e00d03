# SPDX-License-Identifier: Apache-2.0
"""A test in mounts or a network of its own: it may put its own /dev/log there, and no daemon of the machine is in the way."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000  # sched.h


def in_own_mounts(body: Callable[[], None]) -> None:
    """Runs `body` in a child process whose mounts nobody else sees; what fails there fails here."""

    def mounted() -> None:
        _run("mount", "--make-rprivate", "/")
        body()

    _apart(_CLONE_NEWNS, mounted)


def in_own_network(body: Callable[[], None]) -> None:
    """As `in_own_mounts`, with a loopback device and nothing else."""

    def connected() -> None:
        _run("ip", "link", "set", "lo", "up")
        body()

    _apart(_CLONE_NEWNET, connected)


def cut_network() -> None:
    """From now on nothing arrives, and nobody says so."""
    _run("ip", "link", "set", "lo", "down")


def empty(folder: str) -> None:
    """Nothing is in that folder any more."""
    _run("mount", "-t", "tmpfs", "tmpfs", folder)


def bare_dev() -> None:
    """A /dev with a few devices and no log socket."""
    devices = ("null", "zero", "random", "urandom")
    kept = {name: os.stat(f"/dev/{name}") for name in devices}
    empty("/dev")
    for name, status in kept.items():
        os.mknod(f"/dev/{name}", status.st_mode, status.st_rdev)
        os.chmod(f"/dev/{name}", 0o666)
    Path("/dev/shm").mkdir()


def _apart(kind: int, body: Callable[[], None]) -> None:
    child = os.fork()
    if not child:
        status = 1
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(kind):
                raise OSError(ctypes.get_errno(), "unshare")
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


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
