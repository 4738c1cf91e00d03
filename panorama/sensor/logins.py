# SPDX-License-Identifier: Apache-2.0
"""Logins over the network that were there before the sensor: which of the running processes belong to one.

Such is everything below a process of sshd that has an established TCP connection, and that process itself; the nearest
one counts. Of several connections it is the one with the lowest descriptor, for forwarded ones come later. All is read
in /proc, so it does not matter which network the reader or sshd is in. What process 1 has adopted is not found, and
neither are logins by other daemons.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import psutil

from ..event import Address, Login, Member, Process, ProcessKey
from .processes import Image, Started, started, user_name

__all__ = ["Logins"]

_DAEMON = ("/usr/sbin/sshd", "/usr/lib/openssh/sshd-session", "/usr/lib/openssh/sshd-auth")
_ESTABLISHED = "01"  # include/net/tcp_states.h
_NOBODY = 0xFFFFFFFF  # (uid_t)-1

_Connection = tuple[int, Address]  # the socket's inode number, the remote end


class Logins:
    """The logins of the processes that were there before, each told when its process is first heard of.

    Not earlier, for only a record has the nanosecond at which a process started, which is part of its key.
    """

    def __init__(self) -> None:
        self.untold: dict[Started, Login] = {}

    def read(self, running: Mapping[Started, Image], pid: int | None = None) -> None:
        """Finds the logins of these processes, or of that one among them."""
        found = _found(running)
        self.untold |= {process: login for process, login in found.items() if pid in (None, process[0])}

    def members(self, process: Process, time: int, who: Callable[[ProcessKey], Process]) -> list[Member]:
        """Those of a process and its parent, once each."""
        items = []
        for key in ((process.ppid, process.parent_start), process.key):
            login = self.untold.pop(started(key), None)
            if login is not None:
                items.append(Member(time, process if key == process.key else who(key), login))
        return items


def _found(running: Mapping[Started, Image]) -> dict[Started, Login]:
    connections = dict(_connections(pid for (pid, _), image in running.items() if image.exe in _DAEMON))
    if not connections:
        return {}
    parents = {pid: _parent(pid) for pid, _ in running}
    members: dict[_Connection, list[Started]] = {}
    for process in sorted(running, key=lambda each: each[1]):
        nearest = next((pid for pid in _upwards(process[0], parents) if pid in connections), None)
        if nearest is not None:
            members.setdefault(connections[nearest], []).append(process)
    found: dict[Started, Login] = {}
    for (_, remote), processes in members.items():
        found |= dict.fromkeys(processes, Login(remote, _user(processes, running)))
    return found


def _upwards(pid: int, parents: Mapping[int, int]) -> Iterator[int]:
    """The process and those above it. They were looked at one after the other, so it need not come to an end itself."""
    for _ in parents:
        yield pid
        pid = parents.get(pid, 0)


def _parent(pid: int) -> int:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).ppid()
    return 0


def _user(processes: list[Started], running: Mapping[Started, Image]) -> str:
    """Who logged in: by the audit uid, else by the first program below sshd; "" if there is none yet."""
    for pid, _ in processes:
        with contextlib.suppress(OSError, ValueError):
            uid = int(Path(f"/proc/{pid}/loginuid").read_text(encoding="ascii"))
            if uid != _NOBODY:
                return user_name(uid)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if running[process].exe not in _DAEMON:
                return user_name(psutil.Process(process[0]).uids().real)
    return ""


def _connections(daemons: Iterable[int]) -> Iterator[tuple[int, _Connection]]:
    tables: dict[int, dict[int, Address]] = {}  # by network namespace
    for pid in daemons:
        with contextlib.suppress(OSError):
            namespace = os.stat(f"/proc/{pid}/ns/net").st_ino
            if namespace not in tables:
                tables[namespace] = _established(pid)
            table = tables[namespace]
            found = next((inode for inode in _sockets(pid) if inode in table), None)
            if found is not None:
                yield pid, (found, table[found])


def _sockets(pid: int) -> Iterator[int]:
    """The inode numbers of the sockets a process has open, by descriptor."""
    folder = f"/proc/{pid}/fd"
    for name in sorted(os.listdir(folder), key=int):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            kind, _, number = os.readlink(f"{folder}/{name}").partition(":")
            if kind == "socket":
                yield int(number.strip("[]"))


def _established(pid: int) -> dict[int, Address]:
    """The remote ends of the TCP connections in the process's network, by the socket's inode number; see proc(5)."""
    found = {}
    for family, name in (("inet", "tcp"), ("inet6", "tcp6")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/net/{name}", encoding="ascii") as lines:
            for _, _, remote, state, _, _, _, _, _, inode, *_ in map(str.split, lines):
                if state == _ESTABLISHED:
                    found[int(inode)] = _address(family, remote)
    return found


def _address(family: str, text: str) -> Address:
    """0100007F:0016 is 127.0.0.1:22: words of the processor's own byte order."""
    host, _, port = text.partition(":")
    words = [int(host[at : at + 8], 16) for at in range(0, len(host), 8)]
    return Address(family, str(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))), int(port, 16))
