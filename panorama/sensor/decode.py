# SPDX-License-Identifier: Apache-2.0
"""Records, as bytes, to Events. The layout is that of bpf/event.h; kinds, addresses and paths get a meaning here.

Thousands of records a second come through here: what repeats (a process, a directory) is looked up by its bytes.
"""

from __future__ import annotations

import ipaddress
import os
import re
import struct
from collections.abc import Mapping
from typing import NamedTuple

from ..event import Address, Event, File, Process, ProcessKey
from .layout import Layout, LayoutError
from .processes import Processes
from .resolve import Names, named
from .trees import Tree

__all__ = ["Decoder", "Undecodable", "file_kind", "session_calls", "session_steps"]

_KINDS = {0o10: "file", 0o4: "directory", 0o1: "fifo", 0o14: "socket", 0o6: "block", 0o2: "character", 0o12: "link"}
_FAMILIES = {1: "unix", 2: "inet", 10: "inet6"}
_SOCKET_TYPES = {1: "stream", 2: "dgram", 5: "seqpacket"}
_PROTOCOLS = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 262: "mptcp"}
_LIFE = ("fork", "exec", "exit")
_DESCRIPTOR = re.compile(rb"/dev/fd/[0-9]+(?:/(.*))?", re.DOTALL)  # what execveat(2) makes of its first two arguments
_FOLLOWING = ("chmod", "chown", "truncate")  # of a symbolic link's name these mean the file
_CHANGING = ("rename", "link", "symlink", "chmod", "mkdir", "truncate", "chown")  # say more than a file's name
_NO_NAMES = (b"", b".", b"..")
_NO_CALLS: dict[str, int] = {}
_NOBODY = 0xFFFFFFFF  # (uid_t)-1
_MOST_SUMS = 4096
_MOST_KNOWN = 8192  # values of Process

# the fields of struct event in order: of the process, of every record, and _Detail's
_PROCESS = ("start", "parent_start", "cgroup", "pid", "ppid", "uid", "euid", "login_uid", "mount_ns", "command")
_TIMES = ("sequence", "time", "began", "first_read", "first_write")
_AMOUNTS = ("bytes_read", "bytes_written", "reads", "writes")
_FILE = ("inode", "device", "mode", "opens", "trigger", "cpu", "flags", "fd")
_SIZES = ("file_base_size", "file_text_size", "to_base_size", "to_text_size")
_COMMON = (*_TIMES, *_AMOUNTS, *_FILE, *_SIZES)


class _Detail(NamedTuple):
    family: int
    socket_type: int
    socket: int
    value: int
    local_port: int
    remote_port: int
    protocol: int
    unused: int
    local: bytes
    remote: bytes
    held: int
    held_global: int


class Undecodable(ValueError):
    """A record that is too short for what it says it holds."""


def file_kind(mode: int) -> str:
    """What st_mode's format bits say, in one word; "" where there are none."""
    return _KINDS.get(mode >> 12 & 0o17, "")


def _ways(first: tuple[str, ...], inward: str, outward: str) -> tuple[tuple[str, ...], ...]:
    moves = ((), (inward,), (outward,), (inward, outward), (outward, inward))
    return tuple((*first, *each, "close") for each in moves)


_FILE_WAYS, _SOCKET_WAYS = _ways(("open",), "read", "write"), _ways((), "recv", "send")


def session_steps(socket: bool, first_read: int, first_write: int) -> tuple[str, ...]:
    """A session's triggers in the order in which they first happened, by when that was; 0 is never."""
    ways = _SOCKET_WAYS if socket else _FILE_WAYS
    if not first_write:
        return ways[1] if first_read else ways[0]
    if not first_read:
        return ways[2]
    return ways[3] if first_read <= first_write else ways[4]


def session_calls(socket: bool, opens: int, reads: int, writes: int) -> dict[str, int]:
    """How many syscalls of each trigger a session stands for, but for the `close` that ends it."""
    calls = {}
    if opens:
        calls["open"] = opens
    if reads:
        calls["recv" if socket else "read"] = reads
    if writes:
        calls["send" if socket else "write"] = writes
    return calls


