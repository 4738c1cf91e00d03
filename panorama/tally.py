# SPDX-License-Identifier: Apache-2.0
"""The sums: every syscall the sensor saw is in a line, ignored by a named rule, unexplained, held back, or lost.

Counts come from three places that do not know each other (the kernel, the ignore rules, the engine); the sum is right
only if none of them forgot one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Tally", "added"]


def added(*counts: Mapping[str, int]) -> dict[str, int]:
    """The sum of several counts by trigger."""
    total: dict[str, int] = {}
    for count in counts:
        for name, n in count.items():
            total[name] = total.get(name, 0) + n
    return total


@dataclass
class Tally:
    """Syscalls by trigger; `ignored` by rule first. `lines` counts lines, not syscalls."""

    seen: dict[str, int] = field(default_factory=dict)
    in_lines: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, dict[str, int]] = field(default_factory=dict)
    unexplained: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)  # back in the kernel, by a rate limit
    lost: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    skipped: int = 0  # records or trace lines that did not decode, came again or too late

    def missing(self) -> dict[str, int]:
        """By trigger, what was seen and is nowhere; empty if the sums are right."""
        accounted = added(self.in_lines, self.unexplained, self.held, self.lost, *self.ignored.values())
        names = {*self.seen, *accounted}
        return {name: gap for name in sorted(names) if (gap := self.seen.get(name, 0) - accounted.get(name, 0))}

    def text(self) -> str:
        """The sums for people, several lines, no line end behind the last."""
        parts = (
            ("in lines", sum(self.in_lines.values())),
            ("ignored", sum(sum(rule.values()) for rule in self.ignored.values())),
            ("unexplained", sum(self.unexplained.values())),
            ("held back", sum(self.held.values())),
            ("lost", sum(self.lost.values())),
        )
        total = sum(self.seen.values())
        gap = total - sum(n for _, n in parts)
        equation = " + ".join(f"{n} {name}" for name, n in parts)
        said = [f"{self.lines} lines; {total} events = {equation}" + (f" + {gap} unaccounted for" if gap else "")]
        said += self._rows("ignored", sorted(self.ignored.items(), key=lambda item: -sum(item[1].values())))
        said += self._rows("unexplained", [("", self.unexplained)])
        said += self._rows("held back", [("", self.held)])
        said += self._rows("lost", [("", self.lost)])
        if self.skipped:
            said.append(f"  skipped      {self.skipped} records that did not decode, came again or too late")
        return "\n".join(said)

    @staticmethod
    def _rows(title: str, rows: Iterable[tuple[str, Mapping[str, int]]]) -> list[str]:
        said = []
        for name, counts in rows:
            if counts:
                words = ", ".join(f"{n} {trigger}" for trigger, n in sorted(counts.items(), key=lambda c: -c[1]))
                said.append(f"  {title:12} {name + ': ' if name else ''}{words}")
        return said
