# SPDX-License-Identifier: Apache-2.0
"""Records, as bytes, to Events. The layout is that of bpf/event.h; kinds, addresses and paths get a meaning here."""

from __future__ import annotations

import ipaddress
import os
import struct
from collections.abc import Callable
from typing import Any

from ..event import Address, Event, File, Process
from .layout import Layout
from .processes import Image, Processes
from .resolve import from_names, named

__all__ = ["Decoder", "Undecodable", "file_kind", "steps"]

_KINDS = {0o10: "file", 0o4: "directory", 0o1: "fifo", 0o14: "socket", 0o6: "block", 0o2: "character", 0o12: "link"}
_FAMILIES = {1: "unix", 2: "inet", 10: "inet6"}
_SOCKET_TYPES = {1: "stream", 2: "dgram", 5: "seqpacket"}
_PROTOCOLS = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 262: "mptcp"}


class Undecodable(ValueError):
    """A record that is too short for what it says it holds."""


def file_kind(mode: int) -> str:
    """What st_mode's format bits say, in one word; "" where there are none."""
    return _KINDS.get(mode >> 12 & 0o17, "")


class Decoder:
    """Turns one record into one Event.

    `offset` is what to add to the kernel's time since boot to get the time of day, both in ns; `real` follows a
    directory's symbolic links (None: never look); `mount_ns` is our own mount namespace, in which it may look.
    """

    def __init__(
        self,
        layout: Layout,
        processes: Processes,
        offset: Callable[[], int],
        mount_ns: int,
        real: Callable[[str], str | None] | None,
        wanted: frozenset[str],
    ) -> None:
        self._struct = struct.Struct(layout.format)
        self._names = list(layout.fields)
        self._layout = layout
        self._processes = processes
        self._offset = offset
        self._mount_ns = mount_ns
        self._real = real
        self._wanted = wanted
        self.unfinished: set[int] = set()  # processes that ended with more open files than the kernel could report

    def decode(self, record: bytes) -> Event:
        """Raises Undecodable."""
        try:
            f: dict[str, Any] = dict(zip(self._names, self._struct.unpack_from(record), strict=True))
        except struct.error:
            raise Undecodable(f"a record of {len(record)} bytes; the header alone has {self._struct.size}") from None
        if f["trigger"] >= len(self._layout.triggers):
            raise Undecodable(f"no trigger has the number {f['trigger']}")
        texts = []
        at = self._struct.size
        for name in ("file_base_size", "file_text_size", "to_base_size", "to_text_size"):
            texts.append(record[at : at + f[name]])
            at += f[name]
        if at > len(record):
            raise Undecodable(f"a record of {len(record)} bytes that says it has {at}")
        trigger = self._layout.triggers[f["trigger"]]
        flag = {name: bool(f["flags"] & bit) for name, bit in self._layout.flags.items()}
        return self._event(trigger, f, texts, flag)

    def _event(self, trigger: str, f: dict[str, Any], texts: list[bytes], flag: dict[str, bool]) -> Event:
        offset = self._offset()
        event = Event(
            triggers=(trigger,),
            time=f["time"] + offset,
            process=self._process(trigger, f, texts),
            calls={trigger: 1} if trigger in self._wanted else {},
            sequence=f["sequence"],
            cpu=f["cpu"],
            began=(f["began"] or f["time"]) + offset,
            fd=f["fd"],
            created=flag["created"],
            truncated=flag["truncated"],
            inherited=flag["inherited"],
            bytes_read=f["bytes_read"],
            bytes_written=f["bytes_written"],
        )
        socket = file_kind(f["mode"]) == "socket"
        if flag["single"]:
            event.eager, event.calls = True, {}
        elif trigger == "close":
            event.triggers, event.calls = steps(f, socket)
        if socket:
            self._socket(event, f, texts)
        elif trigger == "exit":
            event.status = f["value"]
            if flag["more"]:
                self.unfinished.add(event.process.pid)
            self._processes.ended(event.process.key)
        elif trigger == "fork":
            event.child = f["value"]
        elif trigger != "exec":
            self._file(event, trigger, f, texts, flag)
        return event

    def _process(self, trigger: str, f: dict[str, Any], texts: list[bytes]) -> Process:
        key = (f["pid"], f["start"])
        if trigger == "exec":
            argv = tuple(os.fsdecode(texts[1]).split("\0")[:-1])
            self._processes.started(key, from_names(texts[0]), argv, f["time"])
        image: Image = self._processes.image(key, (f["ppid"], f["parent_start"]))
        return Process(
            pid=f["pid"],
            start=f["start"],
            ppid=f["ppid"],
            parent_start=f["parent_start"],
            uid=f["uid"],
            euid=f["euid"],
            login_uid=-1 if f["login_uid"] == 0xFFFFFFFF else f["login_uid"],
            user=self._processes.user(f["uid"]),
            command=os.fsdecode(f["command"].split(b"\0", 1)[0]),
            exe=image.exe,
            argv=image.argv,
            container=self._processes.container(f["cgroup"]),
        )

    def _file(self, event: Event, trigger: str, f: dict[str, Any], texts: list[bytes], flag: dict[str, bool]) -> None:
        base, text, to_base, to_text = texts
        ours = f["mount_ns"] == self._mount_ns and not flag["chroot"]
        real = self._real if ours else None
        path, mark = from_names(base), ""
        if text:
            given = os.fsdecode(text.rstrip(b"\0"))
            follow = trigger in ("chmod", "chown", "truncate")
            path, mark = named(path, given, real)
            if follow and not mark:
                path, mark = (os.path.realpath(path), "") if real and os.path.lexists(path) else (path, "given")
        inode, device, mode = f["inode"], f["device"], f["mode"]
        if flag["made"] and from_names(to_base) != path:  # it made another file
            event.created = event.truncated = False
            inode = device = mode = 0
        if flag["text_lost"]:
            mark = "lost"
        mark = "unreachable" if flag["file_detached"] else "cut" if flag["file_cut"] else mark
        event.file = File(_marked(path, mark), inode, device, file_kind(mode), mark)
        if trigger in ("rename", "link"):
            to, to_mark = named(from_names(to_base), os.fsdecode(to_text.rstrip(b"\0")), real)
            to_mark = "unreachable" if flag["to_detached"] else "cut" if flag["to_cut"] else to_mark
            event.to = File(_marked(to, to_mark), mark=to_mark)
        elif trigger == "symlink":
            event.target = os.fsdecode(to_text.rstrip(b"\0"))
        if trigger in ("chmod", "mkdir"):
            event.mode = f["value"] & 0o7777
        elif trigger == "truncate":
            event.size = f["value"]
        elif trigger == "chown":
            owner, group = f["value"] & 0xFFFFFFFF, f["value"] >> 32 & 0xFFFFFFFF
            event.owner = -1 if owner == 0xFFFFFFFF else owner
            event.group = -1 if group == 0xFFFFFFFF else group

    def _socket(self, event: Event, f: dict[str, Any], texts: list[bytes]) -> None:
        family = _FAMILIES.get(f["family"], "")
        event.session = f["socket"] or f["inode"]
        kind = _SOCKET_TYPES.get(f["socket_type"], str(f["socket_type"]))
        if family == "unix":
            event.protocol = f"unix-{kind}"
            event.remote = Address("unix", _unix(texts[1]))
            event.local = Address("unix", _unix(texts[3]))
            return
        event.protocol = _PROTOCOLS.get(f["protocol"]) or {"stream": "tcp", "dgram": "udp"}.get(kind, kind)
        event.remote = Address(family, _host(family, f["remote"]), f["remote_port"])
        event.local = Address(family, _host(family, f["local"]), f["local_port"])


def _marked(path: str, mark: str) -> str:
    if mark == "cut":
        return "..." + path
    return path[1:] if mark == "unreachable" else path


def _host(family: str, raw: bytes) -> str:
    return str(ipaddress.ip_address(raw[:4] if family == "inet" else raw))


def _unix(name: bytes) -> str:
    """A path, or "@name" for an abstract address, whose first byte is NUL (unix(7))."""
    if name.startswith(b"\0"):
        return "@" + os.fsdecode(name[1:])
    return os.fsdecode(name.split(b"\0", 1)[0])


def steps(f: dict[str, Any], socket: bool) -> tuple[tuple[str, ...], dict[str, int]]:
    """A session's triggers in the order in which they first happened, and how often each did."""
    inward, outward = ("recv", "send") if socket else ("read", "write")
    moves = sorted((f[first], name) for first, name in (("first_read", inward), ("first_write", outward)) if f[first])
    steps = ([] if socket else ["open"]) + [name for _, name in moves] + ["close"]
    calls = {"open": f["opens"], inward: f["reads"], outward: f["writes"], "close": 1}
    return tuple(steps), {name: n for name, n in calls.items() if n}
