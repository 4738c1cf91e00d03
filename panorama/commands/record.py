# SPDX-License-Identifier: Apache-2.0
"""`panorama record -o FILE [-- COMMAND]`: keep events as a trace, of one command or of the whole machine."""

from __future__ import annotations

import argparse
import sys

from .common import Session, add_behavior_options, load, record_to, stopped
from .watch import command_of, record

__all__ = ["add", "run"]


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the trace; .gz compresses it")
    parser.add_argument("-u", "--user", help="run the command as this user")
    add_behavior_options(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")


def run(arguments: argparse.Namespace) -> int:
    loaded = load(arguments)
    command = command_of(arguments)
    if command:
        status, lines = record(loaded, arguments.output, command, arguments.user)
        print(f"panorama: {arguments.output}: {lines} lines; see: panorama replay {arguments.output}", file=sys.stderr)
        return status
    stop = stopped()
    session = Session(loaded, [], record_to(arguments.output, loaded), follow=False, long_open=30.0)
    with session.sensor:
        session.sensor.start()
        print("panorama: recording; Ctrl-C stops", file=sys.stderr)
        while not stop:
            session.turn()
        tally = session.end()
    print("panorama: " + tally.text(), file=sys.stderr)
    return 0
