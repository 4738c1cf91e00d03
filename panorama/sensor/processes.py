# SPDX-License-Identifier: Apache-2.0
"""What records do not repeat of a process: its executable, arguments, user name and container.

Kept by (pid, start), filled by exec records, at the start from the processes already running, and otherwise from the
parent, of which a process without an exec of its own is a copy. Bounded; an entry goes when its process ends.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from dataclasses import dataclass
from pathlib import Path

import psutil

from ..event import ProcessKey

__all__ = ["Image", "Processes", "Started", "container_in", "started", "user_name"]

Started = tuple[int, int]  # pid, start in clock ticks, which is all that /proc has of it

_NOBODY: ProcessKey = (0, 0)  # no process has this key
_TICK = 10**9 // os.sysconf("SC_CLK_TCK")
_CONTAINER = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])|(?<=/lxc/)[^/]+|(?<=/machine-)[^/]+(?=\.scope)")


@dataclass(frozen=True, slots=True)
class Image:
    """What a process runs since `since` (ns since boot; 0 for a process older than Panorama)."""

    exe: str = ""
    argv: tuple[str, ...] = ()
    since: int = 0
    before: Image | None = None  # what it ran until then: children made before the exec are copies of this


def started(key: ProcessKey) -> Started:
    return key[0], key[1] // _TICK


def user_name(uid: int) -> str:
    """The name of a uid, or the number as text: containers and directories have uids without names."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def container_in(cgroup: str) -> str:
    """The container id in a cgroup path such as /system.slice/docker-<64 hex digits>.scope, or ""."""
    match = _CONTAINER.search(cgroup)
    return match[0] if match else ""


class Processes:
    """The table. `limit` bounds it; what came first goes first: if it is still there, /proc can tell of it."""

    def __init__(self, limit: int = 16384) -> None:
        self._limit = limit
        self._images: dict[ProcessKey, Image] = {}
        self.older: dict[Started, Image] = {}  # that ran when they were read
        self._users: dict[int, str] = {}
        self._containers: dict[int, str] = {}

    def read_running(self) -> int:
        """Takes in the processes there are; returns how many. Those that vanish meanwhile do not matter."""
        for pid in psutil.pids():
            self.read(pid)
        return len(self.older)

    def read(self, pid: int) -> None:
        """Takes in a process that runs already; nothing happens if there is none."""
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            with process.oneshot():
                ticks = round((process.create_time() - psutil.boot_time()) * 10**9 / _TICK)
                self.older[pid, ticks] = Image(_exe(pid), tuple(process.cmdline()))

    def started(self, key: ProcessKey, parent: ProcessKey, exe: str, argv: tuple[str, ...], time: int) -> None:
        """An exec at `time` ns since boot."""
        before = self.image(key, parent)
        self._keep(key, Image(exe, argv, time, Image(before.exe, before.argv, before.since)))

    def ended(self, key: ProcessKey) -> None:
        self._images.pop(key, None)
        self.older.pop(started(key), None)

    def image(self, key: ProcessKey, parent: ProcessKey) -> Image:
        """What the process runs, as well as it is known; an empty Image if it is not."""
        found = self._images.get(key) or self.older.get(started(key))
        if found is None:
            origin = self._images.get(parent) or self.older.get(started(parent))
            if origin is not None and origin.since > key[1]:
                origin = origin.before  # the parent has become another program since
            found = origin or _from_proc(key)
            if found is not None:
                self._keep(key, found)
        return found or Image()

    def parent(self, key: ProcessKey, parent: ProcessKey) -> Image:
        """What the parent ran when it made the process, as well as it is known."""
        found = self.image(parent, _NOBODY)
        return found.before if found.before is not None and found.since > key[1] else found

    def _keep(self, key: ProcessKey, image: Image) -> None:
        self._images[key] = image
        if len(self._images) > self._limit:
            del self._images[next(iter(self._images))]

    def user(self, uid: int) -> str:
        if uid not in self._users:
            self._users[uid] = user_name(uid)
        return self._users[uid]

    def forget_users(self) -> None:
        """Names are looked up again: accounts come and go."""
        self._users.clear()

    def container(self, cgroup: int) -> str:
        """The container of a cgroup id, which is the inode number of the cgroup's folder (cgroup v2)."""
        if cgroup not in self._containers:
            self._containers[cgroup] = container_in(_cgroup_path(cgroup))
            if len(self._containers) > 4096:
                self._containers.clear()
        return self._containers.get(cgroup, "")


def _exe(pid: int) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    return ""


def _from_proc(key: ProcessKey) -> Image | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        stat = Path(f"/proc/{key[0]}/stat").read_text(errors="surrogateescape")
        if int(stat.rpartition(")")[2].split()[19]) == key[1] // _TICK:
            arguments = os.fsdecode(Path(f"/proc/{key[0]}/cmdline").read_bytes())
            return Image(_exe(key[0]), tuple(arguments.split("\0")[:-1]))
    return None


def _cgroup_path(number: int) -> str:
    for root in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        if os.path.exists(root + "/cgroup.controllers"):
            for folder, _, _ in os.walk(root):
                with contextlib.suppress(OSError):
                    if os.stat(folder).st_ino == number:
                        return folder
            break
    return ""
