# SPDX-License-Identifier: Apache-2.0
"""What has to outlive the process, in one SQLite file: lines that wait for their receivers, and how far numbering came.

Everything given since the last `commit` is written in one transaction, so lines and the numbers kept beside them agree
after kill -9 at any moment. After a power failure the last moments may be missing, never an earlier part (write-ahead
log, synchronous = NORMAL: sqlite.org/pragma.html). Who commits does not wait long for a disk that syncs: the thread
that has the database writes what was committed before it lets go. What lines are for is not known here; their queues
are in spool.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import SinkError
from ..reading.trust import distrust

__all__ = ["Part", "Store", "Table"]

_VERSION = 1
_SCHEMA = f"""
begin;
create table kept (name text primary key, value text not null) without rowid;
create table sinks (id integer primary key, name text not null unique, last integer not null);
pragma user_version = {_VERSION};
commit;
"""
_LOG = 4 << 20  # bytes, about: a write-ahead log of that length is copied into the file by a thread that ships
_LONGEST_LOG = 32 << 20  # and of that length also by the one that commits
_TRANSACTION = 16 << 10  # bytes that a transaction takes in the log beside its lines, about
_SPARE = 1024  # free pages that the file may keep
_FREED_AT_ONCE = 4096  # pages given back to the file system in one go
_COMMIT = 0.05  # s that a commit may wait for a thread which has the database
_OTHER = 2.0  # s for another Panorama to end


@dataclass(frozen=True, slots=True)
class Table:
    """One sink's table as it was found: what waits in it, and the last number that was given."""

    id: int
    lines: int = 0
    size: int = 0
    oldest: float = 0.0
    last: int = 0

    @property
    def name(self) -> str:
        return f"lines_{self.id}"


class Part(Protocol):
    """Who has rows to write: the queue of a sink."""

    lines: int

    def seal(self) -> None:
        """What was put so far belongs to the next transaction. Called with `memory` held."""
        ...

    def due(self) -> bool:
        """Whether something sealed is not on disk."""
        ...

    def write(self, database: sqlite3.Connection) -> int:
        """Writes it, inside a transaction; how many bytes that was."""
        ...

    def written(self) -> None:
        """That transaction is on disk. Called with `memory` held."""
        ...


