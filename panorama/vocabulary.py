# SPDX-License-Identifier: Apache-2.0
"""The words behaviors are written in: triggers and fields. Every other module asks here; nothing is listed twice.

A trigger is a family of syscalls. A field is something an event says of itself, with the kind of comparison that
makes sense for it. This module knows nothing of YAML, machines or the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from .event import Event, File

__all__ = ["FIELDS", "LAYERS", "LIFE", "SCOPES", "SESSION_TRIGGERS", "TRIGGERS", "Field", "Trigger"]

LAYERS = ("operation", "activity")
SCOPES = ("process", "file", "connection", "path")


@dataclass(frozen=True, slots=True)
class Trigger:
    """`syscalls` are Linux names as in syscalls(2); `tracepoints` are those that are not syscalls.

    Which kinds of machine it can move: every event moves `per: process`; `file` and `connection` say whether it also
    has a file or a connection of its own.
    """

    summary: str
    syscalls: tuple[str, ...] = ()
    tracepoints: tuple[str, ...] = ()
    file: bool = False
    connection: bool = False


_READ = ("read", "pread64", "readv", "preadv", "preadv2")
_WRITE = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
# read one descriptor and write another; the ioctl is FICLONE, by which cp shares blocks
_COPY = ("sendfile64", "splice", "copy_file_range", "ioctl")

TRIGGERS: dict[str, Trigger] = {
    "open": Trigger("a file was opened", ("open", "creat", "openat", "openat2", "open_by_handle_at"), file=True),
    "read": Trigger("bytes were read from a file", (*_READ, *_COPY), file=True),
    "write": Trigger("bytes were written to a file, or its size was set", (*_WRITE, *_COPY, "ftruncate"), file=True),
    "close": Trigger(
        "the process's last descriptor of a file or connection was released",
        ("close", "close_range", "dup2", "dup3", "execve", "execveat"),
        ("sched:sched_process_exec", "sched:sched_process_exit"),
        file=True,
        connection=True,
    ),
    "unlink": Trigger("a name was removed", ("unlink", "unlinkat"), file=True),
    "rmdir": Trigger("a directory was removed", ("rmdir", "unlinkat"), file=True),
    "mkdir": Trigger("a directory was made", ("mkdir", "mkdirat"), file=True),
    "rename": Trigger("a name was changed", ("rename", "renameat", "renameat2"), file=True),
    "link": Trigger("a hard link was made", ("link", "linkat"), file=True),
    "symlink": Trigger("a symbolic link was made", ("symlink", "symlinkat"), file=True),
    "chmod": Trigger("permission bits were set", ("chmod", "fchmod", "fchmodat", "fchmodat2"), file=True),
    "chown": Trigger("owner or group was set", ("chown", "lchown", "fchown", "fchownat"), file=True),
    "truncate": Trigger("the size of a file was set by name; by descriptor it is a write", ("truncate",), file=True),
    "connect": Trigger(
        "a connection was made or begun; for datagrams, when the first is sent to the peer that connect(2) set",
        ("connect", "sendto", "sendmsg", "sendmmsg", "write", "writev", "close", "dup2", "dup3"),
        ("sched:sched_process_exit",),
        connection=True,
    ),
    "accept": Trigger("a connection was taken", ("accept", "accept4"), connection=True),
    "bind": Trigger("a socket was given a local address", ("bind",), connection=True),
    "listen": Trigger("a socket was opened for connections", ("listen",), connection=True),
    "send": Trigger("bytes were sent", ("sendto", "sendmsg", "sendmmsg", *_WRITE, *_COPY), connection=True),
    "recv": Trigger("bytes were received", ("recvfrom", "recvmsg", "recvmmsg", *_READ, *_COPY), connection=True),
    "fork": Trigger("a process was made", tracepoints=("task:task_newtask",)),
    "exec": Trigger("a program was started", tracepoints=("sched:sched_process_exec",)),
    "exit": Trigger("a process ended", tracepoints=("sched:sched_process_exit",)),
    "timeout": Trigger("the state's timeout ran out; no syscall"),
}

# kept together in the kernel: one event when the file or connection is released, unless a machine needs them singly
SESSION_TRIGGERS = ("open", "read", "write", "send", "recv", "close")

# triggers that activities may have as well: of a process's life, whether or not a line tells of it
LIFE = ("exec", "exit")


@dataclass(frozen=True, slots=True)
class Field:
    """`kind` is path, paths, text, number, flag or address: it decides which conditions the language allows.

    `remembered`: earlier events say what it is, not the event.
    """

    kind: str
    summary: str
    get: Callable[[Event], Any]
    remembered: bool = False


def _folder(file: File | None) -> File | None:
    return file and File(file.path.rstrip("/").rpartition("/")[0] or "/", kind="directory")


def _stem(file: File | None) -> File | None:
    suffix = _suffix(file)
    return File(file.path[: -len(suffix)]) if file and suffix else None


def _suffix(file: File | None) -> str | None:
    """ ".gz" of g.tar.gz; None of names without one, and of those that only begin with a dot."""
    stem, dot, rest = file.name.rpartition(".") if file else ("", "", "")
    return dot + rest if stem.strip(".") and rest else None


FIELDS: dict[str, Field] = {
    "file": Field("path", "absolute path of the file (the old one, for rename and link)", attrgetter("file")),
    "to": Field("path", "absolute new path (rename, link)", attrgetter("to")),
    "name": Field("text", "the file's name without its directory", lambda e: e.file and e.file.name),
    "folder": Field("path", "absolute path of the directory that the file is in", lambda e: _folder(e.file)),
    "stem": Field("path", "the file's path without its suffix: /a/b.tar of /a/b.tar.gz", lambda e: _stem(e.file)),
    "suffix": Field("text", "the last suffix of the file's name: .gz", lambda e: _suffix(e.file)),
    "to_name": Field("text", "the new name without its directory", lambda e: e.to and e.to.name),
    "to_folder": Field("path", "absolute path of the directory that the new name is in", lambda e: _folder(e.to)),
    "to_stem": Field("path", "the new path without its suffix", lambda e: _stem(e.to)),
    "to_suffix": Field("text", "the last suffix of the new name", lambda e: _suffix(e.to)),
    "kind": Field("text", "file, directory, fifo, socket, block, character or link", lambda e: e.file and e.file.kind),
    "inode": Field("number", "the file's inode number", lambda e: (e.file and e.file.inode) or None),
    "target": Field("text", "what a symbolic link points to", lambda e: e.target or None),
    "created": Field("flag", "the open made the file", attrgetter("created")),
    "truncated": Field("flag", "an existing file was emptied", attrgetter("truncated")),
    "inherited": Field("flag", "the descriptor was open before this process first used it", attrgetter("inherited")),
    "final": Field("flag", "false while a file reported for being open long is still open", attrgetter("final")),
    "bytes_read": Field("number", "bytes read or received", attrgetter("bytes_read")),
    "bytes_written": Field("number", "bytes written or sent", attrgetter("bytes_written")),
    "fd": Field("number", "the descriptor", lambda e: e.fd if e.fd >= 0 else None),
    "mode": Field("number", "new permission bits (chmod, mkdir)", lambda e: e.mode if e.mode >= 0 else None),
    "executable": Field(
        "flag",
        "the new permission bits let somebody execute it",
        lambda e: e.mode & 0o111 != 0 if e.mode >= 0 else None,
    ),
    "owner": Field("number", "new owner's uid (chown)", lambda e: e.owner if e.owner >= 0 else None),
    "group": Field("number", "new group's gid (chown)", lambda e: e.group if e.group >= 0 else None),
    "size": Field("number", "new size in bytes (truncate)", lambda e: e.size if e.size >= 0 else None),
    "remote": Field("address", "the other end of the connection", attrgetter("remote")),
    "local": Field("address", "this end of the connection", attrgetter("local")),
    "port": Field("number", "the other end's port", lambda e: e.remote.port if e.remote else None),
    "local_port": Field("number", "this end's port", lambda e: e.local.port if e.local else None),
    "origin": Field(
        "address", "the remote end of the login that the process belongs to", lambda e: e.login and e.login.remote, True
    ),
    "login_user": Field("text", "whose login that is", lambda e: (e.login and e.login.user) or None, True),
    "peer": Field(
        "address",
        "the remote end of the latest IPv4 or IPv6 connection that the process made",
        attrgetter("peer"),
        True,
    ),
    "peer_port": Field("number", "its port", lambda e: e.peer and e.peer.port, True),
    "family": Field("text", "inet, inet6 or unix", lambda e: end.family if (end := e.remote or e.local) else None),
    "protocol": Field("text", "tcp, udp, unix-stream, unix-dgram ...", lambda e: e.protocol or None),
    "command": Field("text", "the process's name (comm)", attrgetter("process.command")),
    "exe": Field("path", "absolute path of the executable", lambda e: e.process.exe or None),
    "parent_exe": Field("path", "what the parent ran when it made the process", lambda e: e.process.parent_exe or None),
    "ancestor": Field(
        "paths", "what an ancestor of the process runs: any of them", lambda e: e.ancestors or None, True
    ),
    "user": Field("text", "the real user's name", attrgetter("process.user")),
    "uid": Field("number", "the real uid", attrgetter("process.uid")),
    "euid": Field("number", "the effective uid", attrgetter("process.euid")),
    "login_uid": Field(
        "number", "uid of the login (audit uid)", lambda e: e.process.login_uid if e.process.login_uid >= 0 else None
    ),
    "container": Field("text", "container id", lambda e: e.process.container or None),
    "pid": Field("number", "process id", attrgetter("process.pid")),
    "ppid": Field("number", "parent's process id", attrgetter("process.ppid")),
    "status": Field("number", "wait status (exit)", lambda e: e.status if "exit" in e.triggers else None),
    "child": Field("number", "the new process's pid (fork)", lambda e: e.child or None),
}
