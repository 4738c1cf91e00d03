# SPDX-License-Identifier: Apache-2.0
"""The sensor's kernel half: has bpf/ compiled, loads and attaches it, reads its ring buffer and its counts.

No kernel headers are needed: the compiler is pointed at bpf/headers, and offsets come from the kernel's BTF.
"""

from __future__ import annotations

import contextlib
import ctypes
import operator
import os
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CannotSense
from ..event import ProcessKey
from ..tally import added
from . import libbpf
from .btf import KernelTypes
from .bytecode import compiled
from .layout import Layout, LayoutError, read_layout
from .misses import Misses
from .numbers import number_of
from .probes import Probe, callers, needed, tail_calls
from .source import flags, served, text

__all__ = ["COLUMNS", "Counts", "Demand", "Kernel", "OpenSession", "PrefixRule"]

COLUMNS, _RECORDS = 32, 31  # bpf/record.h
_SEEN, _LOST, _UNEXPLAINED, _HELD, _IGNORED, _RULES = 0, 1, 2, 3, 4, 64
_SECOND = 10**9  # ns
_GATHER = 0.02  # s between the first record and reading: they come in batches, and one batch is one wake-up
_AT_ONCE = 8192  # records: some 3 MB
_FINISHING = 0.01  # s in which a probe that has begun is done; they run without preemption
_INTERRUPTS = "trace_call_bpf_faultable"  # in kernels where programs at syscalls' tracepoints run with preemption on
_TRACING = Path("/sys/kernel/tracing")
_SHARED = (0, 0, 0)  # the key in bpf/limit.h of those who have no bucket of their own


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
    own_changes: bool = True  # and so are mode and owner of a file that a process made and still has open
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
    held: dict[str, int] = field(default_factory=dict)
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


def _mount(kind: str, where: Path, probe: str) -> None:
    """Mounts a kernel file system if it is not there (mount(2))."""
    if (where / probe).exists():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", str(where).encode(), kind.encode(), 0, None):
        reason = os.strerror(ctypes.get_errno())
        raise CannotSense(f"{kind} cannot be mounted ({reason}); try: mount -t {kind} none {where}")


def _folder(probe: Probe) -> Path:
    return _TRACING / "events" / probe.tracepoint.replace(":", "/")


