# SPDX-License-Identifier: Apache-2.0
"""`panorama run`: watch the whole machine until stopped."""

from __future__ import annotations

import argparse
import sys

from ..output.context import live_context
from ..output.sinks import File, Sink, Style, open_sink
from .common import Session, add_behavior_options, add_format_option, closing, console_context, header, load, stopped

__all__ = ["add", "run"]


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-d",
        "--debug",
        action="store_true",
        help="to the console, with descriptor, byte counts and the machine's states behind each line",
    )
    parser.add_argument(
        "-s",
        "--sink",
        action="append",
        metavar="SINK",
        help="where lines go: console, syslog, syslog:/path/to/socket, file:/path; may be given more than once"
        " (default: syslog)",
    )
    parser.add_argument(
        "--long-open",
        metavar="SECONDS",
        type=float,
        default=30.0,
        help="report a file that stays open after so long (default: 30)",
    )
    add_format_option(parser)
    add_behavior_options(parser)


def run(arguments: argparse.Namespace) -> int:
    loaded = load(arguments)
    sinks: list[Sink] = []
    with closing(sinks):
        for spec in arguments.sink or (["console"] if arguments.debug else ["syslog"]):
            if spec == "console":
                style = Style(arguments.format, console_context(arguments.debug), header(arguments.format))
            else:
                style = Style(arguments.format, live_context())
            sinks.append(open_sink(spec, style))
        stop = stopped(on_hangup=lambda: [sink.reopen() for sink in sinks if isinstance(sink, File)] and None)
        session = Session(loaded, sinks, None, follow=False, long_open=arguments.long_open)
        with session.sensor:
            session.sensor.start()
            watching = f"watching with {len(loaded.program.behaviors)} behaviors on"
            print(f"panorama: {watching} {len(session.sensor.kernel.tracepoints)} tracepoints", file=sys.stderr)
            while not stop:
                session.turn()
            tally = session.end()
    print("panorama: " + tally.text(), file=sys.stderr)
    return 0
