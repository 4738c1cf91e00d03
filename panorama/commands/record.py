# SPDX-License-Identifier: Apache-2.0
"""`panorama record -o FILE [-- COMMAND]`: keep events as a trace, of one command or of the whole machine."""

from __future__ import annotations

import argparse
import sys

from ..service.delivery import Delivery
from .loop import Loop, said, stopped
from .options import add_behavior_options, configured, loaded
from .recording import record_to
from .watch import add_command, command_of, follow

__all__ = ["add", "run"]


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the trace; .gz compresses it")
    add_command(parser, "print the sums at the end, as without a command")
    add_behavior_options(parser)


def run(arguments: argparse.Namespace) -> int:
    config = configured(arguments)
    behaviors = loaded(config)
    command, identity = command_of(arguments)
    loop = Loop(behaviors, Delivery(), None, follow=bool(command), long_open=config.long_open)
    loop.trace = trace = record_to(
        arguments.output, behaviors, command
    )  # not before it is known that there is a sensor
    status = 0
    with loop.sensor:
        if command:
            status = follow(loop, command, identity)
        else:
            stop = stopped()
            loop.start(stop)
            print("panorama: recording; Ctrl-C stops", file=sys.stderr)
            while not stop and not trace.failed:
                loop.turn()
        tally = loop.end()
    if arguments.sums or not command:
        print(said(tally), file=sys.stderr)
    elif not trace.failed:
        see = f"see: panorama replay {arguments.output}"
        print(f"panorama: {arguments.output}: {tally.lines} lines; {see}", file=sys.stderr)
    return 1 if trace.failed else status
