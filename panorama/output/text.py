# SPDX-License-Identifier: Apache-2.0
"""The text format: `time ppid pid user command verb object`, one space between fields.

Behind the object follows ` ... repeated N times` if the line before happened N times more, ` ?` if records were lost
while the machine ran, and with `debug` always these four fields: ` fd=3 read=4096 written=0 states=new>created>`.
Below an activity's line stand, with `debug`, its latest operations (operations.py). Fields that need it are quoted
(quoting.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TextIO

from .context import Context, stamp
from .line import Line
from .objects import byte_counts, descriptor, object_text
from .operations import below
from .quoting import quote, shorten

__all__ = ["HEADER", "text_line", "text_lines", "wants_colour"]

HEADER = f"{'TIME':26} PPID PID USER COMMAND VERB OBJECT"

# SGR codes (ECMA-48, 8.3.117); info and debug are not painted
_COLOURS = {"notice": "33", "warning": "31"} | dict.fromkeys(("error", "critical", "alert", "emergency"), "1;31")


def text_lines(line: Line, context: Context) -> list[str]:
    """The line, and with `debug` the operations that it has, each a line of text."""
    more = below(line, context) if context.debug and line.operations else []
    return [text_line(line, context), *([shorten(each, context.limit) for each in more] if context.limit else more)]


def text_line(line: Line, context: Context) -> str:
    """The line alone as one line of text, without its newline."""
    process = line.process
    verb = _word(line.verb)
    head = f"{stamp(line.time, context.zone)} {_who(process.ppid, process.pid, process.user, process.command)}"
    tail = f" ... repeated {line.repeated} times" if line.repeated else ""
    if line.certainty == "partial":
        tail += " ?"
    if context.debug:
        tail += _debug(line)
    what = object_text(line)
    if context.limit and 4 * (len(head) + len(verb) + len(what) + len(tail) + 2) > context.limit:  # UTF-8's longest
        room = context.limit - len(f"{head} {verb} {tail}".encode())
        what = shorten(what, room)
    if context.colour:
        verb = _painted(verb, line.severity)
    return f"{head} {verb} {what}{tail}" if what else f"{head} {verb}{tail}"


_word = lru_cache(1024)(quote)


@lru_cache(4096)
def _who(ppid: int, pid: int, user: str, command: str) -> str:
    return f"{ppid} {pid} {quote(user)} {quote(command)}"


def wants_colour(stream: TextIO, env: Mapping[str, str]) -> bool:
    """Whether `stream` is a terminal whose user does not mind colours (no-color.org)."""
    return not env.get("NO_COLOR") and env.get("TERM") != "dumb" and stream.isatty()


def _painted(word: str, severity: str) -> str:
    code = _COLOURS.get(severity)
    return f"\x1b[{code}m{word}\x1b[0m" if code else word


def _debug(line: Line) -> str:
    read, written = byte_counts(line)
    states = "".join(f"{state}>" for state in line.states)
    return f" fd={descriptor(line)} read={read} written={written} states={quote(states)}"
