# SPDX-License-Identifier: Apache-2.0
"""Numbers of several rounds: the median and the spread, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

__all__ = ["Figure", "number", "paired", "size"]


class Figure:
    """One quantity, measured once a round. `unit` is written behind it."""

    def __init__(self, values: Sequence[float], unit: str = "") -> None:
        self.values = list(values)
        self.unit = unit

    @property
    def median(self) -> float:
        return median(self.values)

    def text(self) -> str:
        return f"{number(self.median)} {self.unit}".rstrip()

    def spread(self) -> str:
        """From the least to the most; how often it was measured, if that is once."""
        if len(self.values) < 2:
            return "once"
        return f"{number(min(self.values))} to {number(max(self.values))}"

    def both(self) -> str:
        return f"{self.text()} ({self.spread()})" if len(self.values) > 1 else self.text()


def paired(upper: Sequence[float], lower: Sequence[float]) -> list[float]:
    """Ratios of what was measured in the same round; a round whose lower value is not above 0 has none."""
    return [a / b for a, b in zip(upper, lower, strict=True) if b > 0]


def number(value: float) -> str:
    """With three digits that count, and commas: 0.0123, 4.57, 1,230,000."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 else f"{value:.3g}"


def size(count: float) -> str:
    """Bytes, in the unit in which they are short."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{number(count)} {unit}"
        count /= 1024
    return f"{number(count)} GiB"
