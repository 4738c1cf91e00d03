# SPDX-License-Identifier: Apache-2.0
"""`panorama doctor`: what this machine offers, what is missing, and the command that would fix it."""

from __future__ import annotations

import argparse

from ..doctor import exit_status, findings, render

__all__ = ["add", "run"]


def add(parser: argparse.ArgumentParser) -> None:
    del parser


def run(arguments: argparse.Namespace) -> int:
    del arguments
    found = findings()
    print(render(found), end="")
    return exit_status(found)
