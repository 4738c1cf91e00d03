# SPDX-License-Identifier: Apache-2.0
"""What a part found, as tables: printed, kept in results.json, and rendered into RESULTS.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from .bench import HERE
from .stats import Figure

__all__ = ["Row", "Section", "at_most", "kept", "render", "store"]

_STORE = HERE / "results.json"
_REPORT = HERE / "RESULTS.md"
_STEPS = HERE / "steps.md"


@dataclass
class Row:
    """One thing wanted, or worth knowing if `met` is None. A miss is said like everything else."""

    what: str
    wanted: str
    measured: str
    spread: str = ""
    met: bool | None = None


@dataclass
class Section:
    """One part. `table` has the figures behind the rows, its heads first; `notes` what one must know to read them."""

    title: str
    rows: list[Row] = field(default_factory=list)
    table: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rounds: int = 0
    measured: str = ""  # date
    machine: dict[str, str] = field(default_factory=dict)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def note_lost(self, lost: Mapping[str, Sequence[str]]) -> None:
        """What each mode lost, by round in the order of time."""
        for mode, rounds in lost.items():
            if any(rounds):
                self.note(f"{mode} lost, round by round: {'; '.join(words or 'nothing' for words in rounds)}")

    def text(self) -> str:
        """As Markdown, aligned, so that it can be read as it is."""
        said = [f"## {self.title}", ""]
        if self.rows:
            said += [*_table([["what", "wanted", "measured", "spread", "met"], *map(_cells, self.rows)]), ""]
        if self.table:
            said += [*_table(self.table), ""]
        said += [f"- {note}" for note in self.notes]
        return "\n".join(said).rstrip() + "\n"


def at_most(what: str, figure: Figure | None, limit: float, unit: str = "", instead: str = "") -> Row:
    """A row that is met if the median is not above the limit; without a figure it says `instead`."""
    wanted = f"at most {limit:g} {unit}".rstrip()
    if figure is None or not figure.values:
        return Row(what, wanted, instead or "no measurement", "", None)
    return Row(what, wanted, figure.text(), figure.spread(), figure.median <= limit)


def kept() -> dict[str, Section]:
    """What is stored of earlier runs, by part."""
    if not _STORE.exists():
        return {}
    stored = json.loads(_STORE.read_text())
    return {part: Section(**{**data, "rows": [Row(**row) for row in data["rows"]]}) for part, data in stored.items()}


def store(sections: dict[str, Section], order: Sequence[str]) -> None:
    """These sections replace those of the same parts; then RESULTS.md is written anew."""
    both = {**kept(), **sections}
    ordered = {part: both[part] for part in order if part in both}
    _STORE.write_text(json.dumps({part: asdict(each) for part, each in ordered.items()}, indent=1) + "\n")
    _REPORT.write_text(render(ordered))


def render(sections: dict[str, Section]) -> str:
    """RESULTS.md. A machine is described once, before the parts that were measured on it."""
    said = [
        "# Results\n\nWritten by `make bench`; steps.md, at the end, by hand. Medians of rounds, and the least and the most.\n"
    ]
    described: dict[str, str] = {}
    for section in sections.values():
        if section.machine != described:
            described = section.machine
            said.append("\n".join(_table([["", ""], *([name, value] for name, value in described.items())])) + "\n")
        head, _, rest = section.text().partition("\n")
        said.append(f"{head}\n\n{section.measured}, {section.rounds} rounds\n{rest}")
    if _STEPS.exists():
        said.append(_STEPS.read_text())
    return "\n".join(said)


def _cells(row: Row) -> list[str]:
    met = {True: "yes", False: "NO", None: ""}[row.met]
    return [row.what, row.wanted, row.measured, row.spread, met]


def _table(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(lines[0]))]

    def row(cells: Sequence[str]) -> str:
        return (
            "| "
            + " | ".join(cell.replace("|", "/").ljust(width) for cell, width in zip(cells, widths, strict=True))
            + " |"
        )

    return [row(lines[0]), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(row, lines[1:])]
