# SPDX-License-Identifier: Apache-2.0
"""Which machines missing records may have moved: lines of those are partial.

Where it is not known whose records are missing, those are the machines alive, and later ones of processes that had
begun by then, unless a machine of that behavior never stays in a state that a missing record could have led to. Where
it is known, they are the machines of that process, and of its ancestors those that listen to it.
"""

from __future__ import annotations

from ..event import Process, ProcessKey
from .compiler import Table
from .machine import ANYONE, Machine

__all__ = ["EVERY_TABLE", "Doubts"]

EVERY_TABLE = -1

_MOST = 16384  # processes
_FOREVER = 2**63
_NONE: dict[int, int] = {}


class Doubts:
    """`epoch` counts how often records were missing so far; a machine remembers the epoch in which it began."""

    def __init__(self) -> None:
        self.epoch = 0
        self._lost_at = 0  # the epoch of the last loss
        self._lost_until = 0  # ns since boot: processes that began earlier may have lost records
        self._owners: dict[ProcessKey, dict[int, int]] = {}  # epochs in which records for these tables were held back

    def all(self, until: int) -> None:
        """Records of anybody are missing who began before `until` (ns since boot; 0 if that is not known)."""
        self._lost_at = self.epoch
        self._lost_until = max(self._lost_until, until or _FOREVER)

    def one(self, owner: ProcessKey, table: int) -> None:
        """Records for one process's machines of a table, or of EVERY_TABLE, are missing."""
        self._owners.setdefault(owner, {})[table] = self.epoch
        if len(self._owners) > _MOST:
            self.all(max(start for _, start in self._owners) + 1)
            self._owners.clear()

    def forget(self, owner: ProcessKey) -> None:
        """The process has ended."""
        self._owners.pop(owner, None)

    def about(self, machine: Machine) -> bool:
        """Whether records are missing that could have moved it since it began."""
        if machine.partial or machine.epoch < self._lost_at:
            return True
        doubts = self._owners.get(machine.owner, _NONE)
        return machine.epoch < max(doubts.get(EVERY_TABLE, 0), doubts.get(machine.table.number, 0))

    def before(self, owner: Process, table: Table) -> bool:
        """Whether a missing record may have moved a machine before: its first state is then not known to be that."""
        if not table.lasting:
            return False
        if owner.start < self._lost_until or (table.anyones and self._lost_at):
            return True
        doubts = self._owners.get(ANYONE if table.anyones else owner.key, _NONE)
        return EVERY_TABLE in doubts or table.number in doubts
