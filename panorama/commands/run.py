# SPDX-License-Identifier: Apache-2.0
"""`panorama run`: watch the whole machine until stopped."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from ..output.context import live_context
from ..sinks import Sink, Style, open_sink
from .loop import Loop, closing, reopen, said, stopped
from .options import add_behavior_options, add_format_option, add_long_open_option, console_context, header, load

__all__ = ["add", "run"]


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-d",
        "--debug",
        action="store_true",
        help="to the console unless -s says otherwise, with descriptor, byte counts and states behind each line",
    )
    parser.add_argument(
        "-s",
        "--sink",
        action="append",
        metavar="SINK",
        help="where lines go: console, syslog, syslog:/path/to/socket, file:/path; may be given more than once"
        " (default: syslog)",
    )
    add_long_open_option(parser)
    add_format_option(parser)
    add_behavior_options(parser)


def run(arguments: argparse.Namespace) -> int:
    stop = stopped()
    loaded = load(arguments)
    specs = arguments.sink or (["console"] if arguments.debug else ["syslog"])
    style = Style(arguments.format, replace(live_context(), debug=arguments.debug))
    screen = Style(arguments.format, console_context(arguments.debug), header(arguments.format))
    sinks: list[Sink] = []
    with closing(sinks):
        sinks += [open_sink(spec, style) for spec in specs if spec != "console"]
        loop = Loop(loaded, sinks, None, follow=False, long_open=arguments.long_open)
        with loop.sensor:
            loop.start(stop)
            sinks += [open_sink(spec, screen) for spec in specs if spec == "console"]  # now: its header comes first
            watching = f"watching with {len(loaded.program.behaviors)} behaviors on"
            print(f"panorama: {watching} {len(loop.sensor.kernel.tracepoints)} tracepoints", file=sys.stderr)
            while not stop:
                loop.turn()
                if stop.hung_up():
                    reopen(sinks)
            tally = loop.end()
    print(said(tally, sinks), file=sys.stderr)
    return 0
