# SPDX-License-Identifier: Apache-2.0
"""Traces: what the sensor reported, as JSON lines that replay without a kernel.

    {"panorama-trace": 1, "kernel": ..., "host": ..., "boot_id": ..., "command": [...], "started": ...}
    {"process": 1, "pid": 4711, "start": 86400123456789, "user": "alice", "command": "cat"}
    {"event": ["open", "read", "close"], "number": 1, "process": 1, "time": ..., "file": {"path": "/etc/hosts"}, ...}
    {"loss": 3, "number": 2, "cpu": 0, "first": 117, "time": ...}
    {"held": 4211, "number": 3, "process": 1, "rate": 5000, "time": ...}
    {"login": {"remote": {"family": "inet", ...}, "user": "alice"}, "number": 4, "process": 1, "time": ...}
    {"end": {"seen": {"open": 1}, "lost": {}}, "number": 5}

A process is written out before its first event; another value of it (after an exec) gets another number. Attributes
that have their default are left out; names and values are those of event.py, so this module lists none of them. Text
that came as raw bytes keeps its lone surrogates as \\udcXX, and Python's json gives them back. Nothing here knows where
events come from or what is made of them.

All lines but those of processes are numbered, so a reader notices at once which are missing and tells a loss in their
place; it puts those in order that are near their place, and takes none twice. Lines without numbers are from older
Panoramas or written by hand. There it is what each cpu counted that tells, which is noticed with its next event.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, cast

from .errors import InputError, Problem, SinkError
from .event import Event, Held, Item, Login, Loss, Member, Process
from .plain import checked, inner, made, nearest, plain, scalars
from .restore import Restored
from .vocabulary import TRIGGERS

__all__ = ["VERSION", "Trace", "TraceHeader", "TraceWriter", "create_trace", "read_trace"]

VERSION = 1

_MOST_PROCESSES = 16384  # in a writer; older ones kept four times as many
_LONGEST_LINE = 16 << 20  # bytes; argv may be long, but not endless
_LAST_NS = 2**63 - 1
_MOST_WORDS = 4096  # different tuples of triggers that are remembered

_encode = json.JSONEncoder(separators=(",", ":")).encode
_scan = json.JSONDecoder().raw_decode
_OF_PROCESS = scalars(Process)
_SCALARS = scalars(Event)
_INNER = {name: (kind, scalars(kind)) for name, kind in inner(Event).items()}


@dataclass(frozen=True, slots=True)
class TraceHeader:
    """Where and with what a trace was recorded; `behaviors` is the digest of the set that was loaded.

    `pid`, `ppid` and `user` are those of the Panorama that recorded it, in whose name a replay says what was lost.
    """

    kernel: str = ""
    host: str = ""
    boot_id: str = ""
    command: tuple[str, ...] = ()
    panorama: str = ""
    behaviors: str = ""
    started: int = 0
    pid: int = 0
    ppid: int = 0
    user: str = "root"

    @property
    def recorder(self) -> Process:
        return Process(self.pid, 0, self.ppid, user=self.user, command="panorama")


class TraceWriter:
    """Writes events as they come; call `end` with the sensor's own counters when it stops.

    After `most_processes` it forgets which it has written and numbers them anew; a reader must keep twice as many.
    """

    def __init__(self, stream: IO[str], header: TraceHeader, most_processes: int = _MOST_PROCESSES) -> None:
        self._stream = stream
        self._most_processes = most_processes
        self._processes: dict[Process, int] = {}
        self._next = 1
        self._lines = 0  # that are numbered
        self._line({"panorama-trace": VERSION} | plain(header))

    def write(self, item: Item) -> None:
        if isinstance(item, Loss):
            data = plain(item)
            self._line({"loss": data.pop("count"), "number": self._numbered()} | data)
            return
        data = plain(item)
        if isinstance(item, Held):
            who = {"process": self._number(item.process)} if item.process else {}
            self._line({"held": data.pop("count"), "number": self._numbered()} | who | data)
            return
        if isinstance(item, Member):
            process = self._number(item.process)
            number = self._numbered()
            self._line({"login": plain(item.login), "number": number, "process": process, "time": item.time})
            return
        del data["triggers"]
        process = self._number(item.process)
        self._line({"event": item.triggers, "number": self._numbered(), "process": process} | data)

    def end(self, counters: dict[str, Any]) -> None:
        """The last line: what was seen, ignored and lost per kind, so that a replay can print the same sums."""
        self._line({"end": counters, "number": self._numbered()})
        self._stream.flush()

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()

    def _number(self, process: Process) -> int:
        number = self._processes.get(process)
        if number is None:
            if len(self._processes) >= self._most_processes:
                self._processes.clear()
            number = self._processes[process] = self._next
            self._next += 1
            self._line({"process": number} | plain(process))
        return number

    def _numbered(self) -> int:
        self._lines += 1
        return self._lines

    def _line(self, data: dict[str, Any]) -> None:
        self._stream.write(_encode(data) + "\n")


def create_trace(path: str | Path, header: TraceHeader) -> TraceWriter:
    """A new trace at `path`, compressed if that ends in .gz; only its owner may read the command lines in it."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        stream = cast(IO[str], (gzip.open if _compressed(path) else open)(path, "wt", encoding="ascii"))
    except OSError as error:
        raise SinkError(f"cannot write to {path}: {error.strerror}") from error
    return TraceWriter(stream, header)


