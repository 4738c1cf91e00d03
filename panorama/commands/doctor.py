# SPDX-License-Identifier: Apache-2.0
"""`panorama doctor`: what this machine offers, what is missing, and the command that would fix it."""

from __future__ import annotations

import argparse
import sys

from ..doctor import exit_status, findings, render

__all__ = ["add", "run"]


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="only the first problem, in one line, and the exit status"
    )


def run(arguments: argparse.Namespace) -> int:
    found = findings()
    if not arguments.quiet:
        print(render(found), end="")
    elif first := next((finding for finding in found if finding.state == "problem"), None):
        fix = f"; try: {first.fix}" if first.fix else ""
        print(f"panorama: {first.name}: {first.found}{fix}", file=sys.stderr)
    return exit_status(found)
