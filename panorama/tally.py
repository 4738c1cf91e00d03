# SPDX-License-Identifier: Apache-2.0
"""The sums: every syscall the sensor saw is in a line, ignored by a named rule, unexplained, held back, or lost.

Counts come from three places that do not know each other (the kernel, the ignore rules, the engine); the sum is right
only if none of them forgot one. As long as Panorama runs, some are also with machines that may yet write a line, and
the rest is under way: in a session that is still open, or not read yet.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    waiting: dict[str, int] = field(default_factory=dict)  # with machines that may yet write a line
    so_far: bool = False  # not the end: what is nowhere is under way
    lines: int = 0
    early: int = 0  # operations that were written although a machine had them, because too many were held
    skipped: int = 0  # records or trace lines that did not decode, came again or too late

    def missing(self) -> dict[str, int]:
        """By trigger, what was seen and is nowhere; empty if the sums are right."""
        accounted = added(self.in_lines, self.unexplained, self.held, self.lost, self.waiting, *self.ignored.values())
        names = {*self.seen, *accounted}
        return {name: gap for name in sorted(names) if (gap := self.seen.get(name, 0) - accounted.get(name, 0))}

    def equation(self) -> str:
        """`94 events = 16 in lines + 40 ignored + ...`."""
        parts = [
            ("in lines", sum(self.in_lines.values())),
            ("ignored", sum(sum(rule.values()) for rule in self.ignored.values())),
            ("unexplained", sum(self.unexplained.values())),
            ("held back", sum(self.held.values())),
            ("lost", sum(self.lost.values())),
        ]
        if self.so_far or self.waiting:
            parts.append(("in machines", sum(self.waiting.values())))
        total = sum(self.seen.values())
        gap = total - sum(n for _, n in parts)
        if self.so_far or gap:
            parts.append(("under way" if self.so_far else "unaccounted for", gap))
        return f"{total} events = {' + '.join(f'{n} {name}' for name, n in parts)}"

    def rows(self) -> list[tuple[str, str]]:
        """What the parts of the equation consist of, by trigger, the ignored ones by rule; a title and words."""
        ignored = sorted(self.ignored.items(), key=lambda item: -sum(item[1].values()))
        said = [("ignored", f"{name}: {_words(counts)}") for name, counts in ignored if counts]
        parts = {
            "unexplained": self.unexplained,
            "held back": self.held,
            "lost": self.lost,
            "in machines": self.waiting,
        }
        said += [(title, _words(counts)) for title, counts in parts.items() if counts]
        if self.early:
            said.append(("early", f"{self.early} operations, written while a machine had them: too many were held"))
        if self.skipped:
            said.append(("skipped", f"{self.skipped} records that did not decode, came again or too late"))
        return said

    def text(self) -> str:
        """The sums for people, several lines, no line end behind the last."""
        rows = [f"  {title:12} {words}" for title, words in self.rows()]
        return "\n".join([f"{self.lines} lines; {self.equation()}", *rows])


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {trigger}" for trigger, n in sorted(counts.items(), key=lambda item: -item[1]) if n)