class Trace:
    """An opened trace: iterate over it once for its events, losses, logins and what was held back, in order.

    A line that does not decode or is not in its place is told to `on_problem`, counted in `problems` and skipped.
    `missing` counts the records that should be there and are not. `end` has the counters of the last line once it was
    read; it stays None if the recording was cut short.
    """

    def __init__(
        self,
        lines: IO[bytes],
        name: str,
        on_problem: Callable[[Problem], None],
        most_processes: int = 8 * _MOST_PROCESSES,
    ) -> None:
        self.problems = 0
        self._most_processes = most_processes
        self.end: dict[str, Any] | None = None
        self._name = name
        self._on_problem = on_problem
        self._lines = _numbered(lines)
        self._processes: dict[int, Process] = {}
        self._words: dict[tuple[str, ...], tuple[str, ...]] = {}  # triggers, and what is counted, that were found right
        self._restored = Restored()
        self._number = self._last = 0  # of the line read last, and of the end
        self.header = self._header()

    @property
    def missing(self) -> int:
        return self._restored.missing

    def __iter__(self) -> Iterator[Item]:
        lines, take = self._restored.lines, self._restored.take
        last = number = 0
        while True:
            try:
                number, text = next(self._lines)
                item = self._decode(text)
                if item is None:
                    continue
                last = item.time
                if self._number != lines.expected or lines.waiting:
                    yield from take(item, self._number)
                    continue
            except StopIteration:
                break
            except _Unreadable as error:
                self._problem(error.line, str(error))
                break
            except json.JSONDecodeError as error:
                self._problem(number, f"not JSON: {error.msg}", error.colno)
            except RecursionError:
                self._problem(number, "not JSON that a trace has: nested too deep")
            except (ValueError, TypeError) as error:
                self._problem(number, str(error))
            else:
                lines.expected += 1
                yield item
        yield from self._restored.rest(self._last, last)

    def _header(self) -> TraceHeader:
        try:
            _, text = next(self._lines)
            data = _object(text)
            version = data.pop("panorama-trace")
        except _Unreadable as error:
            raise self._error(str(error)) from error
        except (StopIteration, ValueError, KeyError, RecursionError):
            raise self._error("not a panorama trace", "its first line has no panorama-trace version") from None
        if version != VERSION:
            hint = "read it with the panorama that wrote it" if isinstance(version, int) else ""
            raise self._error(f"trace version {version!r}, but this panorama reads version {VERSION}", hint)
        known = {field.name for field in fields(TraceHeader)}
        try:
            header: TraceHeader = made(TraceHeader, {key: value for key, value in data.items() if key in known})
        except (ValueError, TypeError) as error:
            raise self._error(str(error)) from error
        return header

    def _error(self, what: str, hint: str = "") -> InputError:
        return InputError([Problem(self._name, 1, 1, what, hint)])

    def _problem(self, line: int, what: str, column: int = 1) -> None:
        self.problems += 1
        self._on_problem(Problem(self._name, line, column, what))

    def _decode(self, text: bytes) -> Item | None:
        data = _object(text)
        self._number = number = data.pop("number", 0)
        if type(number) is not int:
            checked(number, int, "number")
        if "event" in data:
            return self._usual(data) or self._event(_object(text))
        if "held" in data:
            return self._held(data)
        if "login" in data:
            return self._member(data)
        if "process" in data:
            number = data.pop("process")
            if len(self._processes) >= self._most_processes:
                del self._processes[next(iter(self._processes))]
            self._processes[checked(number, int, "process")] = _process(data)
        elif "loss" in data:
            loss: Loss = made(Loss, {"count": data.pop("loss")} | data)
            return loss
        elif "end" in data:
            self.end, self._last = checked(data["end"], dict[str, Any], "end"), self._number
        else:
            raise ValueError("neither event, process, loss, held, login nor end")
        return None

    def _usual(self, data: dict[str, Any]) -> Event | None:
        """The event, if there is nothing unusual about it; checked as well as the others, without saying what is wrong.

        Takes `data` apart.
        """
        words, number, calls = data.pop("event"), data.pop("process", None), data.pop("calls", None)
        if type(words) is not list or type(number) is not int or type(calls) is not dict:
            return None
        try:
            triggers, process = self._words[tuple(words)], self._processes[number]
            self._words[tuple(calls)]
            for count in calls.values():
                if type(count) is not int:
                    return None
            for key, value in data.items():
                if type(value) is not _SCALARS.get(key):
                    kind, known = _INNER[key]
                    for name, attribute in value.items():
                        if type(attribute) is not known[name]:
                            return None
                    data[key] = kind(**value)
            event = Event(triggers, process=process, calls=calls, **data)
        except (KeyError, TypeError, AttributeError):
            return None
        return event if triggers and 0 <= event.time <= _LAST_NS and 0 <= event.began <= _LAST_NS else None

    def _held(self, data: dict[str, Any]) -> Held:
        if "process" in data:
            data["process"] = self._known(data["process"])
        held: Held = made(Held, {"count": data.pop("held")} | data)
        if not 0 <= held.time <= _LAST_NS:
            raise ValueError("a time before 1970 or after 2262")
        return held

    def _member(self, data: dict[str, Any]) -> Member:
        data["login"] = made(Login, checked(data["login"], dict[str, Any], "login"))
        data["process"] = self._known(data.get("process"))
        member: Member = made(Member, data)
        if not 0 <= member.time <= _LAST_NS:
            raise ValueError("a time before 1970 or after 2262")
        return member

    def _known(self, number: Any) -> Process:
        if checked(number, int, "process") not in self._processes:
            raise ValueError(f"no process {number} before this line")
        return self._processes[number]

    def _event(self, data: dict[str, Any]) -> Event:
        data["triggers"] = data.pop("event")
        data.pop("number", 0)
        data["process"] = self._known(data.get("process"))
        event: Event = made(Event, data)
        for word in (*event.triggers, *event.calls):
            if word not in TRIGGERS:
                raise ValueError(f"unknown trigger {word!r}{nearest(word, TRIGGERS)}")
        if not event.triggers:
            raise ValueError("an event without triggers")
        if not (0 <= event.time <= _LAST_NS and 0 <= event.began <= _LAST_NS):
            raise ValueError("a time before 1970 or after 2262")
        if len(self._words) >= _MOST_WORDS:
            self._words.clear()
        self._words |= {event.triggers: event.triggers, tuple(event.calls): tuple(event.calls)}
        return event


