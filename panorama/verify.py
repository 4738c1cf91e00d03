# SPDX-License-Identifier: Apache-2.0
"""Whether shipped lines are complete and unaltered: per host, what is missing, what came twice, what does not fit.

Lines may come in any order, from any number of hosts, in any format that carries their identity. A line names the one
before it (its sequence less one, or `previous`), so what is missing is noticed by its successor. The first line that is
there counts as the beginning; that the end is there is shown by comparing the last sequence and chain with `panorama
status` on the host.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from .output.identity import Identity
from .service.chain import BLANK, link, own_hash

__all__ = ["Host"]


@dataclass(frozen=True, slots=True)
class _Seen:
    before: int  # sequence of the line before it
    own: str  # hash of the line itself
    chain: str  # what it claims; "" where lines are not chained
    place: str


class Host:
    """The lines of one host. `duplicates` are sequences that came again, `disagreeing` other lines that have one."""

    def __init__(self) -> None:
        self.duplicates: list[int] = []
        self.disagreeing: list[str] = []
        self._seen: dict[tuple[int, str], _Seen] = {}  # by sequence and boot id

    def add(self, line: Identity, place: str) -> None:
        """One line; `place` says where it stands."""
        blank = line.text.replace(line.chain, BLANK) if line.chain else line.text
        own = own_hash(line.host, line.boot_id, line.sequence, line.previous, blank)
        key = (line.sequence, line.boot_id)
        first = self._seen.get(key)
        if first is None:
            before = line.sequence - 1 if line.previous is None else line.previous
            self._seen[key] = _Seen(before, own, line.chain, place)
        elif first.own == own:
            self.duplicates.append(line.sequence)
        else:
            self.disagreeing.append(f"{place} (sequence {line.sequence} is also that of {first.place})")

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def first(self) -> int:
        return min(self._seen)[0]

    @property
    def last(self) -> tuple[int, str]:
        """Sequence and chain of the last line."""
        key = max(self._seen)
        return key[0], self._seen[key].chain

    @property
    def chained(self) -> bool:
        """Whether every line is."""
        return all(line.chain for line in self._seen.values())

    def gaps(self) -> list[tuple[int, int]]:
        """Between which two sequences that are there something is missing."""
        numbers = sorted({sequence for sequence, _ in self._seen})
        there = {0, *numbers}  # 0: nothing was before it
        return sorted(
            (numbers[bisect_left(numbers, sequence) - 1], sequence)
            for (sequence, _), line in self._seen.items()
            if line.before not in there and sequence != numbers[0]
        )

    def altered(self) -> list[str]:
        """Places of chained lines that are not what they were, or not behind the line they were behind."""
        chains = {sequence: line.chain for (sequence, _), line in self._seen.items()}
        chains.setdefault(0, "")
        return [
            line.place
            for _, line in sorted(self._seen.items())
            if line.chain and line.before in chains and link(chains[line.before], line.own) != line.chain
        ]