def _gap(rate: int) -> int:
    return max(1, _SECOND // rate) if rate else 0


class Kernel:
    """The sensor's kernel half. Use as a context manager; `attach` starts it, `records` reads, `stop` detaches.

    Raises CannotSense, in one line, where the machine or the user cannot run eBPF.
    """

    def __init__(
        self,
        demand: Demand,
        ring_pages: int = 4096,
        sessions: int = 65536,
        follow: bool = False,
        process_limit: int = 0,
        global_limit: int = 0,
    ) -> None:
        if os.geteuid() != 0:
            raise CannotSense("eBPF needs root; try: sudo panorama")
        self.layout: Layout = read_layout()
        self._demand = demand
        _mount("tracefs", _TRACING, "events")
        source = text()
        self._served = served(source)
        self._probes = needed(demand.counted, self._served, follow)
        self._attached: list[Probe] = []
        self.rates = (0, 0)  # the limits, of a process and of all; the last ones where there are none any more
        self.behind = False  # more records wait than were taken
        self._descriptors: list[int] = []  # of programs and tracepoints
        types = KernelTypes()
        options = flags(source, types, ring_pages, sessions, bool(demand.eager))
        self._interrupts = types.has(_INTERRUPTS)
        misses_at = types.offset("bpf_prog_info", "recursion_misses")
        types.close()
        self._code = compiled(source, options)
        self._compare_layout()
        self._lib = libbpf.library()
        self._misses = Misses(self._lib, misses_at)
        self._ring: libbpf.Ring | None = None
        self._maps = self._make_maps()
        self._configure(follow)
        self.limit(process_limit, global_limit)

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _compare_layout(self) -> None:
        """The compiler's idea of struct event must be ours."""
        told = self._code.maps["layout"]
        ours = self.layout
        if told.value_size != ours.size:
            raise LayoutError(f"bpf/event.h: {ours.size} bytes as read, {told.value_size} as compiled")
        compiled_at = {name: offset for name, offset, _ in told.value}
        for name, (offset, _) in ours.fields.items():
            if compiled_at.get(name) != offset:
                raise LayoutError(f"bpf/event.h: {name} is at {offset} as read, at {compiled_at.get(name)} as compiled")

    def _make_maps(self) -> dict[str, libbpf.Map]:
        try:
            return {
                name: libbpf.Map(
                    self._lib,
                    name,
                    shape.type,
                    libbpf.Shape(shape.key, shape.key_size),
                    libbpf.Shape(shape.value, shape.value_size),
                    shape.entries,
                    shape.flags,
                )
                for name, shape in self._code.maps.items()
            }
        except OSError as error:
            raise CannotSense(f"the kernel refuses an eBPF {error.strerror}; see: panorama doctor") from None

    def _configure(self, follow: bool) -> None:
        demand, number = self._demand, {name: i for i, name in enumerate(self.layout.triggers)}
        rules = [0] * 16
        for kind, rule in demand.kinds:
            rules[kind] = rule + 1
        self._config = {
            "off": 1,  # until all is attached: what only half of the probes saw does not add up
            "self": os.getpid(),
            "wanted": sum(1 << number[name] for name in demand.counted),
            "single": sum(1 << number[name] for name in demand.eager),
            "follow": int(follow),
            "untouched": int(demand.untouched),
            "own_changes": int(demand.own_changes),
            "sockets": int(demand.connections),
            "limited": 0,
        }
        self._kind_rule = rules
        for magic, rule, only_read in demand.filesystems:
            self._maps["ignored_filesystems"].set((magic,), (rule + 1, int(only_read)))
        for item in demand.prefixes:
            raw = os.fsencode(item.prefix) + (b"" if item.prefix.endswith("/") else b"\0")
            self._maps["ignored_prefixes"].set((len(raw) * 8, raw), (item.rule + 1, int(item.only_read)))

    def _write_config(self) -> None:
        table = self._maps["config"]
        values: list[int] = []
        for name in table.value.names:
            values += self._kind_rule if name == "kind_rule" else [self._config[name]]
        table.set((0,), tuple(values))

    def limit(self, process: int, everyone: int) -> None:
        """Records a second that a process may send, and all of them together; 0 is no limit. Holds from now on."""
        if (process or everyone) and not self._config["limited"]:
            self._config["limited"] = 1
            self._maps["buckets"].set(_SHARED, (0, 0, 0))
        self.rates = (process or self.rates[0], everyone or self.rates[1])
        self._config["gap"], self._config["global_gap"] = _gap(process), _gap(everyone)
        self._write_config()

    def attach(self) -> None:
        """Loads and attaches; from here on records come. Tracepoints this kernel lacks are left out (see `missing`)."""
        self.missing: list[str] = []
        try:
            self._attach()
            self._ring = libbpf.Ring(self._lib, self._maps["events"])
        except OSError as error:
            raise CannotSense(f"the kernel refuses the eBPF program {error.strerror}; see: panorama doctor") from None
        self._misses.begin()
        self._config["off"] = 0
        self._write_config()
        self._poll = select.epoll()
        self._wakes: dict[int, Callable[[], object]] = {}
        self._poll.register(self._maps["events"].fd, select.EPOLLIN)

    def _attach(self) -> None:
        by_number = {shape.number: self._maps[name].fd for name, shape in self._code.maps.items()}
        loaded: dict[str, int] = {}

        def program(function: str) -> int:
            if function not in loaded:
                code = self._code.programs[function].linked(by_number)
                loaded[function] = libbpf.load(self._lib, function, code)
                self._descriptors.append(loaded[function])
            return loaded[function]

        def attach(probe: Probe) -> None:
            self._descriptors.append(libbpf.attach_tracepoint(_folder(probe), program(probe.function)))
            self._misses.watch(program(probe.function))

        for number, function in tail_calls(self._served).items():
            self._maps["programs"].set((number,), (program(function),))
        for probe in self._probes:
            if not _folder(probe).exists():
                self.missing.append(probe.tracepoint)
                continue
            if self._interrupts and probe.syscall:
                side, name = probe.syscall
                self._maps[f"at_{side}"].set((number_of(name),), (program(probe.function),))
            else:
                attach(probe)
            self._attached.append(probe)
        if self._interrupts:
            for caller in callers(self._served):
                attach(caller)

    @property
    def tracepoints(self) -> list[str]:
        return [probe.tracepoint for probe in self._attached]

    def follow(self, pid: int) -> None:
        self._maps["followed"].set((pid,), (1,))

    def unfollow(self, pid: int) -> None:
        self._maps["followed"].delete((pid,))

    def following(self) -> int:
        """How many followed processes are alive. One whose end the kernel skipped is followed no more."""
        table, alive = self._maps["followed"], 0
        for (pid,) in {table.key.struct.unpack(key) for key in table.each_key()}:
            if os.path.exists(f"/proc/{pid}"):
                alive += 1
            else:
                self.unfollow(pid)
        return alive

    def records(self, timeout: float) -> list[bytes]:
        """What has come, after at most `timeout` seconds of waiting for a first record.

        At most so many that they are dealt with while there is room in the ring buffer for what comes meanwhile.
        """
        if not self.behind:
            for descriptor, _ in self._poll.poll(timeout):
                if descriptor == self._maps["events"].fd:
                    time.sleep(_GATHER)
                else:
                    self._wakes[descriptor]()
        records = self.take()
        self.behind = len(records) == _AT_ONCE
        return records

    def wake_on(self, descriptor: int, act: Callable[[], object]) -> None:
        """Ends a wait of `records` when there is something to read on the descriptor, and calls `act` to read it."""
        self._wakes[descriptor] = act
        self._poll.register(descriptor, select.EPOLLIN)

    def take(self) -> list[bytes]:
        """What has come, without waiting; if there are none, nothing is left."""
        return self._ring.take(_AT_ONCE) if self._ring else []

    def open_sessions(self) -> Iterator[OpenSession]:
        """The kernel's table of open sessions, as it is at the moment."""
        table = self._maps["sessions"]
        wanted = [name for name in OpenSession.__dataclass_fields__ if name not in ("pid", "file")]
        chosen = operator.itemgetter(*(table.value.names.index(name) for name in wanted))
        for (file, pid, *_), values in table.items():
            yield OpenSession(pid, file, *chosen(values))

    def forget_session(self, session: OpenSession) -> None:
        self._maps["sessions"].delete((session.file, session.pid, 0))

    @property
    def limited(self) -> bool:
        """Whether there is a rate limit, or was."""
        return self._config["limited"] != 0

    def held(self) -> int:
        """How many records rate limits held back so far."""
        return sum(self._maps["counts"].by_cpu(_HELD * COLUMNS + _RECORDS))

    def lost(self) -> int:
        """How many records found no room so far."""
        return sum(self._maps["counts"].by_cpu(_LOST * COLUMNS + _RECORDS))

    def missed(self) -> int:
        """How many calls of its programs the kernel skipped so far, of any process."""
        return self._misses.count()

    def sequences(self) -> tuple[int, ...]:
        """The sequence that each CPU's next record has."""
        return self._maps["sequences"].by_cpu(0)

    def held_by_process(self) -> dict[ProcessKey, tuple[int, int]]:
        """How many records of each process its own limit held back so far, and how many that of all.

        Those that share a bucket, because there are too many processes, have the key (0, 0).
        """
        items = self._maps["buckets"].items()
        return {(pid, start): (own, common) for (start, pid, _), (_, own, common) in items if own or common}

    def forget_held(self, process: ProcessKey) -> None:
        self._maps["buckets"].delete((process[1], process[0], 0))

    def counts(self) -> Counts:
        """The kernel's own counts, summed over its CPUs. They go on growing until `stop`."""
        names = self.layout.triggers
        values = self._maps["counts"].sums(range((_IGNORED + _RULES) * COLUMNS))

        def row(number: int) -> dict[str, int]:
            cells = values[number * COLUMNS : (number + 1) * COLUMNS]
            return {name: n for name, n in zip([*names, "life"], cells, strict=False) if n}

        ignored = {rule: cells for rule in range(_RULES) if (cells := row(_IGNORED + rule))}
        missed = {"missed": n} if (n := self.missed()) else {}
        return Counts(added(row(_SEEN), missed), added(row(_LOST), missed), row(_UNEXPLAINED), row(_HELD), ignored)

    def stop(self) -> None:
        """From here on nothing is reported or counted; what was can still be read."""
        self._config["off"] = 1
        self._write_config()
        self._misses.end()
        time.sleep(_FINISHING)

    def close(self) -> None:
        """Lets go of everything in the kernel, without waiting for it.

        The kernel takes tens of milliseconds for each tracepoint it detaches, one after the other. So the descriptors
        are left to a child that does nothing but end: who closes them last is who waits.
        """
        descriptors = [*self._descriptors, *(table.fd for table in self._maps.values())]
        if self._descriptors and os.fork() == 0:
            for name in os.listdir("/proc/self/fd"):
                if int(name) not in descriptors:
                    with contextlib.suppress(OSError):
                        os.close(int(name))
            os._exit(0)
        if self._ring:
            self._ring.close()
            self._poll.close()
        for descriptor in descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self._maps.clear()
        self._attached.clear()
