# SPDX-License-Identifier: Apache-2.0
"""`panorama config`: what is wrong with panorama.yaml, or what holds and where each value comes from.

Reads what `panorama run` would read, opens nothing that it would write to, and asks no network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..config.behaviors import Loaded, loaded
from ..config.load import load_config
from ..config.model import Config
from ..config.settings import CONFIG
from ..config.show import shown_json, shown_yaml
from ..errors import UsageError

__all__ = ["add", "run"]


def add(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--check",
        action="store_true",
        help="say everything that is wrong, behaviors and ignore rules included, or in a line what would run",
    )
    what.add_argument("--show", action="store_true", help="print every value and where it comes from, as YAML")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="for --show (default: text)")
    parser.add_argument("file", nargs="?", metavar="FILE", type=Path, help=f"default: {CONFIG}, if there")


def run(arguments: argparse.Namespace) -> int:
    if arguments.check and arguments.format != "text":
        raise UsageError("--format is for --show")
    config = load_config(arguments.file)
    if arguments.show:
        print(shown_json(config) if arguments.format == "json" else shown_yaml(config), end="")
    else:
        print(_summary(config, loaded(config)))
    return 0


def _summary(config: Config, ready: Loaded) -> str:
    on = [behavior.name for behavior in ready.program.behaviors if behavior.enabled]
    sinks = [f"{sink.name} ({sink.type}, {sink.format}, {sink.policy})" for sink in config.sinks]
    return (
        f"{config.path or 'no configuration file'}: fine; {len(on)} behaviors ({', '.join(on)}),"
        f" {len(ready.rules.rules)} ignore rules, sinks {', '.join(sinks)}"
    )
