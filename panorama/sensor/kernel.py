# SPDX-License-Identifier: Apache-2.0
"""The only module that imports bcc: compiles bpf/, attaches it, reads its ring buffer and its counts.

No kernel headers are needed: BCC is pointed at bpf/headers, and offsets come from the kernel's BTF.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CannotSense
from ..paths import BPF as SOURCES
from .btf import KernelTypes
from .layout import Layout, LayoutError, read_layout
from .probes import Probe, needed, tail_calls
from .source import flags, served, text

__all__ = ["COLUMNS", "Counts", "Demand", "Kernel", "OpenSession", "PrefixRule"]

COLUMNS = 32  # bpf/record.h
_SEEN, _LOST, _UNEXPLAINED, _IGNORED, _RULES = 0, 1, 2, 3, 64
_GATHER = 0.02  # s between the first record and reading: they come in batches, and one batch is one wake-up
_FINISHING = 0.01  # s in which a probe that has begun is done; they run without preemption
_MOST_SAID = 1 << 16
_TRACING = Path("/sys/kernel/tracing")


@dataclass(frozen=True, slots=True)
class PrefixRule:
    """Files below `prefix` (ending in "/") or just the file `prefix`, ignored by rule number `rule`."""

    prefix: str
    rule: int
    only_read: bool


@dataclass(frozen=True)
class Demand:
    """What the loaded behaviors and ignore rules ask of the sensor."""

    triggers: frozenset[str]
    eager: frozenset[str] = frozenset()
    untouched: bool = False  # sessions in which nothing happened are wanted too
    connections: bool = False  # what is sent and received, and the end of connections
    prefixes: tuple[PrefixRule, ...] = ()
    filesystems: tuple[tuple[int, int, bool], ...] = ()  # super block magic, rule, only if read only
    kinds: tuple[tuple[int, int], ...] = ()  # i_mode >> 12, rule

    @property
    def counted(self) -> frozenset[str]:
        """The triggers that the kernel counts: those asked for, and `close` where it ends what they began."""
        ends = self.triggers & {"open", "read", "write", "send", "recv", "connect"}
        return self.triggers | {"close"} if ends else self.triggers


@dataclass(slots=True)
class Counts:
    """Syscalls by where they went and by trigger; `ignored` by rule number first."""

    seen: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    unexplained: dict[str, int] = field(default_factory=dict)
    ignored: dict[int, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session still open in the kernel's table; times in ns since boot."""

    pid: int
    file: int
    fd: int
    began: int
    first_read: int
    first_write: int
    bytes_read: int
    bytes_written: int
    reads: int
    writes: int
    inode: int
    device: int
    mode: int
    flags: int
    opens: int
    rule: int


def _import_bcc() -> Any:
    os.environ["BCC_KERNEL_SOURCE"] = str(SOURCES / "headers")
    try:
        import bcc
    except ImportError as error:
        raise CannotSense(f"BCC is not installed ({error}); try: apt install python3-bpfcc") from None
    if not hasattr(bcc, "BPF"):
        raise CannotSense("the module bcc found is not the BPF Compiler Collection; try: apt install python3-bpfcc")
    return bcc


def _mount(kind: str, where: Path, probe: str) -> None:
    """Mounts a kernel file system if it is not there (mount(2)); BCC of Debian 12 looks below debugfs as well."""
    if (where / probe).exists():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", str(where).encode(), kind.encode(), 0, None) and kind == "tracefs":
        reason = os.strerror(ctypes.get_errno())
        raise CannotSense(f"{kind} cannot be mounted ({reason}); try: mount -t {kind} none {where}")


