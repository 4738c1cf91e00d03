# SPDX-License-Identifier: Apache-2.0
"""The line formats of Panorama 6.1 and of 7.4 to 1.5, for readers of old logs. New ones should read text or json.

Unlike those, text from the outside is escaped (quoting.py, without quotes; a space is \\x20), so white space always
separates and a name cannot forge a line. A line may become two old ones, or none:

| line                                  | v6                                              | v7                        |
|---------------------------------------|-------------------------------------------------|---------------------------|
| operation on a file                   | its word, or `other`                            | its word, or `unkown`     |
| rename                                | `remove` the old name, `create` the new one     | `renamed`, `rename-to`    |
| connect, accept, inet and inet6       | two: `connect-by` / `accept-by` the initiator,  | one, its word taken from  |
|                                       | then `connect` / `accept` the responder         | the byte counts           |
| exec, listen, UNIX sockets            | none                                            | none                      |
| activity                              | none: its operations are lines already          | one, as the operation     |
|                                       |                                                 | that completed it, with   |
|                                       |                                                 | (behavior) at the command |
| Panorama's own notices                | `other`, the text in place of the file's name   | `unkown`, likewise        |

Neither has a place for the severity, doubt (`certainty`) or a count: a line that stands for repeated ones (`repeated`)
is written like any other.
"""

from __future__ import annotations

from ..event import Address, Event, File
from .context import Context, stamp
from .line import Line
from .objects import began, byte_counts, main_file, object_text
from .quoting import MISSING, bare

__all__ = ["v6_lines", "v7_lines"]

_V6_WORDS = ("create", "remove", "read", "write", "cover", "save", "mkdir", "rmdir")
_V7_WORDS = {
    "create": "created",
    "mkdir": "created",
    "read": "read",
    "write": "write",
    "cover": "covered",
    "remove": "removed",
    "rmdir": "removed",
}
_V7_TRIGGERS = {"unlink": "removed", "rmdir": "removed", "mkdir": "created", "rename": "renamed"}
_V7_KINDS = {"file": "regular", "link": "soft link"} | {
    kind: kind for kind in ("socket", "block", "directory", "character", "fifo")
}
_UNKNOWN = "unkown"  # as v7 spelled it
_CONNECTIONS = ("connect", "accept")
_NOWHERE = Address("inet", "0.0.0.0", 0)  # what v6 printed for an end that was never filled in


def v6_lines(line: Line, context: Context) -> list[str]:
    """The line as Panorama 6.1 wrote it: `time ppid pid user command word name:inode`."""
    process = line.process
    who = f"{process.ppid} {process.pid} {_plain(process.user)} {_plain(process.command)}"
    head = f"{stamp(line.time, context.zone)} {who}"
    return [f"{head} {what}" for what in _v6_objects(line)]


def v7_lines(line: Line, context: Context) -> list[str]:
    """The line as Panorama 7.4 wrote it; the time is that of the first touch, in milliseconds."""
    process = line.process
    command = _plain(process.command) + (f"({line.behavior})" if line.layer == "activity" else "")
    head = f"{stamp(began(line), context.zone)[:-3]} {process.ppid} {process.pid} {_plain(process.user)} {command}"
    read, written = byte_counts(line)
    return [f"{head} {what} {read}/{written}" for what in _v7_objects(line, read, written)]


def _v6_objects(line: Line) -> list[str]:
    event = line.events[-1] if line.events else None
    file = main_file(line)
    if line.layer == "activity":
        return []
    if event is None and file is None:
        return [f"other {_plain(object_text(line))}:0"]
    if event is not None and line.verb in _CONNECTIONS and _is_ip(event):
        local, remote = event.local, event.remote
        by, to = (local, remote) if line.verb == "connect" else (remote, local)
        return [f"{line.verb}-by {_end(by)}", f"{line.verb} {_end(to)}"]
    if file is None:
        return []
    if event is not None and line.verb == "rename" and event.to is not None:
        return [f"remove {_v6_file(file)}", f"create {_v6_file(event.to, file.inode)}"]
    return [f"{line.verb if line.verb in _V6_WORDS else 'other'} {_v6_file(file)}"]


def _v7_objects(line: Line, read: int, written: int) -> list[str]:
    event = line.events[-1] if line.events else None
    file = main_file(line)
    if event is None and file is None:
        return [f"{_UNKNOWN} {_UNKNOWN} {_plain(object_text(line))}:0"]
    if event is not None and _is_ip(event) and (line.verb in _CONNECTIONS or line.layer == "activity"):
        word = ("rx&tx" if written else "receive") if read else ("transmit" if written else "open")
        return [f"{word} socket {_end(event.local)}->{_end(event.remote)}"]
    if file is None:
        return []
    kind = _V7_KINDS.get(file.kind or ("directory" if line.verb in ("mkdir", "rmdir") else ""), _UNKNOWN)
    if event is not None and event.to is not None and "rename" in event.triggers:
        return [f"renamed {kind} {_v6_file(file)}", f"rename-to {kind} {_v6_file(event.to, file.inode)}"]
    word = _V7_WORDS.get(line.verb) or (_v7_word(event) if line.layer == "activity" and event else _UNKNOWN)
    if word in ("read", "write") and read and written:
        word = "rd&wr"
    return [f"{word} {kind} {_v6_file(file)}"]


def _v7_word(event: Event) -> str:
    for trigger in event.triggers:
        if trigger in _V7_TRIGGERS:
            return _V7_TRIGGERS[trigger]
    if event.created:
        return "created"
    if event.truncated:
        return "covered"
    return "write" if event.bytes_written else "read" if event.bytes_read else "open"


def _v6_file(file: File, inode: int = 0) -> str:
    return f"{_plain(file.name)}:{file.inode or inode}"


def _end(address: Address | None) -> str:
    return _plain(str(address or _NOWHERE))


def _plain(text: str) -> str:
    return bare(text, space="\\x20") or MISSING


def _is_ip(event: Event) -> bool:
    end = event.remote or event.local
    return end is not None and end.family in ("inet", "inet6")
