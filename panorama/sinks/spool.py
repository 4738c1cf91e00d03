# SPDX-License-Identifier: Apache-2.0
"""The queue of a sink whose lines wait on disk, in a Store.

They are on disk once committed. What the disk does not take waits in memory, a few MiB of it, and is shipped from
there: a full disk stops no line whose receiver is up.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from itertools import takewhile

from .queues import Waiting
from .store import Store

__all__ = ["OnDisk", "Store"]

_IN_MEMORY = 4 << 20  # bytes that may wait for the disk


class OnDisk:
    """The queue named `sink` in a store, of at most `limit` bytes; it finds what an earlier process left."""

    def __init__(self, store: Store, sink: str, limit: int) -> None:
        self.limit = limit
        self._store = store
        table = store.join(sink, self)
        self._id, self._table = table.id, table.name
        self.lines, self.size, self.oldest = table.lines, table.size, table.oldest
        self._fresh: deque[Waiting] = deque()  # put, and not on disk
        self._fresh_bytes = 0
        self._last = table.last  # number of the last line put
        self._sealed = table.last  # and of the last that was committed
        self._written = table.last  # and on disk
        self._done = 0  # the receiver has all up to this one
        self._deleted = 0  # and the disk has forgotten them
        self._writing = self._deleting = 0  # what `_written` and `_deleted` will be after this transaction

    def put(self, data: bytes, since: float) -> bool:
        if self._fresh_bytes + len(data) > _IN_MEMORY:
            self._store.commit()
        with self._store.memory:
            waits_for_disk = self._fresh and self._fresh_bytes + len(data) > _IN_MEMORY
            if waits_for_disk or (self.lines and self.size + len(data) > self.limit):
                return False
            self._last += 1
            self._fresh.append(Waiting(self._last, since, data))
            self._fresh_bytes += len(data)
            self.oldest = self.oldest if self.lines else since
            self.lines += 1
            self.size += len(data)
            return True

    def commit(self) -> None:
        self._store.commit()

    def take(self, after: int, most_lines: int, most_bytes: int) -> list[Waiting]:
        taken: list[Waiting] = []
        size = 0
        after = max(after, self._done)
        query = f"select number, since, data from {self._table} where number > ? order by number limit ?"
        with self._store.database() as database:
            for row in database.execute(query, (after, most_lines)):
                size += len(row[2])
                if taken and size > most_bytes:
                    return taken
                taken.append(Waiting(*row))
            with self._store.memory:
                in_memory = self._committed()
            for item in in_memory:
                if item.number > after:
                    size += len(item.data)
                    if taken and (size > most_bytes or len(taken) == most_lines):
                        return taken
                    taken.append(item)
        return taken

    def done(self, number: int) -> None:
        sums = "count(*), coalesce(sum(length(data)), 0)"
        counting = f"select {sums} from {self._table} where number > ? and number <= ?"
        following = f"select since from {self._table} where number > ? order by number limit 1"
        with self._store.database() as database:
            lines, size = database.execute(counting, (self._done, number)).fetchone()
            first = database.execute(following, (number,)).fetchone()
            with self._store.memory:
                self._done = number
                while self._fresh and self._fresh[0].number <= number:
                    lines += 1
                    size += self._pop()
                self.lines -= lines
                self.size -= size
                self.oldest = first[0] if first else self._fresh[0].since if self._fresh else 0.0

    # what the store asks for

    def seal(self) -> None:
        self._sealed = self._last

    def due(self) -> bool:
        return self._written < self._sealed or self._deleted < self._done

    def write(self, database: sqlite3.Connection) -> int:
        with self._store.memory:
            lines = self._committed()
            self._writing, self._deleting = self._sealed, self._done
        if self._deleted < self._deleting:
            database.execute(f"delete from {self._table} where number <= ?", (self._deleting,))
        rows = ((item.number, item.since, item.data) for item in lines)
        database.executemany(f"insert into {self._table} values (?, ?, ?)", rows)
        database.execute("update sinks set last = ? where id = ?", (self._writing, self._id))
        return sum(len(item.data) for item in lines)

    def written(self) -> None:
        self._written, self._deleted = self._writing, self._deleting
        while self._fresh and self._fresh[0].number <= self._written:
            self._pop()

    def _committed(self) -> list[Waiting]:
        """What was committed and is not on disk."""
        return list(takewhile(lambda item: item.number <= self._sealed, self._fresh))

    def _pop(self) -> int:
        size = len(self._fresh.popleft().data)
        self._fresh_bytes -= size
        return size