class Store:
    """`path` and its directory are made if need be, for their owner alone. SinkError if they cannot be used.

    `kept` holds small values by name: change it, and the next commit writes it. `damaged` is where an unreadable file
    was put, or "". `trouble` is why the disk does not take what was committed, or "". For one process, and any number
    of threads; `kept` and `commit` are for the one that watches.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.damaged = ""
        self.trouble = ""
        self.kept: dict[str, Any] = {}
        self.memory = threading.Lock()  # what is put, sealed and taken; held for moments
        self._disk = threading.Lock()  # the database; held while the disk syncs. Taken before `memory`
        self._parts: list[Part] = []
        self._tables: dict[str, Table] = {}  # of sinks that nobody has asked for
        self._logged = 0  # bytes since the log was last copied
        try:
            self._make_file()
            self._database = self._open()
        except sqlite3.OperationalError as error:
            raise SinkError(f"{self.path}: {_reason(error)}") from None
        except (sqlite3.DatabaseError, ValueError):  # no database, or a damaged one
            self._put_aside()
            self._make_file()
            self._database = self._open()
        self._sealed = {name: json.dumps(value) for name, value in self.kept.items()}
        self._due: dict[str, str] = {}  # what of it is not on disk

    def commit(self) -> bool:
        """Writes what came since the last commit. False if it is only in memory yet: a slow disk, or `trouble`."""
        texts = {name: json.dumps(value) for name, value in self.kept.items()}
        with self.memory:
            for part in self._parts:
                part.seal()
            self._due |= {name: text for name, text in texts.items() if self._sealed.get(name) != text}
            self._sealed = texts
        if not self._disk.acquire(timeout=_COMMIT):
            return False
        try:
            done = self._write()
            self._tidy(_LONGEST_LOG)
        finally:
            self._disk.release()
        return done

    def close(self) -> None:
        """Commits; what the disk will not take is lost."""
        self.commit()
        with self._disk:
            self._database.close()

    def elsewhere(self) -> dict[str, int]:
        """How many lines wait for sinks, by name, that no queue was made for: the configuration no longer has them."""
        return {sink: table.lines for sink, table in self._tables.items() if table.lines}

    def join(self, sink: str, part: Part) -> Table:
        """The sink's table. From now on `part` is asked for what it has to write."""
        with self._disk:
            table = self._tables.pop(sink, None) or self._new_table(sink)
        with self.memory:
            self._parts.append(part)
        return table

    @contextlib.contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """The database for this thread alone, with all that is due in it. An error ends the block, and is `trouble`."""
        with self._disk:
            self._write()
            try:
                yield self._database
            except sqlite3.Error as error:
                self.trouble = _reason(error)
            done = self._write()
            self._shrink()
            self._tidy(_LOG)
        # who committed meanwhile relies on the thread that had the database
        while done and self._is_due() and self._disk.acquire(blocking=False):
            try:
                done = self._write()
            finally:
                self._disk.release()

    def _is_due(self) -> bool:
        return bool(self._due) or any(part.due() for part in self._parts)

    def _write(self) -> bool:
        """Whether all that is due could be written."""
        if not self._is_due():
            return True
        with self.memory:
            kept, parts = dict(self._due), list(self._parts)
        try:
            with self._database:
                size = sum(part.write(self._database) for part in parts)
                self._database.executemany("insert or replace into kept values (?, ?)", kept.items())
        except sqlite3.Error as error:
            self.trouble = _reason(error)
            self._logged = max(self._logged, _LOG)  # once it is copied, the log may have room again
            return False
        self.trouble = ""
        self._logged += size + _TRANSACTION
        with self.memory:
            for part in parts:
                part.written()
            for name, text in kept.items():
                if self._due[name] == text:
                    del self._due[name]
        return True

    def _shrink(self) -> None:
        """Where no lines wait, gives back some of the room that they took."""
        if any(part.lines for part in self._parts):
            return
        with contextlib.suppress(sqlite3.Error):  # no room to make room; later
            (free,) = self._database.execute("pragma freelist_count").fetchone()
            if free > _SPARE:
                self._database.executescript(f"pragma incremental_vacuum({_FREED_AT_ONCE})")
                self._logged = max(self._logged, _LOG)  # the file gets shorter when the log is copied

    def _tidy(self, log: int) -> None:
        """Copies a log of that length into the file."""
        if self._logged >= log:
            self._logged = 0
            with contextlib.suppress(sqlite3.Error):  # no room: the log holds it until there is
                self._database.execute("pragma wal_checkpoint(passive)").fetchall()

    def _make_file(self) -> None:
        folder = self.path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # never opened here if it is there: closing it would drop SQLite's locks (fcntl(2))
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            found = os.lstat(self.path)
            if not stat.S_ISREG(found.st_mode):
                raise SinkError(f"{self.path}: is no file; move it away")
            for path, status in ((folder, os.stat(folder)), (self.path, found)):
                if wrong := distrust(str(path), status, os.geteuid(), os.environ):
                    raise SinkError(f"{path}: {wrong[0]}; try: {wrong[1]}")
            if not os.access(self.path, os.R_OK | os.W_OK):
                raise SinkError(f"{self.path}: cannot be written")
        except OSError as error:
            raise SinkError(f"{self.path}: cannot be made: {error.strerror}") from None

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, check_same_thread=False, timeout=_OTHER)
        try:
            # first of all: one process at a time, and no shared memory that a full disk has no room for
            database.execute("pragma locking_mode = exclusive").fetchall()
            if not self.path.stat().st_size:
                database.execute("pragma auto_vacuum = incremental")
            database.execute("pragma journal_mode = wal").fetchall()
            for pragma in ("synchronous = normal", "wal_autocheckpoint = 0", f"journal_size_limit = {_LOG}"):
                database.execute(f"pragma {pragma}").fetchall()
            database.execute("pragma cache_size = -512")
            (version,) = database.execute("pragma user_version").fetchone()
            if version == 0:
                database.executescript(_SCHEMA)
            elif version != _VERSION:
                raise SinkError(f"{self.path}: written by another version of Panorama; move it away")
            self.kept = {name: json.loads(text) for name, text in database.execute("select * from kept")}
            sinks = database.execute("select name, id, last from sinks").fetchall()
            self._tables = {name: _found(database, Table(id, last=last)) for name, id, last in sinks}
        except BaseException:
            database.close()
            raise
        return database

    def _new_table(self, sink: str) -> Table:
        try:
            with self._database:
                inserted = self._database.execute("insert into sinks (name, last) values (?, 0)", (sink,))
                table = Table(inserted.lastrowid or 0)
                columns = "number integer primary key, since real not null, data blob not null"
                self._database.execute(f"create table {table.name} ({columns})")
        except sqlite3.Error as error:
            raise SinkError(f"{self.path}: {_reason(error)}") from None
        return table

    def _put_aside(self) -> None:
        self.damaged = f"{self.path}.damaged-{time.time_ns()}"
        for end in ("-wal", ""):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{self.path}{end}", f"{self.damaged}{end}")


def _found(database: sqlite3.Connection, table: Table) -> Table:
    """Reads all of the table but the lines themselves, so that damage shows now."""
    query = f"select count(*), coalesce(sum(length(data)), 0), coalesce(min(since), 0.0) from {table.name}"
    lines, size, oldest = database.execute(query).fetchone()
    return Table(table.id, lines, size, oldest, table.last)


def _reason(error: sqlite3.Error) -> str:
    """For people."""
    known = {
        sqlite3.SQLITE_BUSY: "another Panorama uses it; stop that one, or give each its own spool folder",
        sqlite3.SQLITE_FULL: "the disk is full",
        sqlite3.SQLITE_CANTOPEN: "cannot be opened",
        sqlite3.SQLITE_CORRUPT: "is damaged; the next start puts it aside",
    }
    return known.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, str(error))