class Kernel:
    """The sensor's kernel half. Use as a context manager; `attach` starts it, `records` reads, `stop` detaches.

    Raises CannotSense, in one line, where the machine or the user cannot run eBPF.
    """

    def __init__(self, demand: Demand, ring_pages: int = 4096, sessions: int = 65536, follow: bool = False) -> None:
        if os.geteuid() != 0:
            raise CannotSense("eBPF needs root; try: sudo panorama")
        self.layout: Layout = read_layout()
        self._demand = demand
        self._bcc = _import_bcc()
        _mount("tracefs", _TRACING, "events")
        _mount("debugfs", Path("/sys/kernel/debug"), "tracing")
        source = text()
        self._served = served(source)
        self._probes = needed(demand.counted, self._served, follow)
        self._attached: list[Probe] = []
        types = KernelTypes()
        options = flags(source, types, ring_pages, sessions, bool(demand.eager))
        types.close()
        said = _quiet()
        try:
            with said:
                self._bpf = self._bcc.BPF(text=source.encode(), cflags=[*options, "-Wno-unused-function"])
        except Exception as error:
            raise CannotSense(_reason(f"the eBPF program does not compile here: {error}", said.text)) from None
        self._bytes: list[bytes] = []
        self._configure(follow)
        self._compare_layout()

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _map(self, name: str) -> Any:
        return self._bpf[name.encode()]

    def _compare_layout(self) -> None:
        """BCC's idea of struct event, learned from the compiler, must be ours."""
        told = self._bpf[b"layout"].Leaf
        ours = self.layout
        if ctypes.sizeof(told) != ours.size:
            raise LayoutError(f"bpf/event.h: {ours.size} bytes as read, {ctypes.sizeof(told)} as compiled")
        for name, (offset, _) in ours.fields.items():
            compiled = getattr(told, name).offset
            if compiled != offset:
                raise LayoutError(f"bpf/event.h: {name} is at {offset} as read, at {compiled} as compiled")

    def _configure(self, follow: bool) -> None:
        demand, number = self._demand, {name: i for i, name in enumerate(self.layout.triggers)}
        table = self._map("config")
        config = table.Leaf()
        config.self = os.getpid()
        config.wanted = sum(1 << number[name] for name in demand.counted)
        config.single = sum(1 << number[name] for name in demand.eager)
        config.follow = follow
        config.off = 1  # until all is attached: what only half of the probes saw does not add up
        config.untouched = demand.untouched
        config.sockets = demand.connections
        for kind, rule in demand.kinds:
            config.kind_rule[kind] = rule + 1
        table[table.Key(0)] = config
        filesystems = self._map("ignored_filesystems")
        for magic, rule, only_read in demand.filesystems:
            filesystems[filesystems.Key(magic)] = filesystems.Leaf(rule + 1, int(only_read))
        prefixes = self._map("ignored_prefixes")
        for item in demand.prefixes:
            raw = os.fsencode(item.prefix) + (b"" if item.prefix.endswith("/") else b"\0")
            key = prefixes.Key()
            key.bits = len(raw) * 8
            ctypes.memmove(ctypes.addressof(key) + 4, raw, len(raw))
            prefixes[key] = prefixes.Leaf(item.rule + 1, int(item.only_read))

    def attach(self) -> None:
        """Loads and attaches; from here on records come. Tracepoints this kernel lacks are left out (see `missing`)."""
        events = _TRACING / "events"
        kinds = self._bcc.BPF
        self.missing: list[str] = []
        said = _quiet()
        try:
            with said:
                self._attach(events, kinds)
        except Exception as error:
            raise CannotSense(_reason(f"the kernel refuses the eBPF program: {error}", said.text)) from None
        table = self._map("config")
        config = table[table.Key(0)]
        config.off = 0
        table[table.Key(0)] = config
        ring = self._map("events")

        def keep(_: object, data: int, size: int) -> int:
            self._bytes.append(ctypes.string_at(data, size))
            return 0

        ring.open_ring_buffer(keep)
        self._poll = select.epoll()
        self._poll.register(ring.map_fd, select.EPOLLIN)

    def _attach(self, events: Path, kinds: Any) -> None:
        programs = self._map("programs")
        for number, function in tail_calls(self._served).items():
            loaded = self._bpf.load_func(function.encode(), kinds.TRACEPOINT)
            programs[programs.Key(number)] = programs.Leaf(loaded.fd)
        for probe in self._probes:
            if probe.raw:
                self._bpf.attach_raw_tracepoint(tp=probe.tracepoint.encode(), fn_name=probe.function.encode())
            elif (events / probe.tracepoint.replace(":", "/")).exists():
                self._bpf.attach_tracepoint(tp=probe.tracepoint.encode(), fn_name=probe.function.encode())
            else:
                self.missing.append(probe.tracepoint)
                continue
            self._attached.append(probe)

    @property
    def tracepoints(self) -> list[str]:
        return [probe.tracepoint for probe in self._attached]

    def follow(self, pid: int) -> None:
        table = self._map("followed")
        table[table.Key(pid)] = table.Leaf(1)

    def unfollow(self, pid: int) -> None:
        table = self._map("followed")
        with contextlib.suppress(KeyError):
            del table[table.Key(pid)]

    def following(self) -> int:
        """How many followed processes are alive."""
        return sum(1 for _ in self._map("followed").items())

    def records(self, timeout: float) -> list[bytes]:
        """What has come, after at most `timeout` seconds of waiting for a first record; an interrupt ends the wait."""
        with contextlib.suppress(InterruptedError):
            if self._poll.poll(timeout):
                time.sleep(_GATHER)
        return self.take()

    def take(self) -> list[bytes]:
        """What has come, without waiting."""
        self._bpf.ring_buffer_consume()
        taken, self._bytes = self._bytes, []
        return taken

    def open_sessions(self) -> Iterator[OpenSession]:
        """The kernel's table of open sessions, as it is at the moment."""
        table = self._map("sessions")
        names = OpenSession.__dataclass_fields__
        for key, leaf in table.items():
            values = {name: getattr(leaf, name) for name in names if name not in ("pid", "file")}
            yield OpenSession(pid=key.pid, file=key.file, **values)

    def forget_session(self, session: OpenSession) -> None:
        table = self._map("sessions")
        with contextlib.suppress(KeyError):
            del table[table.Key(session.file, session.pid, 0)]

    def counts(self) -> Counts:
        """The kernel's own counts, summed over its CPUs. They go on growing until `stop`."""
        table, names = self._map("counts"), self.layout.triggers
        values = [sum(cpus) for _, cpus in sorted((key.value, list(leaf)) for key, leaf in table.items())]

        def row(number: int) -> dict[str, int]:
            cells = values[number * COLUMNS : (number + 1) * COLUMNS]
            return {name: n for name, n in zip([*names, "life"], cells, strict=False) if n}

        ignored = {rule: cells for rule in range(_RULES) if (cells := row(_IGNORED + rule))}
        return Counts(row(_SEEN), row(_LOST), row(_UNEXPLAINED), ignored)

    def stop(self) -> None:
        """From here on nothing is reported or counted; what was can still be read."""
        table = self._map("config")
        config = table[table.Key(0)]
        config.off = 1
        table[table.Key(0)] = config
        time.sleep(_FINISHING)

    def close(self) -> None:
        """Lets go of everything in the kernel, without waiting for it.

        The kernel takes tens of milliseconds for each tracepoint it detaches, one after the other. So the descriptors
        are left to a child that does nothing but end: who closes them last is who waits.
        """
        if self._attached and os.fork() == 0:
            for name in os.listdir("/proc/self/fd"):
                with contextlib.suppress(OSError):
                    if not os.readlink(f"/proc/self/fd/{name}").startswith("anon_inode:"):
                        os.close(int(name))
            os._exit(0)
        self._attached.clear()
        self._bpf.cleanup()


class _quiet:
    """BCC and LLVM write to the process's standard error; this keeps it, to be quoted only if something failed."""

    def __enter__(self) -> _quiet:
        self._saved = os.dup(2)
        self._kept = os.memfd_create("panorama-said")
        os.dup2(self._kept, 2)
        self.text = ""
        return self

    def __exit__(self, *_: object) -> None:
        self.text = os.pread(self._kept, _MOST_SAID, max(0, os.fstat(self._kept).st_size - _MOST_SAID)).decode(
            errors="replace"
        )
        os.dup2(self._saved, 2)
        os.close(self._saved)
        os.close(self._kept)


def _reason(what: str, said: str) -> str:
    """One line: what failed, and what the compiler or the verifier said about it: its first error or its last word."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    verdict = [line for line in lines if not line.startswith(("processed ", "HINT:", "bpf: "))]
    detail = (errors or verdict[-1:] or lines[-1:] or ["no reason given"])[0]
    return " ".join(f"{what} ({detail}); see: panorama doctor".split())
