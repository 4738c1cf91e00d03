# SPDX-License-Identifier: Apache-2.0
"""Lines to format and write, as the machines would make them, and names an attacker would choose."""

from __future__ import annotations

from datetime import UTC

from panorama.event import Address, Event, File, Login, Process
from panorama.output.context import Context
from panorama.output.line import Gathered, Line, Part

TIME = 1775148747_276747123  # 2026-04-02 16:52:27.276747 UTC
UTC_CONTEXT = Context(host="ep1", boot_id="b1", zone=UTC)
ALICE = Process(
    3760,
    86400_000000001,
    2682,
    17,
    uid=1000,
    euid=1000,
    login_uid=1000,
    user="alice",
    command="scp",
    exe="/usr/bin/scp",
    argv=("scp", "f2.txt", "h:"),
)

HOSTILE_NAMES = [
    "two words",
    'quo"te',
    "back\\slash",
    "new\nline",
    "2026-04-02 16:52:27.276747 1 1 root init remove passwd:1",
    "x\n2026-04-02 16:52:27.276747 1 1 root init remove passwd:1",
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31m",
    "\u202egnp.exe",
    "line\u2028separator\u2029s",
    "zero\u200bwidth",
    "filler\u3164",
    "\ue000private",
    "\U0001fffe\U000e0001",
    b"raw \xff\xfe bytes \xc3".decode("utf-8", "surrogateescape"),
    b"\xed\xa0\x80".decode("utf-8", "surrogateescape"),
    "tail:5",
    "tail(unreachable)",
    "-",
    "?",
    "fd=3",
    '"',
    '"quoted":5',
    "\\x41",
    "\r",
    "\x00",
    "\x7f",
    "naïve 日本語 שלום",
    "a|b",
    "key=value externalId=9 PanoramaBootId=b2",
    "a\\=b\\\\=c\\|d",
    "\\n\\u0041",
    " ",
    " both ends ",
    "]",
    '[panorama@32473 host="ep2" boot="b2" sequence="1"]',
    "CEF:0|Panorama|Panorama|1|x|x|1|externalId=9 dvchost=ep2 PanoramaBootId=b2",
    '{"event":{"module":"panorama","sequence":9},"host":{"name":"ep2"}}',
    "\u200fright\u200e\u2066isolate\u2069",
    "\u061c\u200d\u2060\ufeff",
    "x ... repeated 3 times",
    "f" * 255,
    "\u202e" * 85,
]


LONGEST_PATH = "/" + "deep\n|=/" * 511 + "names"  # 4095 bytes, and the NUL is the last of PATH_MAX


def event(name: str = "f2.txt", inode: int = 3015807, **more: object) -> Event:
    fields: dict[str, object] = {
        "triggers": ("open", "read", "close"),
        "time": TIME,
        "process": ALICE,
        "calls": {"open": 1, "read": 2, "close": 1},
        "sequence": 41,
        "cpu": 1,
        "began": TIME - 2_000_000,
        "fd": 3,
        "file": File(f"/home/alice/{name}", inode, 2049, "file"),
        "bytes_read": 4096,
    }
    return Event(**(fields | more))  # type: ignore[arg-type]


def read_line(name: str = "f2.txt", inode: int = 3015807, **more: object) -> Line:
    """What `cat f2.txt` gives."""
    taken = event(name, inode)
    fields: dict[str, object] = {
        "time": TIME,
        "process": ALICE,
        "verb": "read",
        "object": (Part("file", taken.file),),
        "behavior": "file",
        "states": ("new", "opened", "read"),
        "events": [taken],
        "sequence": 7,
    }
    return Line(**(fields | more))  # type: ignore[arg-type]


def rename_line(old: str, new: str) -> Line:
    before, after = File(old, 9, 2049, "file", "given"), File(new, 9, 2049, "file", "given")
    taken = event(triggers=("rename",), calls={"rename": 1}, file=before, to=after, bytes_read=0, fd=-1, began=TIME)
    return read_line(verb="rename", object=(Part("file", before), " -> ", Part("to", after)), events=[taken])


def connect_line(verb: str = "connect", family: str = "inet", read: int = 0, written: int = 0) -> Line:
    hosts = {"inet": ("172.17.0.1", "172.17.0.2"), "inet6": ("::1", "fe80::2"), "unix": ("", "/run/a b")}[family]
    ports = (0, 0) if family == "unix" else (43716, 22)
    local, remote = (Address(family, host, port) for host, port in zip(hosts, ports, strict=True))
    taken = event(
        triggers=(verb,),
        file=None,
        local=local,
        remote=remote,
        protocol="tcp",
        session=77,
        bytes_read=read,
        bytes_written=written,
    )
    return read_line(verb=verb, object=(Part("remote", remote),), behavior="connection", events=[taken])


def removed(name: str = "a", number: int = 1, **more: object) -> Line:
    """What `rm` of one file gives, the number telling it from others."""
    taken = event(name, number, triggers=("unlink",), time=TIME + number, sequence=100 + number, fd=-1, bytes_read=0)
    fields = {"time": TIME + number, "verb": "remove", "behavior": "name", "events": [taken], "sequence": 0}
    return read_line(name, number, **(fields | {"object": (Part("file", taken.file),)} | more))


def tree_removed(names: list[str], **more: object) -> Line:
    """What `rm -r` of these gives, done in a login from elsewhere."""
    operations = [removed(name, number) for number, name in enumerate(names, 1)]
    files = tuple(each.events[0].file for each in operations if each.events[0].file)
    fields: dict[str, object] = {
        "verb": "delete",
        "behavior": "delete",
        "layer": "activity",
        "severity": "notice",
        "object": (Part("members", Gathered(files[:64], len(files))),),
        "events": [each.events[0] for each in operations],
        "operations": operations[-256:],
        "operation_count": len(operations),
        "login": Login(Address("inet", "172.17.0.1", 43716), "alice"),
    }
    return read_line(**(fields | more))  # type: ignore[arg-type]
