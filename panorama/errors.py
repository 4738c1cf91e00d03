# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, by whose turn it is to act. Every message is one line: where, what, what to do."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CannotSense", "InputError", "PanoramaError", "Problem", "ReaderGone", "SinkError", "UsageError"]


class PanoramaError(Exception):
    """The user can act on this; the command line prints it without a traceback and exits with `status`."""

    status = 1


class CannotSense(PanoramaError):
    """This machine, or this user, cannot run eBPF: no root, no BTF, locked down, no BCC. Exit status 3."""

    status = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file: `file:line:column: what (hint)`. Lines and columns count from 1."""

    path: str
    line: int
    column: int
    what: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.path}:{self.line}:{self.column}: {self.what}{hint}"


class InputError(PanoramaError):
    """Files the user wrote are wrong; carries every problem found in one run. Exit status 2."""

    status = 2

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class SinkError(PanoramaError):
    """A sink that does not exist or cannot be opened as it was asked for. Exit status 2."""

    status = 2


class ReaderGone(PanoramaError):
    """Whoever read standard output closed it (`panorama run | head`): stop, quietly. Exit status 0."""

    status = 0


class UsageError(PanoramaError):
    """Options that cannot be followed. Exit status 2."""

    status = 2