class Decoder:
    """Turns one record into one Event.

    `offset` is what to add to the kernel's time since boot to get the time of day, both in ns; `trees` are where
    symbolic links can be followed, by mount namespace. As long as records describe a process in the same way, their
    events have the same Process object.
    """

    def __init__(
        self,
        layout: Layout,
        processes: Processes,
        offset: int,
        trees: Mapping[int, Tree],
        wanted: frozenset[str],
    ) -> None:
        if tuple(layout.fields) != (*_PROCESS, *_COMMON, *_Detail._fields):
            raise LayoutError("bpf/event.h: struct event does not have the fields of sensor/decode.py in their order")
        self.offset = offset
        self.held: tuple[int, int] | None = None  # of the last event's process, so far; see event.h
        self.unfinished: set[int] = set()  # processes that ended with more open files than the kernel could report
        codes = list(layout.codes.values())
        process, detail = len(_PROCESS), len(codes) - len(_Detail._fields)
        self._who = struct.Struct("=" + "".join(codes[:process]))
        self._common = struct.Struct(f"={self._who.size}s" + "".join(codes[process:detail]))
        self._detail = struct.Struct("=" + "".join(codes[detail:]))
        self._size = layout.size
        self._points = [(trigger,) for trigger in layout.triggers]
        self._flags = layout.flags
        self._single = layout.flags["single"]
        self._origin = sum(layout.flags[name] for name in ("created", "truncated", "inherited"))
        self._some_held = layout.flags["held"]
        self._doubtful = sum(layout.flags[name] for name in ("made", "text_lost", "file_detached", "file_cut"))
        self._one_call = [{trigger: 1} if trigger in wanted else {} for trigger in layout.triggers]
        self._processes = processes
        self._trees = trees
        self._names = Names()
        self._sums: dict[tuple[bool, int, int, int], dict[str, int]] = {}
        self._known: dict[bytes, Process] = {}
        self._described: dict[ProcessKey, list[bytes]] = {}  # the keys of `_known` by process

    def forget_users(self) -> None:
        """Names of users are looked up again: accounts come and go."""
        self._processes.forget_users()
        self._known.clear()
        self._described.clear()

    def decode(self, record: bytes) -> Event:
        """Raises Undecodable."""
        at = self._size
        if len(record) < at:
            raise Undecodable(f"a record of {len(record)} bytes; the header alone has {at}")
        fields = self._common.unpack_from(record)
        who, sequence, time, began, first_read, first_write, bytes_read, bytes_written, reads, writes = fields[:10]
        inode, device, mode, opens, number, cpu, flags, fd, base_size, text_size, to_base_size, to_size = fields[10:]
        if number >= len(self._points):
            raise Undecodable(f"no trigger has the number {number}")
        base = text = to_base = to_text = b""
        if base_size:
            base = record[at : at + base_size]
            at += base_size
        if text_size or to_base_size or to_size:
            text, at = record[at : at + text_size], at + text_size
            to_base, at = record[at : at + to_base_size], at + to_base_size
            to_text, at = record[at : at + to_size], at + to_size
        if at > len(record):
            raise Undecodable(f"a record of {len(record)} bytes that says it has {at}")
        triggers = self._points[number]
        trigger = triggers[0]
        if trigger == "exec":
            self._executed(who, base, text, time)
        process = self._known.get(who) or self._learn(who)
        kind = _KINDS.get(mode >> 12 & 0o17, "")
        eager = flags & self._single != 0
        if eager:
            calls = _NO_CALLS
        elif trigger == "close":
            triggers = session_steps(kind == "socket", first_read, first_write)
            amounts = (kind == "socket", opens, reads, writes)
            calls = self._sums.get(amounts) or self._closed(amounts)
        else:
            calls = self._one_call[number]
        event = Event(triggers, time + self.offset, process, calls, sequence, cpu, (began or time) + self.offset, fd)
        event.eager, event.bytes_read, event.bytes_written = eager, bytes_read, bytes_written
        if flags & self._origin:
            event.created = flags & self._flags["created"] != 0
            event.truncated = flags & self._flags["truncated"] != 0
            event.inherited = flags & self._flags["inherited"] != 0
        if trigger in _LIFE:
            self._life(event, trigger, flags, record)
            if trigger == "exec":
                event.file = self._file_executed(event, who, flags, text, to_base, to_text)
                if kind == "socket":
                    self._socket(event, self._more(record), inode, b"", b"")
        elif kind == "socket":
            self._socket(event, self._more(record), inode, text, to_text)
        else:
            path, mark = self._named(who, flags, base, text) if text else (self._names.path(base), "")
            if text and trigger in _FOLLOWING and not mark:
                path, mark = self._followed(who, flags, path)
            if flags & self._doubtful:
                if flags & self._flags["made"] and self._names.path(to_base) != path:  # it made another file
                    event.created = event.truncated = False
                    inode, device, kind = 0, 0, ""
                path, mark = self._marked(path, mark, flags, "file")
            event.file = File(path, inode, device, kind, mark)
            if trigger in _CHANGING:
                self._change(event, trigger, who, flags, record, to_base, to_text)
        if flags & self._some_held:
            more = self._more(record)
            self.held = (more.held, more.held_global)
        return event

    def _closed(self, amounts: tuple[bool, int, int, int]) -> dict[str, int]:
        """Most sessions have a few calls, so they can share the sums of them, which nobody changes."""
        sums = session_calls(*amounts) | {"close": 1}
        if len(self._sums) < _MOST_SUMS:
            self._sums[amounts] = sums
        return sums

    def _more(self, record: bytes) -> _Detail:
        return _Detail._make(self._detail.unpack_from(record, self._size - self._detail.size))

    def _life(self, event: Event, trigger: str, flags: int, record: bytes) -> None:
        if trigger == "fork":
            event.child = self._more(record).value
        elif trigger == "exit":
            event.status = self._more(record).value
            if flags & self._flags["more"]:
                self.unfinished.add(event.process.pid)
            self._processes.ended(event.process.key)
            self._forget(event.process.key)

    def _executed(self, who: bytes, names: bytes, arguments: bytes, time: int) -> None:
        start, parent_start, _, pid, ppid, *_ = self._who.unpack(who)
        argv = tuple(os.fsdecode(arguments).split("\0")[:-1])
        self._processes.started((pid, start), (ppid, parent_start), self._names.path(names), argv, time)
        self._forget((pid, start))

    def _file_executed(self, event: Event, who: bytes, flags: int, arguments: bytes, base: bytes, name: bytes) -> File:
        """The executable, or the script that it is the interpreter of, whose `name` it then has as an argument."""
        path, mark = self._marked(event.process.exe, "", flags & ~self._flags["text_lost"], "file")
        last = arguments.rpartition(b"\0")[2]  # of which the end is missing
        if name and (b"\0" + name in arguments or (last and name.startswith(last))):
            path, mark = self._marked(*self._given(who, flags, base, name), flags, "to")
        return File(path, kind="file", mark=mark)

    def _given(self, who: bytes, flags: int, base: bytes, name: bytes) -> tuple[str, str]:
        """The path and mark of the file that was executed by this name, which was there at that moment."""
        given = name.rstrip(b"\0")
        if found := _DESCRIPTOR.fullmatch(given):
            if not found[1]:
                return (self._names.path(base), "") if base else (os.fsdecode(given), "given")
            given = found[1]
        path, mark = self._named(who, flags, base, given)
        return (path, mark) if mark else self._followed(who, flags, path)

    def _forget(self, key: ProcessKey) -> None:
        for who in self._described.pop(key, ()):
            del self._known[who]

    def _learn(self, who: bytes) -> Process:
        """The process that a record describes in these words for the first time, or again after they were forgotten."""
        start, parent_start, cgroup, pid, ppid, uid, euid, login_uid, _, command = self._who.unpack(who)
        image = self._processes.image((pid, start), (ppid, parent_start))
        parent = self._processes.parent((pid, start), (ppid, parent_start))
        process = Process(
            pid=pid,
            start=start,
            ppid=ppid,
            parent_start=parent_start,
            uid=uid,
            euid=euid,
            login_uid=-1 if login_uid == _NOBODY else login_uid,
            user=self._processes.user(uid),
            command=os.fsdecode(command.split(b"\0", 1)[0]),
            exe=image.exe,
            argv=image.argv,
            container=self._processes.container(cgroup),
            parent_exe=parent.exe,
            parent_argv=parent.argv,
        )
        if len(self._known) >= _MOST_KNOWN:
            self._forget(next(iter(self._described)))
        self._known[who] = process
        self._described.setdefault((pid, start), []).append(who)
        return process

    def _named(self, who: bytes, flags: int, base: bytes, text: bytes) -> tuple[str, str]:
        """The path that a program gave as `text`, seen from the directory `base`, and its mark."""
        given = text.rstrip(b"\0")
        if b"/" not in given and given not in _NO_NAMES:
            return self._names.directory(base) + os.fsdecode(given), ""
        tree = self._tree(who, flags)
        return named(self._names.path(base), os.fsdecode(given), tree.directory if tree else None)

    def _followed(self, who: bytes, flags: int, path: str) -> tuple[str, str]:
        tree = self._tree(who, flags)
        found = tree.file(path) if tree else None
        return (path, "given") if found is None else (found, "")

    def _tree(self, who: bytes, flags: int) -> Tree | None:
        """Where links are followed for a process; None where its tree is not one that we can look at."""
        return None if flags & self._flags["chroot"] else self._trees.get(self._who.unpack(who)[8])

    def _marked(self, path: str, mark: str, flags: int, which: str) -> tuple[str, str]:
        if flags & self._flags[f"{which}_detached"]:
            return path[1:], "unreachable"
        if flags & self._flags[f"{which}_cut"]:
            return f"...{path}", "cut"
        return path, "lost" if which == "file" and flags & self._flags["text_lost"] else mark

    def _change(
        self, event: Event, trigger: str, who: bytes, flags: int, record: bytes, to_base: bytes, to_text: bytes
    ) -> None:
        """What a syscall that names files says beside the first name."""
        if trigger in ("rename", "link"):
            # an empty text is the directory itself, as `named` has it
            path, mark = self._named(who, flags, to_base, to_text)
            path, mark = self._marked(path, mark, flags, "to")
            event.to = File(path, mark=mark)
            return
        if trigger == "symlink":
            event.target = os.fsdecode(to_text.rstrip(b"\0"))
            return
        value = self._more(record).value
        if trigger in ("chmod", "mkdir"):
            event.mode = value & 0o7777
        elif trigger == "truncate":
            event.size = value
        elif trigger == "chown":
            owner, group = value & _NOBODY, value >> 32 & _NOBODY
            event.owner = -1 if owner == _NOBODY else owner
            event.group = -1 if group == _NOBODY else group

    def _socket(self, event: Event, more: _Detail, inode: int, remote: bytes, local: bytes) -> None:
        family = _FAMILIES.get(more.family, "")
        event.session = more.socket or inode
        kind = _SOCKET_TYPES.get(more.socket_type, str(more.socket_type))
        if family == "unix":
            event.protocol = f"unix-{kind}"
            event.remote = Address("unix", _unix(remote))
            event.local = Address("unix", _unix(local))
            return
        event.protocol = _PROTOCOLS.get(more.protocol) or {"stream": "tcp", "dgram": "udp"}.get(kind, kind)
        event.remote = Address(family, _host(family, more.remote), more.remote_port)
        event.local = Address(family, _host(family, more.local), more.local_port)


def _host(family: str, raw: bytes) -> str:
    return str(ipaddress.ip_address(raw[:4] if family == "inet" else raw))


def _unix(name: bytes) -> str:
    """A path, or "@name" for an abstract address, whose first byte is NUL (unix(7))."""
    if name.startswith(b"\0"):
        return "@" + os.fsdecode(name[1:])
    return os.fsdecode(name.split(b"\0", 1)[0])
