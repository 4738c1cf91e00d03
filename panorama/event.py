# SPDX-License-Identifier: Apache-2.0
"""What the sensor reports: events, and the processes, files and addresses in them.

Nothing here knows how an event was sensed (sensor/) or what is made of it (machines/). Users say "pid" for what
the kernel calls tgid, so these names do too. Times are nanoseconds since 1970-01-01 UTC unless said otherwise.
Text that came as bytes (paths, commands, arguments) is decoded as UTF-8 with surrogateescape, so nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Address", "Event", "File", "Held", "Item", "Login", "Loss", "Member", "Process", "ProcessKey"]

ProcessKey = tuple[int, int]  # pid, start: a bare pid is reused, this pair is not


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it was when the event happened; an exec or a rename makes another value with the same key."""

    pid: int
    start: int  # ns since boot (task_struct.start_boottime)
    ppid: int = 0
    parent_start: int = 0
    uid: int = 0  # real uid
    euid: int = 0
    login_uid: int = -1  # the audit uid: who logged in, whatever sudo made of them since; -1 if nobody did
    user: str = ""  # the name of uid, or the number as text where it has none
    command: str = ""  # comm of the thread group leader
    exe: str = ""  # absolute path of the executable, empty where it could not be learned
    argv: tuple[str, ...] = ()
    container: str = ""  # container id, empty on the host itself
    parent_exe: str = ""  # what the parent ran when it made this process
    parent_argv: tuple[str, ...] = ()

    @property
    def key(self) -> ProcessKey:
        return (self.pid, self.start)


@dataclass(frozen=True, slots=True)
class File:
    """One name of one file.

    `mark` says how far the path can be trusted: "" is exact; "cut" has lost its beginning (too deep or long), and
    then starts with ".../"; "given" is what the program passed, made absolute, its symbolic links not followed;
    "unreachable" has no place in the tree (memfd, lazily unmounted); "lost" is a directory whose last
    part, the program's own text, could not be read.
    """

    path: str
    inode: int = 0  # 0 where it is not known
    device: int = 0  # st_dev of the file system, major << 20 | minor as the kernel keeps it
    kind: str = ""  # file, directory, fifo, socket, block, character, link; empty where it is not known
    mark: str = ""

    @property
    def name(self) -> str:
        """The last component; the path itself for the root directory."""
        return self.path.rstrip("/").rpartition("/")[2] or self.path


@dataclass(frozen=True, slots=True)
class Address:
    """One end of a connection. A UNIX address has a path ("@name" if abstract, "" if unnamed) and port 0."""

    family: str  # inet, inet6, unix
    host: str
    port: int = 0

    def __str__(self) -> str:
        if self.family == "unix":
            return self.host or "unnamed"
        return f"[{self.host}]:{self.port}" if self.family == "inet6" else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Login:
    """The login over the network that a process belongs to: where it came from, and whose it is ("" until known)."""

    remote: Address
    user: str = ""


@dataclass(slots=True)
class Event:
    """One syscall, or one session that stands for many of them: `triggers` are its steps in order.

    A point event has one trigger ("unlink"). A session event comes when a file or connection is released (or has
    been open for long) and has several: ("open", "read", "close"). `calls` says how many syscalls of each trigger
    it accounts for, which is what the sums at the end are made of.
    """

    triggers: tuple[str, ...]
    time: int
    process: Process
    calls: dict[str, int]
    sequence: int = 0  # counts up per cpu, taken before the record was stored: a gap is a loss
    cpu: int = 0
    began: int = 0  # first touch of the session; equals time for a point event
    fd: int = -1
    file: File | None = None
    to: File | None = None  # the new name of rename and link; what a symlink points to is `target`
    target: str = ""
    created: bool = False
    truncated: bool = False  # an existing file was emptied, at open or before its first write
    inherited: bool = False  # the descriptor was already open when it was first seen in this process
    eager: bool = False  # one step of a session, reported at once because a machine follows the whole process
    final: bool = True  # False: reported because it has been open for long; more may follow
    bytes_read: int = 0
    bytes_written: int = 0
    session: int = 0  # the socket's inode number, for connections
    local: Address | None = None
    remote: Address | None = None
    protocol: str = ""  # tcp, udp, unix-stream, unix-dgram, unix-seqpacket, or the kernel's number
    mode: int = -1  # new permission bits (chmod, mkdir)
    owner: int = -1  # new owner, -1 where it was left alone
    group: int = -1
    size: int = -1  # new size (truncate)
    status: int = 0  # wait(2) status (exit)
    child: int = 0  # pid of the new process (fork)
    # what is known from events before this one; no trace has it
    login: Login | None = field(default=None, compare=False, metadata={"derived": True})
    peer: Address | None = field(default=None, compare=False, metadata={"derived": True})
    ancestors: tuple[str, ...] = field(default=(), compare=False, metadata={"derived": True})  # what they run


@dataclass(frozen=True, slots=True)
class Loss:
    """`count` records of one cpu never arrived: those with sequence `first` to `first + count - 1`.

    With cpu -1 they are missing from the trace, and `first` counts its records. With `count` 0 it is only known that
    some are missing; which will be told. `missed` ones never had a sequence, for the kernel skipped `count` calls of
    the sensor: at most so many events, of any cpu (-1).
    """

    time: int
    cpu: int
    first: int
    count: int
    since_boot: int = 0  # ns: processes that started later cannot have lost anything; 0 where that is not known
    missed: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """`count` records of a process were held back in the kernel by a limit of `rate` records a second.

    They came before the process's next event. `process` is None where the kernel could not tell processes apart; then
    it is none that started later than `since_boot`.
    """

    time: int
    count: int
    rate: int
    process: Process | None = None
    everyone: bool = False  # the limit of all processes together, not the process's own
    since_boot: int = 0  # ns


@dataclass(frozen=True, slots=True)
class Member:
    """A process that was there before the sensor belongs to a login. Comes before the first event of the process."""

    time: int
    process: Process
    login: Login


Item = Event | Loss | Held | Member
