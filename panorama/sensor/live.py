# SPDX-License-Identifier: Apache-2.0
"""The sensor as the rest of Panorama sees it: events, losses and records held back, in order, from the kernel."""

from __future__ import annotations

import contextlib
import os
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import replace

import psutil

from ..event import Event, File, Item, Loss, Process, ProcessKey
from ..sequence import InOrder
from ..tally import added
from .decode import Decoder, Undecodable, file_kind, session_calls, session_steps
from .held import HeldBack
from .kernel import Demand, Kernel, OpenSession
from .logins import Logins
from .processes import Processes, container_in
from .trees import trees

__all__ = ["Sensor"]

_SCAN_EVERY = 10 * 10**9  # ns between looks for sessions that have been open for long
_FORGET_USERS = 60 * 10**9
_MOST_REPORTED = 16384
_MOST_LATEST = 16384  # processes
_CLOSE = 20_000_000  # ns: /proc has starts in hundredths of a second

_SessionKey = tuple[int, int, int]  # pid, began (ns since boot), inode


class Sensor:
    """Use as a context manager: `start`, then `poll` for what came, `stop` once, which also gives what is still open.

    `ignores` says whether a rule leaves an event out: it decides only whether a session that is still open is worth
    reporting early. `long_open` is after how many seconds it is. The limits are in records a second, for each process
    and for all together; 0 is none; `kernel.limit` changes them. Raises CannotSense.
    """

    def __init__(
        self,
        demand: Demand,
        ignores: Callable[[Event], bool] = lambda _: False,
        follow: bool = False,
        long_open: float = 30.0,
        ring_pages: int = 4096,
        process_limit: int = 0,
        global_limit: int = 0,
    ) -> None:
        self.kernel = Kernel(
            demand, ring_pages=ring_pages, follow=follow, process_limit=process_limit, global_limit=global_limit
        )
        self.processes = Processes()
        self.skipped = 0
        self.lost: dict[str, int] = {}  # what this side lost: sessions whose file could not be named any more
        self.unexplained: dict[str, int] = {}
        self.ignored: dict[int, dict[str, int]] = {}
        self._demand = demand
        self._ignores = ignores
        self._follow = follow
        self._long_open = int(long_open * 1e9)
        self._scan_every = min(_SCAN_EVERY, self._long_open // 2)
        self._cpus: defaultdict[int, InOrder[None]] = defaultdict(lambda: InOrder(0))
        self._lost_records = self._missed = 0
        self._reported: OrderedDict[_SessionKey, OpenSession] = OrderedDict()
        self._latest: dict[int, Process] = {}
        self._logins = Logins()
        self._held = HeldBack(self.kernel)
        self._offset = _boot_offset()
        self._scanned = self._users_forgotten = time.monotonic_ns()
        self._trees = trees()
        self._decoder = Decoder(
            self.kernel.layout,
            self.processes,
            self._offset,
            self._trees,
            demand.counted,
        )

    def __enter__(self) -> Sensor:
        return self

    def __exit__(self, *_: object) -> None:
        self.kernel.close()
        for tree in self._trees.values():
            tree.close()

    def start(self) -> None:
        """Attaches, then reads the processes there are: what happens in between is known from both."""
        self.kernel.attach()
        self.processes.read_running()
        self._logins.read(self.processes.older)

    def wake_on(self, descriptor: int, act: Callable[[], object]) -> None:
        """Ends a wait of `poll` when there is something to read on the descriptor, and calls `act`, which reads it."""
        self.kernel.wake_on(descriptor, act)

    def follow(self, pid: int) -> None:
        """In a sensor that follows: report this process from now on, and those it forks."""
        self.processes.read(pid)
        self._logins.read(self.processes.older, pid)
        self.kernel.follow(pid)

    def poll(self, timeout: float) -> list[Item]:
        """What has come, after at most `timeout` seconds of waiting; less if a look at a table of the kernel is due."""
        due, now = self._scanned + self._scan_every, time.monotonic_ns()
        if now >= self._held.due:
            self._held.look(now)
        records = self.kernel.records(min(timeout, max(0, min(due, self._held.due) - now) / 1e9))
        self._keep_time()
        items = self._decode(records)
        items = self._newly_lost(items) + self._newly_missed(items) + items
        if not self.kernel.behind:
            items += self._held.found(time.time_ns(), self._named)
        now = time.monotonic_ns()
        if now >= due:
            self._scanned = now
            items += self._long_sessions()
        if now - self._users_forgotten >= _FORGET_USERS:
            self._users_forgotten = now
            self._decoder.forget_users()
        return items

    def stop(self) -> list[Item]:
        """Detaches; returns what was under way and every session that is still open."""
        self.kernel.stop()
        items: list[Item] = []
        self._held.look(time.monotonic_ns())
        while records := self.kernel.take():
            items += self._decode(records)
        items = self._newly_missed(items) + items
        now = time.time_ns()
        for cpu, sequence in enumerate(self.kernel.sequences()):
            items += self._missing(cpu, sequence, now)
        items += self._held.found(now, self._named)
        for session in self.kernel.open_sessions():
            items += self._left_open(session)
        return items

    def _keep_time(self) -> None:
        offset = _boot_offset()
        if abs(offset - self._offset) > 1_000_000:  # somebody set the clock; small differences are our own reading
            self._offset = self._decoder.offset = offset

    def _decode(self, records: list[bytes]) -> list[Item]:
        items: list[Item] = []
        for tree in self._trees.values():
            tree.forget()
        decode, cpus, latest = self._decoder.decode, self._cpus, self._latest
        for record in records:
            try:
                event = decode(record)
            except Undecodable:
                self.skipped += 1
                continue
            cpu, sequence, process = event.cpu, event.sequence, event.process
            if sequence != cpus[cpu].expected:
                items += self._missing(cpu, sequence, event.time)
            cpus[cpu].expected += 1
            if self._logins.untold and latest.get(process.pid) is not process:
                items += self._logins.members(process, event.time, self._named)
            if self._decoder.held:
                items += self._held.carried(process, self._decoder.held, event.time)
                self._decoder.held = None
            if "exit" in event.triggers:
                latest.pop(process.pid, None)
            else:
                latest[process.pid] = process
                if len(latest) > _MOST_LATEST:
                    del latest[next(iter(latest))]
            items.append(self._rest(event) if self._reported and event.triggers[-1] == "close" else event)
        if self._decoder.unfinished:
            gone, self._decoder.unfinished = self._decoder.unfinished, set()
            for session in self.kernel.open_sessions():
                if session.pid in gone:
                    self._give_up(session)
        return items

    def _missing(self, cpu: int, sequence: int, now: int) -> list[Item]:
        """What is missing before this record of a cpu: its records come in order, what is not here by now is lost."""
        holes = self._cpus[cpu].skip(sequence)
        return [Loss(now, cpu, hole.first, hole.count, now - self._offset) for hole in holes]

    def _newly_lost(self, items: list[Item]) -> list[Item]:
        """Something was lost since the last look, and may belong before any of these.

        Of which cpu shows its next record, but by then others may have said what the lost one would have changed.
        """
        lost = self.kernel.lost()
        if lost == self._lost_records:
            return []
        self._lost_records = lost
        now = time.time_ns()
        return [Loss(items[0].time if items else now, -1, 0, 0, now - self._offset)]

    def _newly_missed(self, items: list[Item]) -> list[Item]:
        """The kernel skipped programs since the last look: before any of these, nobody knows where and for whom."""
        missed = self.kernel.missed()
        news, self._missed = missed - self._missed, missed
        if not news:
            return []
        now = time.time_ns()
        return [Loss(items[0].time if items else now, -1, 0, news, now - self._offset, missed=True)]

    def _give_up(self, session: OpenSession) -> None:
        """A session whose process is gone: its file has no name any more, so its syscalls are lost."""
        calls = _counted(session)
        if reported := self._reported.pop((session.pid, session.began, session.inode), None):
            calls = _less(calls, _counted(reported))
        self.lost = added(self.lost, calls)
        self.kernel.forget_session(session)

    def _long_sessions(self) -> list[Item]:
        """Sessions open for `long_open` and used, once each; what follows comes with their end.

        Where nothing is open that may come to that, there will be none for as long again.
        """
        items: list[Item] = []
        self._scan_every = self._long_open
        limit = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._long_open
        for session in self.kernel.open_sessions():
            key = (session.pid, session.began, session.inode)
            if session.began < limit and not os.path.exists(f"/proc/{session.pid}"):
                self._give_up(session)
                continue
            if key in self._reported or session.rule:
                continue
            if session.began > limit or not self._used(session):
                self._scan_every = min(_SCAN_EVERY, self._long_open // 2)
                continue
            event = self._open_event(session, final=False)
            if event and not self._ignores(event):
                self._reported[key] = session
                if len(self._reported) > _MOST_REPORTED:
                    self._reported.popitem(last=False)
                items.append(event)
        return items

    def _used(self, session: OpenSession) -> bool:
        flags = self.kernel.layout.flags
        made = session.flags & (flags["created"] | flags["truncated"])
        return bool(session.reads or session.writes or made or self._demand.untouched)

    def _left_open(self, session: OpenSession) -> list[Event]:
        reported = self._reported.get((session.pid, session.began, session.inode))
        calls = _counted(session)
        if reported:
            calls = _less(calls, _counted(reported))
        if session.rule:
            rule = (session.rule & 0x7FFFFFFF) - 1
            self.ignored[rule] = added(self.ignored.get(rule, {}), calls)
        elif not self._used(session) or (reported and not calls):
            self.unexplained = added(self.unexplained, calls)
        elif event := self._open_event(session, final=True):
            return [self._without(event, reported) if reported else event]
        else:
            self.lost = added(self.lost, calls)
        return []

    def _open_event(self, session: OpenSession, final: bool) -> Event | None:
        """An event of a session that the kernel still has; None if its process or file is gone by now."""
        process = self._process(session.pid)
        socket = _is_socket(session)
        path = "" if socket else _path_of(session)
        if process is None or path is None or socket:
            return None
        flags = self.kernel.layout.flags
        return Event(
            triggers=session_steps(socket, session.first_read, session.first_write),
            time=time.time_ns(),
            process=process,
            calls=_counted(session),
            began=session.began + self._offset,
            fd=session.fd,
            file=File(path, session.inode, session.device, file_kind(session.mode)),
            created=bool(session.flags & flags["created"]),
            truncated=bool(session.flags & flags["truncated"]),
            inherited=bool(session.flags & flags["inherited"]),
            bytes_read=session.bytes_read,
            bytes_written=session.bytes_written,
            final=final,
        )

    def _rest(self, event: Event) -> Event:
        """The end of a session, less what was reported of it before."""
        inode = event.file.inode if event.file else 0
        reported = self._reported.pop((event.process.pid, event.began - self._offset, inode), None)
        return self._without(event, reported) if reported else event

    def _without(self, event: Event, reported: OpenSession) -> Event:
        calls = _less(event.calls, _counted(reported))
        moved = [name for name in event.triggers if name in calls and name not in ("open", "close")]
        return replace(
            event,
            triggers=("open", *moved, "close") if moved else ("close",),
            calls=calls,
            created=False,
            truncated=False,
            inherited=True,
            bytes_read=event.bytes_read - reported.bytes_read,
            bytes_written=event.bytes_written - reported.bytes_written,
        )

    def _named(self, key: ProcessKey) -> Process:
        """The process with this key; one that has ended by now has no more than what it ran."""
        found = self._process(key[0])
        if found and abs(found.start - key[1]) <= _CLOSE:
            return replace(found, start=key[1])
        image = self.processes.image(key, (0, 0))
        return Process(*key, exe=image.exe, argv=image.argv)

    def _process(self, pid: int) -> Process | None:
        known = self._latest.get(pid)
        if known:
            return known
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            with process.oneshot():
                start = round((process.create_time() - psutil.boot_time()) * 100) * 10**7
                uids = process.uids()
                image = self.processes.image((pid, start), (0, 0))
                return Process(
                    pid=pid,
                    start=start,
                    ppid=process.ppid(),
                    uid=uids.real,
                    euid=uids.effective,
                    user=self.processes.user(uids.real),
                    command=_text(f"/proc/{pid}/comm").rstrip("\n"),
                    exe=image.exe,
                    argv=image.argv,
                    container=container_in(_text(f"/proc/{pid}/cgroup")),
                )
        return None


def _boot_offset() -> int:
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _is_socket(session: OpenSession) -> bool:
    return file_kind(session.mode) == "socket"


def _counted(session: OpenSession) -> dict[str, int]:
    return session_calls(_is_socket(session), session.opens, session.reads, session.writes)


def _less(calls: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {name: rest for name, n in calls.items() if (rest := n - before.get(name, 0)) > 0}


def _path_of(session: OpenSession) -> str | None:
    """The path of an open file, by a descriptor of the process that still is that file; None if there is none."""
    folder = f"/proc/{session.pid}/fd"
    with contextlib.suppress(OSError):
        for name in [str(session.fd), *os.listdir(folder)]:
            with contextlib.suppress(OSError):
                found = os.stat(f"{folder}/{name}")
                # btrfs gives each subvolume an st_dev of its own: for the session's own descriptor it need not agree
                same = name == str(session.fd) or _device(found.st_dev) == session.device
                if same and found.st_ino == session.inode:
                    path = os.readlink(f"{folder}/{name}")
                    return path.removesuffix(" (deleted)") if found.st_nlink == 0 else path
    return None


def _device(number: int) -> int:
    """stat(2)'s st_dev the way the kernel keeps it in s_dev."""
    return os.major(number) << 20 | os.minor(number)
