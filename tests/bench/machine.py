# SPDX-License-Identifier: Apache-2.0
"""What was measured on: the machine, its kernel, the versions; and what else was going on there."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence

from .bench import ROOT

__all__ = ["describe", "disturbers"]


def describe() -> dict[str, str]:
    """In the order in which it is printed."""
    model = _found("/proc/cpuinfo", r"model name\s*: (.*)") or platform.machine()
    memory = int(_found("/proc/meminfo", r"MemTotal:\s*(\d+)") or 0)
    return {
        "CPU": f"{model}, {os.cpu_count()} cores",
        "memory": f"{memory / 2**20:.1f} GiB",
        "kernel": platform.release(),
        "system": _found("/etc/os-release", r'PRETTY_NAME="(.*)"'),
        "panorama": _panorama(),
        "python": platform.python_version(),
        "bcc": _package("python3-bpfcc"),
        "auditd": _package("auditd"),
        "rsyslog": _package("rsyslog"),
        "redis": _package("redis-tools"),
        "gcc": _first(["gcc", "-dumpfullversion"]) or "not installed",
        "git": _first(["git", "--version"]).removeprefix("git version ") or "not installed",
    }


def disturbers() -> list[str]:
    """What would make the numbers worth less: another Panorama, a busy machine."""
    found = []
    if others := _panoramas():
        found.append(f"another Panorama ran: pid {', '.join(map(str, others))}")
    load = os.getloadavg()[0]
    if load > 0.5:
        found.append(f"the machine was not idle: load average {load:.2f} at the start")
    return found


def _panoramas() -> list[int]:
    """Processes that are Panorama, by how they were started."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
            if b"/panorama" in b"".join(words[1:2]) or b"panorama" in words[1:3]:
                found.append(int(name))
    return found


def _panorama() -> str:
    version = _found(str(ROOT / "panorama" / "__init__.py"), r'__version__ = "(.*)"')
    commit = _first(["git", "-C", str(ROOT), "log", "-1", "--format=%h"])
    changed = _first(["git", "-C", str(ROOT), "status", "--porcelain", "-uno", "--", "panorama", "bpf", "behaviors"])
    return " ".join([version, *([f"({commit}{', with changes' if changed else ''})"] if commit else [])])


def _package(name: str) -> str:
    return _first(["dpkg-query", "-W", "-f", "${Version}", name]) or "not installed"


def _first(command: Sequence[str]) -> str:
    """The first line that a command prints; empty if it is not there or fails."""
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""


def _found(path: str, pattern: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            match = re.search(pattern, file.read())
    except OSError:
        return ""
    return match[1].strip() if match else ""
