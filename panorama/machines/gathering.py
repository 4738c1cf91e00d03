# SPDX-License-Identifier: Apache-2.0
"""What a machine gathers under one name: different values, counted, the first of them kept."""

from __future__ import annotations

from typing import Any

from ..event import File
from ..output.line import Gathered

__all__ = ["Gathering"]

_MOST_VALUES = 64
_MOST_DIFFERENT = 4096  # as many are told apart; from then on every one counts


class Gathering:
    """Files are the same if their paths are. `gathered` is what there is by now."""

    __slots__ = ("_seen", "_tops", "_values", "count")

    def __init__(self) -> None:
        self.count = 0
        self._values: list[Any] = []
        self._tops: dict[Any, Any] = {}  # by path
        self._seen: set[Any] = set()

    def add(self, value: Any) -> None:
        """None is no value."""
        known = value.path if isinstance(value, File) else value
        if known is None or known in self._seen:
            return
        self.count += 1
        if len(self._seen) < _MOST_DIFFERENT:
            self._seen.add(known)
        if len(self._values) < _MOST_VALUES:
            self._values.append(value)
        self._rise(known, value)

    def _rise(self, known: Any, value: Any) -> None:
        """Keeps the paths that are below no other."""
        if not isinstance(value, File):
            return
        folder = known.rpartition("/")[0]
        while folder:
            if folder in self._tops:
                return
            folder = folder.rpartition("/")[0]
        below = f"{known}/"
        self._tops = {path: top for path, top in self._tops.items() if not path.startswith(below)}
        if len(self._tops) < _MOST_VALUES:
            self._tops[known] = value

    @property
    def top(self) -> Gathered:
        """Of the paths those that are below no other one, so many as are kept; everything else is."""
        return Gathered(tuple(self._tops.values()), len(self._tops))

    @property
    def gathered(self) -> Gathered:
        return Gathered(tuple(self._values), self.count)
