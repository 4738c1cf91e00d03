# SPDX-License-Identifier: Apache-2.0
"""What all parts share: how long to measure, where, and the two ways in which a measurement fails."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HERE", "PYTHON", "ROOT", "Bench", "CannotMeasure", "Missing", "pin", "said"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON = sys.executable


class CannotMeasure(Exception):
    """Something that should work here did not; one line."""


class Missing(Exception):
    """A tool is not installed or not to be had; one line with the way to get it, which goes into the table."""


@dataclass(frozen=True)
class Bench:
    """One run. `scratch` is a fresh directory on a disk; Panorama ignores nothing in it."""

    rounds: int
    quick: bool
    scratch: Path

    def pick(self, full: float, quick: float) -> float:
        return quick if self.quick else full

    def folder(self, name: str) -> Path:
        path = self.scratch / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def pin() -> int:
    """The CPU for generators: the last one, because interrupts and daemons prefer the first."""
    return max(os.sched_getaffinity(0))


def said(command: Sequence[str | Path]) -> str:
    """What a command prints, stripped; CannotMeasure with its last word if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        raise CannotMeasure(f"{Path(command[0]).name}: {words[-1]}")
    return done.stdout.strip()
