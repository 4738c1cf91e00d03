# SPDX-License-Identifier: Apache-2.0
"""`panorama watch -- COMMAND`: run one command and print what it and its descendants do. Also what `record` does."""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import UsageError
from ..output.context import live_context
from ..output.formats import formatter
from ..plain import nearest
from ..service.delivery import Delivery, Stream
from ..sinks import Console, Style, open_sink
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

__all__ = ["Identity", "add", "add_command", "command_of", "follow", "run"]


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as the kernel knows them."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--debug", action="store_true", help="with descriptor, byte counts and states")
    parser.add_argument("-o", "--output", metavar="FILE", help="append lines to FILE instead of printing them")
    add_command(parser, "print the sums when the command has ended")
    add_log_option(parser)
    add_format_option(parser)
    add_behavior_options(parser)


def add_command(parser: argparse.ArgumentParser, sums: str) -> None:
    parser.add_argument("-u", "--user", help="run the command as this user")
    parser.add_argument("--sums", action="store_true", help=sums)
    add_config_option(parser)
    add_long_open_option(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")


def command_of(arguments: argparse.Namespace) -> tuple[list[str], Identity | None]:
    """The command and whom to run it as; UsageError if there is no such user."""
    command: list[str] = arguments.command
    command = command[1:] if command[:1] == ["--"] else command
    if not arguments.user:
        return command, None
    try:
        entry = pwd.getpwnam(arguments.user)
    except KeyError:
        known = [each.pw_name for each in pwd.getpwall()]
        raise UsageError(f"--user: there is no user '{arguments.user}'{nearest(arguments.user, known)}") from None
    return command, Identity(entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(entry.pw_name, entry.pw_gid)))


def run(arguments: argparse.Namespace) -> int:
    command, identity = command_of(arguments)
    if not command:
        raise UsageError("watch needs a command; try: panorama watch -- cat /etc/hostname")
    config = configured(arguments)
    delivery = Delivery()
    lines = Stream("lines")
    delivery.add(lines)
    with delivery:
        if arguments.output:
            context = replace(live_context(), debug=arguments.debug)
            lines.sink = open_sink(f"file:{os.path.abspath(arguments.output)}", Style(arguments.format, context))
        loop = Loop(loaded(config), delivery, None, follow=True, long_open=config.long_open, log=config.log)
        if not arguments.output:  # now that errors have been told: its header comes first
            make = formatter(arguments.format, console_context(arguments.debug, 2))
            lines.sink = Console(make, 2, header(arguments.format) if arguments.debug else "", patient=True)
        with loop.sensor:
            status = follow(loop, command, identity)
            tally = loop.end()
    if arguments.sums:
        print(said(tally, delivery), file=sys.stderr)
    elif short := delivery.not_written():
        print(f"panorama: {short}", file=sys.stderr)
    return status


def follow(loop: Loop, command: Sequence[str], identity: Identity | None = None) -> int:
    """Runs the command under watch until it and all its descendants have ended; returns its exit status.

    The command starts when everything is attached. SIGTERM is passed on to it, an interrupt comes to it from the
    terminal anyway; once it has ended, either leaves its descendants alone.
    """
    gate, opener = os.pipe()
    heard, teller = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(opener)
        os.close(heard)
        _become(gate, teller, command, identity)
    os.close(gate)
    os.close(teller)
    stop = stopped()
    try:
        loop.start(stop)
        loop.sensor.follow(child)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    os.close(opener)
    status: int | None = None
    told = passed_on = False
    while True:
        loop.turn(0.05 if status is None else 0.2)
        if status is None:
            done, found = os.waitpid(child, os.WNOHANG)
            if done:
                status = os.waitstatus_to_exitcode(found)
                ended = time.monotonic()
                stop.by.discard(signal.SIGINT)
            elif signal.SIGTERM in stop.by and not passed_on:
                passed_on = True
                os.kill(child, signal.SIGTERM)
        elif not loop.sensor.kernel.following() or stop:
            break
        elif not told and time.monotonic() - ended > 2:
            told = True
            left = loop.sensor.kernel.following()
            print(f"panorama: the command has ended, {left} of its descendants have not; Ctrl-C stops", file=sys.stderr)
    loop.turn(0)
    with open(heard, "rb") as said_by_child:
        if reason := said_by_child.read():
            print(f"panorama: {command[0]}: {os.strerror(int(reason))}", file=sys.stderr)
    return 128 - status if status < 0 else status


def _become(gate: int, teller: int, command: Sequence[str], identity: Identity | None) -> None:
    """The child: waits at the gate, then turns into the command. Never returns; why it could not, it tells its parent.

    It writes nothing itself, for it is watched already.
    """
    status = 127
    try:
        while os.read(gate, 1):
            pass
        os.close(gate)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and that would be inherited
            signal.signal(number, signal.SIG_DFL)
        if identity:
            os.setgroups(identity.groups)
            os.setgid(identity.gid)
            os.setuid(identity.uid)
        os.execvp(command[0], list(command))
    except OSError as error:
        status = 127 if isinstance(error, FileNotFoundError) else 126
        with contextlib.suppress(OSError):
            os.write(teller, str(error.errno).encode())
    finally:
        os._exit(status)
