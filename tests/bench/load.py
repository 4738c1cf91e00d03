# SPDX-License-Identifier: Apache-2.0
"""The generator load.c: compiled here, run with options, its JSON read."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .bench import HERE, CannotMeasure, Missing, said

__all__ = ["Done", "Load"]


@dataclass(frozen=True)
class Done:
    """What one sample was: `count` operations in `ns`; for paced loads its syscalls by trigger and its marks."""

    count: int
    ns: int
    calls: Mapping[str, int] = field(default_factory=dict)
    marks: Mapping[str, int] = field(default_factory=dict)

    @property
    def each(self) -> float:
        """ns an operation."""
        return self.ns / max(1, self.count)

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.count / self.ns * 1e9 if self.ns else 0.0


class Load:
    """The generator, and `nothing`, a program that ends at once; both static, so that starting them opens no file."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("gcc"):
            raise Missing("gcc: not installed; try: apt install gcc libc6-dev")
        self._program = folder / "load"
        self.nothing = folder / "nothing"
        for program in (self._program, self.nothing):
            said(["gcc", "-O2", "-static", "-o", program, HERE / f"{program.name}.c"])

    def command(self, operation: str, **options: object) -> list[str]:
        return [str(self._program), operation, *(f"{name}={value}" for name, value in options.items())]

    def start(self, folder: Path, operation: str, **options: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(operation, **options),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, operation: str, **options: object) -> list[Done]:
        """Runs to the end in that folder; one Done a sample."""
        return self.results(self.start(folder, operation, **options))

    @staticmethod
    def results(process: subprocess.Popen[str]) -> list[Done]:
        output, errors = process.communicate()
        if process.returncode:
            raise CannotMeasure(errors.strip() or f"load: exit status {process.returncode}")
        return Load.read(output)

    @staticmethod
    def read(output: str) -> list[Done]:
        lines: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
        return [Done(**line) for line in lines]
