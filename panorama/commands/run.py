# SPDX-License-Identifier: Apache-2.0
"""`panorama run`: watch the whole machine until stopped.

Without `-d` and `-s` it is the service: it has the sinks of the configuration, keeps its numbers and waiting lines on
disk, answers `panorama status`, and tells systemd how it is.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace

from ..config.model import Config
from ..config.settings import CONFIG
from ..errors import CannotSense, UsageError
from ..output.context import live_context
from ..service.delivery import Delivery, Stream
from ..service.service import Service
from ..sinks import Style, open_sink
from ..tally import Tally
from .loop import Loop, said, stopped
from .options import (
    add_behavior_options,
    add_config_option,
    add_format_option,
    add_log_option,
    add_long_open_option,
    configured,
    console_context,
    header,
    loaded,
)

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
        help="where lines go instead of the configured sinks: console, syslog, syslog:/path/to/socket, file:/path;"
        " may be given more than once",
    )
    add_config_option(parser)
    add_long_open_option(parser)
    add_log_option(parser)
    add_format_option(parser)
    parser.set_defaults(format=None)
    add_behavior_options(parser)


def run(arguments: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise CannotSense("eBPF needs root; try: sudo panorama")
    stop = stopped()
    config = configured(arguments)
    if arguments.debug or arguments.sink:
        return _to_sinks(config, arguments, stop)
    if arguments.format:
        raise UsageError(f"--format goes with -d or -s; the sinks' formats are in {config.path or CONFIG}")
    return _service(config, stop)


def _to_sinks(config: Config, arguments: argparse.Namespace, stop: stopped) -> int:
    """For people: to the console, or to what was named on the command line; every line as it comes, none folded."""
    format_name = arguments.format or "text"
    style = Style(format_name, replace(live_context(), debug=arguments.debug))
    screen = Style(format_name, console_context(arguments.debug), header(format_name))
    streams = {spec: Stream(spec) for spec in arguments.sink or ["console"]}
    with Delivery() as delivery:
        for spec, stream in streams.items():
            delivery.add(stream)
            if spec != "console":
                stream.sink = open_sink(spec, style)
        loop = _loop(config, delivery)
        with loop.sensor:
            loop.start(stop)
            if "console" in streams:  # now: its header comes first
                streams["console"].sink = open_sink("console", screen)
            tally = _watch(loop, stop)
    print(said(tally, delivery), file=sys.stderr)
    return 0


def _service(config: Config, stop: stopped) -> int:
    """To the configured sinks, as a service."""
    with Service(config) as service:
        loop = _loop(config, service.delivery)
        with loop.sensor:
            loop.start(stop)
            service.attend(loop, _watching(loop))
            tally = _watch(loop, stop, service.turn)
            service.ended(tally)
    print(said(tally, service.delivery), file=sys.stderr)
    return 0


def _loop(config: Config, delivery: Delivery) -> Loop:
    return Loop(
        loaded(config),
        delivery,
        None,
        follow=False,
        long_open=config.long_open,
        log=config.log,
        ring_pages=config.ring_buffer // os.sysconf("SC_PAGE_SIZE"),
        process_limit=config.limits_process,
        global_limit=config.limits_global,
    )


def _watch(loop: Loop, stop: stopped, each: Callable[[], None] = lambda: None) -> Tally:
    """Until somebody asks to stop; `each` is called after every round."""
    print(f"panorama: {_watching(loop)}", file=sys.stderr)
    while not stop:
        loop.turn()
        each()
        if stop.hung_up():
            loop.delivery.reopen()
    return loop.end()


def _watching(loop: Loop) -> str:
    behaviors = sum(behavior.enabled for behavior in loop.loaded.program.behaviors)
    return f"watching with {behaviors} behaviors on {len(loop.sensor.kernel.tracepoints)} tracepoints"
