# SPDX-License-Identifier: Apache-2.0
"""`panorama replay FILE...`: the lines of recorded traces. Needs neither root nor a kernel."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace

from ..errors import Problem
from ..output.context import Context
from ..output.formats import formatter
from ..output.text import wants_colour
from ..pipeline import Pipeline, sums_of
from ..service.delivery import Delivery, Stream
from ..sinks import Console
from ..trace import Trace, read_trace
from .loop import said, settle
from .options import add_behavior_options, add_format_option, add_log_option, configured, header, loaded

__all__ = ["add", "judged", "run", "say"]


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--debug", action="store_true", help="with descriptor, byte counts and states")
    parser.add_argument("--sums", action="store_true", help="print the sums at the end")
    add_log_option(parser)
    add_format_option(parser)
    add_behavior_options(parser)
    parser.add_argument(
        "file", nargs="+", metavar="FILE", help="a trace that panorama record wrote; - is standard input"
    )


def run(arguments: argparse.Namespace) -> int:
    config = configured(arguments)
    behaviors = loaded(config)
    settle()
    status = 0
    for name in arguments.file:
        source = sys.stdin.buffer if name == "-" else name
        trace = read_trace(source, say, name)
        context = Context(host=trace.header.host, boot_id=trace.header.boot_id, debug=arguments.debug)
        context = replace(context, colour=wants_colour(sys.stdout, os.environ))
        make = formatter(arguments.format, context)
        console = Console(make, 1, header(arguments.format) if arguments.debug else "", patient=True)
        with Delivery() as delivery:
            delivery.add(Stream("lines", console))
            pipeline = Pipeline(behaviors.program, behaviors.rules, delivery.take, trace.header.recorder, config.log)
            if name == "-":  # somebody may be writing it at the moment, and waiting for the lines
                for item in trace:
                    pipeline.take([item])
            else:
                pipeline.take(trace)
            end = trace.end or {}
            if isinstance(time := end.get("time"), int):
                pipeline.advance(time)
            pipeline.finish()
        status |= judged(trace, name)
        if arguments.sums:
            print(said(sums_of(pipeline, end, trace.problems, trace.missing > 0), delivery), file=sys.stderr)
    return status


def say(problem: Problem) -> None:
    """A line of a trace that cannot be used."""
    print(f"panorama: {problem}; skipped", file=sys.stderr)


def judged(trace: Trace, name: str) -> int:
    """The exit status for a trace that was read to its end; says what is missing."""
    if trace.missing:
        lines = "lines that may be wrong for that end in ' ?'"
        print(f"panorama: {name}: {trace.missing} records are missing from the trace; {lines}", file=sys.stderr)
    return 1 if trace.problems or trace.missing else 0
