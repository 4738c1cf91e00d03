# SPDX-License-Identifier: Apache-2.0
"""`panorama status`: what the running service says of itself. Exit status 3 when none runs."""

from __future__ import annotations

import argparse
import json

from ..service.control import ask
from ..service.status import rendered

__all__ = ["add", "run"]


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=["text", "json"], default="text", help="json for scripts (default: text)")


def run(arguments: argparse.Namespace) -> int:
    facts = ask("status")
    print(json.dumps(facts, indent=2) if arguments.format == "json" else rendered(facts))
    return 0
