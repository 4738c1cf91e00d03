# SPDX-License-Identifier: Apache-2.0
"""Lines Panorama writes about itself: what it lost or had to drop. They go through the same formats and sinks."""

from __future__ import annotations

import os
import pwd
from functools import lru_cache

from ..event import Process
from .line import Line

__all__ = ["myself", "notice"]


def notice(time: int, verb: str, text: str, severity: str = "warning", process: Process | None = None) -> Line:
    """`... panorama <verb> <text>` by this process, or by `process`; behavior and layer are named panorama too."""
    return Line(time, process or myself(), verb, (text,), behavior="panorama", layer="panorama", severity=severity)


@lru_cache(maxsize=1)
def myself() -> Process:
    """This process, as its own lines name it."""
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return Process(os.getpid(), 0, os.getppid(), uid=uid, euid=os.geteuid(), user=user, command="panorama")
