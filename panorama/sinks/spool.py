# SPDX-License-Identifier: Apache-2.0
"""What has to outlive the process, in one SQLite file: lines that wait for their receivers, and how far numbering came.

Everything written since the last `commit` goes to disk in one transaction, so lines and the number of the last one
agree after kill -9 at any moment; after a power failure the last moments may be missing (write-ahead log, synchronous
NORMAL: sqlite.org/pragma.html), never an earlier part. A file that is damaged is put aside under another name and said.
What the disk has no room for waits in memory, a few MiB of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from ..errors import SinkError
from .queues import Waiting

__all__ = ["OnDisk", "Store"]

_SCHEMA = """
create table if not exists kept (name text primary key, value text not null) without rowid;
create table if not exists lines (
    sink text not null, number integer not null, since real not null, data blob not null, primary key (sink, number)
) without rowid;
"""
_VERSION = 1
_IN_MEMORY = 4 << 20  # bytes that may wait for the disk


class Store:
    """`path` and its directory are made if need be, for their owner alone. SinkError if that fails.

    `kept` holds small values by name: change it, and the next commit writes it. `damaged` is where an unreadable file
    was put, or "". Used by several threads.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.damaged = ""
        self.trouble = ""  # why the last commit failed
        self.kept: dict[str, Any] = {}
        self._kept: dict[str, Any] = {}
        self._lock = threading.RLock()
        self._fresh: list[tuple[str, int, float, bytes]] = []
        self._fresh_bytes = 0
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise SinkError(f"{self.path}: cannot be used: {error}") from None
            self._put_aside()
            self._database = self._open()
        except OSError as error:
            raise SinkError(f"{self.path}: cannot be made: {error.strerror}") from None

    def commit(self) -> bool:
        """Writes what came since the last commit. False if the disk would not: it stays in memory, see `trouble`."""
        with self._lock:
            changed = {name: value for name, value in self.kept.items() if self._kept.get(name) != value}
            if not self._fresh and not changed:
                return True
            try:
                with self._database:
                    self._database.executemany("insert into lines values (?, ?, ?, ?)", self._fresh)
                    self._database.executemany(
                        "insert or replace into kept values (?, ?)",
                        [(name, json.dumps(value)) for name, value in changed.items()],
                    )
            except sqlite3.Error as error:
                self.trouble = str(error)
                return False
            self._fresh.clear()
            self._fresh_bytes = 0
            self._kept |= changed
            self.trouble = ""
            return True

    def close(self) -> None:
        """Commits; what the disk will not take is lost."""
        self.commit()
        with self._lock:
            self._database.close()

    def _open(self) -> sqlite3.Connection:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.close(descriptor)
        database = sqlite3.connect(self.path, check_same_thread=False, timeout=5)
        try:
            database.execute("pragma journal_mode = wal")
            database.execute("pragma synchronous = normal")
            database.execute("pragma cache_size = -512")
            (version,) = database.execute("pragma user_version").fetchone()
            if version not in (0, _VERSION):
                raise SinkError(f"{self.path}: written by another version of Panorama; move it away")
            database.executescript(_SCHEMA)
            database.execute(f"pragma user_version = {_VERSION}")
            self._kept = {name: json.loads(value) for name, value in database.execute("select * from kept")}
            database.execute("select count(*) from lines").fetchone()
        except BaseException:
            database.close()
            raise
        self.kept = dict(self._kept)
        return database

    def _put_aside(self) -> None:
        self.damaged = f"{self.path}.damaged-{time.time_ns()}"
        os.rename(self.path, self.damaged)
        for end in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.path}{end}")


class OnDisk:
    """The queue of one sink in a Store, of at most `limit` bytes."""

    def __init__(self, store: Store, sink: str, limit: int) -> None:
        self.limit = limit
        self._store = store
        self._sink = sink
        row = store._database.execute(
            "select count(*), coalesce(sum(length(data)), 0), coalesce(max(number), 0) from lines where sink = ?",
            (sink,),
        ).fetchone()
        self.lines, self.size, last = row
        self._next = max(last, int(store.kept.get(f"number {sink}", 0))) + 1

    @property
    def oldest(self) -> float:
        first = self.take(0, 1, 0)
        return first[0].since if first else 0.0

    def put(self, data: bytes, since: float) -> bool:
        store = self._store
        with store._lock:
            full = store.trouble and store._fresh_bytes + len(data) > _IN_MEMORY
            if full or (self.lines and self.size + len(data) > self.limit):
                return False
            store._fresh.append((self._sink, self._next, since, data))
            store._fresh_bytes += len(data)
            store.kept[f"number {self._sink}"] = self._next
            self._next += 1
            self.lines += 1
            self.size += len(data)
            return True

    def commit(self) -> None:
        self._store.commit()

    def take(self, after: int, most_lines: int, most_bytes: int) -> list[Waiting]:
        taken: list[Waiting] = []
        size = 0
        query = "select number, since, data from lines where sink = ? and number > ? order by number limit ?"
        with self._store._lock:
            for row in self._store._database.execute(query, (self._sink, after, most_lines)):
                size += len(row[2])
                if taken and size > most_bytes:
                    break
                taken.append(Waiting(*row))
        return taken

    def done(self, number: int) -> None:
        counting = "select count(*), coalesce(sum(length(data)), 0) from lines where sink = ? and number <= ?"
        store, given = self._store, (self._sink, number)
        with store._lock:
            try:
                with store._database:
                    lines, size = store._database.execute(counting, given).fetchone()
                    store._database.execute("delete from lines where sink = ? and number <= ?", given)
            except sqlite3.Error as error:  # the next call takes these as well; after a restart they would come twice
                store.trouble = str(error)
                return
            self.lines -= lines
            self.size -= size
