# SPDX-License-Identifier: Apache-2.0
"""`panorama watch -- COMMAND`: run one command and print what it and its descendants do. Also what `record` does."""

from __future__ import annotations

import argparse
import os
import pwd
import signal
import sys
import time
from collections.abc import Sequence

from ..errors import UsageError
from ..output.sinks import Console, Sink, Style, open_sink
from ..output.formats import formatter
from .common import (
    Loaded,
    Session,
    add_behavior_options,
    add_format_option,
    closing,
    console_context,
    header,
    live_context,
    load,
    record_to,
    stopped,
)

__all__ = ["add", "follow", "run"]


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--debug", action="store_true", help="with descriptor, byte counts and states")
    parser.add_argument("-o", "--output", metavar="FILE", help="write lines to FILE, not to standard error")
    parser.add_argument("-u", "--user", help="run the command as this user")
    parser.add_argument("--sums", action="store_true", help="print the sums when the command has ended")
    add_format_option(parser)
    add_behavior_options(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")


def command_of(arguments: argparse.Namespace) -> list[str]:
    command: list[str] = arguments.command
    return command[1:] if command[:1] == ["--"] else command


def run(arguments: argparse.Namespace) -> int:
    command = command_of(arguments)
    if not command:
        raise UsageError("watch needs a command; try: panorama watch -- cat /etc/hostname")
    loaded = load(arguments)
    sinks: list[Sink] = []
    with closing(sinks):
        if arguments.output:
            sinks.append(open_sink(f"file:{os.path.abspath(arguments.output)}", Style(arguments.format, live_context())))
        else:
            make = formatter(arguments.format, console_context(arguments.debug, 2))
            sinks.append(Console(make, 2, header(arguments.format) if arguments.debug else "", patient=True))
        session = Session(loaded, sinks, None, follow=True, long_open=30.0)
        status = follow(session, command, arguments.user)
        tally = session.end()
        session.sensor.kernel.close()
    if arguments.sums:
        print("panorama: " + tally.text(), file=sys.stderr)
    return status


def follow(session: Session, command: Sequence[str], user: str | None = None) -> int:
    """Runs the command under watch until it and all its descendants have ended; returns its exit status.

    The command starts when everything is attached. A second interrupt leaves its descendants alone.
    """
    gate, opener = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(opener)
        _become(gate, command, user)
    os.close(gate)
    stop = stopped()
    try:
        session.sensor.start()
        session.sensor.follow(child)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    os.close(opener)
    status: int | None = None
    told = False
    while True:
        session.turn(0.05 if status is None else 0.2)
        if status is None:
            done, found = os.waitpid(child, os.WNOHANG)
            if done:
                status = os.waitstatus_to_exitcode(found)
                ended = time.monotonic()
        elif not session.sensor.kernel.following() or stop:
            break
        elif not told and time.monotonic() - ended > 2:
            told = True
            left = session.sensor.kernel.following()
            print(f"panorama: the command has ended, {left} of its descendants have not; Ctrl-C stops", file=sys.stderr)
    session.turn(0)
    return 128 - status if status < 0 else status


def _become(gate: int, command: Sequence[str], user: str | None) -> None:
    """The child: waits at the gate, then turns into the command. Never returns."""
    status = 127
    try:
        while os.read(gate, 1):
            pass
        os.close(gate)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        if user:
            entry = pwd.getpwnam(user)
            os.initgroups(user, entry.pw_gid)
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
        os.execvp(command[0], list(command))
    except KeyError:
        sys.stderr.write(f"panorama: there is no user '{user}'\n")
    except OSError as error:
        sys.stderr.write(f"panorama: {command[0]}: {error.strerror}\n")
        status = 127 if isinstance(error, FileNotFoundError) else 126
    finally:
        sys.stderr.flush()
        os._exit(status)


def record(loaded: Loaded, path: str, command: Sequence[str], user: str | None) -> tuple[int, int]:
    """Records a command's events to `path`; returns its exit status and the number of lines they give."""
    session = Session(loaded, [], record_to(path, loaded, command), follow=True, long_open=30.0)
    status = follow(session, command, user)
    session.end()
    session.sensor.kernel.close()
    return status, session.pipeline.lines