def _process(data: dict[str, Any]) -> Process:
    """`made(Process, data)`; where there is nothing unusual about it, quicker."""
    argv = data.get("argv", [])
    usual = "pid" in data and "start" in data and type(argv) is list and all(type(word) is str for word in argv)
    if usual and all(type(value) is _OF_PROCESS.get(key) for key, value in data.items() if key != "argv"):
        return Process(**data | {"argv": tuple(argv)})
    process: Process = made(Process, data)
    return process


def read_trace(source: str | Path | IO[bytes], on_problem: Callable[[Problem], None], name: str = "") -> Trace:
    """Opens the trace at a path (.gz is decompressed) or in a binary stream; InputError if it cannot be read."""
    if not isinstance(source, str | Path):
        return Trace(source, name or str(getattr(source, "name", "<stream>")), on_problem)
    name = name or str(source)
    try:
        stream = cast(IO[bytes], (gzip.open if _compressed(source) else open)(source, "rb"))
    except OSError as error:
        raise InputError([Problem(name, 1, 1, f"cannot be read: {error.strerror}")]) from error
    return Trace(stream, name, on_problem)


def _compressed(path: str | Path) -> bool:
    return str(path).endswith(".gz")


class _Unreadable(Exception):
    """The rest of the stream cannot be read: a damaged .gz, an input error."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


def _numbered(lines: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers; the stream is closed at the end."""
    number = 0
    with lines:
        while True:
            number += 1
            try:
                text = lines.readline(_LONGEST_LINE)
                rest = text
                while len(rest) == _LONGEST_LINE and not rest.endswith(b"\n"):
                    rest = lines.readline(_LONGEST_LINE)  # skipped; the beginning alone does not decode
            except (OSError, EOFError, zlib.error) as error:
                raise _Unreadable(number, f"cannot be read any further: {error}") from error
            if not text:
                return
            if not text.isspace():
                yield number, text


def _object(text: bytes) -> dict[str, Any]:
    try:
        data, end = _scan(text.decode("ascii"))
        whole = not text[end:].strip(b" \t\r\n")
    except ValueError:
        whole = False
    if not whole:
        data = json.loads(text)  # what is wrong, if anything is
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    return data
