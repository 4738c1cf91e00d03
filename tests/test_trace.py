# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import gzip
import io
import json
import stat
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorama.errors import InputError, Problem, SinkError
from panorama.event import Address, Event, File, Held, Item, Login, Loss, Member, Process
from panorama.trace import Trace, TraceHeader, TraceWriter, create_trace, read_trace
from panorama.vocabulary import TRIGGERS

HEADER = TraceHeader("6.18.0", "ep1", "b1", ("sh", "-c", "echo hi"), "0.1.0", "sha256:0", 1775148747_000000000)

TEXT = st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
INTEGERS = st.integers(-(2**63), 2**64)
TIMES = st.integers(0, 2**63 - 1)
WORDS = st.sampled_from(sorted(TRIGGERS))


def every(kind: type[Any], **special: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of a dataclass with all its attributes drawn, also those that will be added one day."""
    by_hint: dict[Any, st.SearchStrategy[Any]] = {
        int: INTEGERS,
        str: TEXT,
        bool: st.booleans(),
        tuple[str, ...]: st.lists(TEXT, max_size=3).map(tuple),
    }
    drawn = {name: by_hint.get(hint, st.nothing()) for name, hint in get_type_hints(kind).items()}
    return st.builds(kind, **(drawn | special))


FILES, ADDRESSES = st.none() | every(File), st.none() | every(Address)
EVENTS = every(
    Event,
    triggers=st.lists(WORDS, min_size=1, max_size=4).map(tuple),
    calls=st.dictionaries(WORDS, INTEGERS, max_size=4),
    time=TIMES,
    began=TIMES,
    process=every(Process),
    file=FILES,
    to=FILES,
    local=ADDRESSES,
    remote=ADDRESSES,
)
LOSSES = every(Loss)
HELD = every(Held, time=TIMES, process=st.none() | every(Process))
MEMBERS = every(Member, time=TIMES, process=every(Process), login=every(Login, remote=every(Address)))

ALICE = Process(42, 7, 1, user="alice", command="cat")
READ = Event(("open", "read", "close"), 1000, ALICE, {"open": 1, "read": 3, "close": 1}, file=File("/etc/hosts", 12))


def written(items: list[Item], end: dict[str, Any] | None = None) -> str:
    stream = io.StringIO()
    writer = TraceWriter(stream, HEADER)
    for item in items:
        writer.write(item)
    if end is not None:
        writer.end(end)
    return stream.getvalue()


def opened(text: str | bytes, problems: list[Problem] | None = None) -> Trace:
    raw = text.encode() if isinstance(text, str) else text
    return read_trace(io.BytesIO(raw), (problems if problems is not None else []).append, "t.jsonl")


@given(st.lists(EVENTS | LOSSES | HELD | MEMBERS, max_size=5))
def test_what_is_written_is_read_back_equal(items: list[Item]) -> None:
    problems: list[Problem] = []
    text = written(items, {"seen": {"open": 1}})
    assert text.isascii()
    trace = opened(text, problems)
    assert trace.header == HEADER
    assert list(trace) == items
    assert trace.end == {"seen": {"open": 1}}
    assert problems == []


def test_a_process_is_written_once_and_defaults_not_at_all() -> None:
    renamed = dataclasses.replace(READ, process=dataclasses.replace(ALICE, command="dog"))
    lines = [json.loads(line) for line in written([READ, READ, renamed, READ, Loss(5, 1, 9, 3)]).splitlines()]
    assert lines[1:] == [
        {"process": 1, "pid": 42, "start": 7, "ppid": 1, "user": "alice", "command": "cat"},
        {
            "event": ["open", "read", "close"],
            "number": 1,
            "process": 1,
            "time": 1000,
            "calls": {"open": 1, "read": 3, "close": 1},
            "file": {"path": "/etc/hosts", "inode": 12},
        },
        lines[2] | {"number": 2},
        {"process": 2, "pid": 42, "start": 7, "ppid": 1, "user": "alice", "command": "dog"},
        lines[2] | {"number": 3, "process": 2},
        lines[2] | {"number": 4},
        {"loss": 3, "number": 5, "cpu": 1, "first": 9, "time": 5},
    ]


def test_a_login_is_written_with_its_process() -> None:
    member = Member(5, ALICE, Login(Address("inet", "192.0.2.1", 4711), "alice"))
    assert [json.loads(line) for line in written([member]).splitlines()][1:] == [
        {"process": 1, "pid": 42, "start": 7, "ppid": 1, "user": "alice", "command": "cat"},
        {
            "login": {"remote": {"family": "inet", "host": "192.0.2.1", "port": 4711}, "user": "alice"},
            "number": 1,
            "process": 1,
            "time": 5,
        },
    ]


def test_a_long_recording_does_not_keep_every_process() -> None:
    items: list[Item] = [
        dataclasses.replace(READ, process=dataclasses.replace(ALICE, pid=pid)) for pid in (1, 2, 3, 1, 4, 1, 5, 6, 7, 2)
    ]
    stream = io.StringIO()
    writer = TraceWriter(stream, HEADER, most_processes=3)
    for item in items:
        writer.write(item)
    trace = Trace(io.BytesIO(stream.getvalue().encode()), "t.jsonl", [].append, most_processes=6)
    assert list(trace) == items
    assert len(trace._processes) <= 6


BROKEN = [
    ("{", "not JSON: Expecting property name enclosed in double quotes"),
    ("[]", "not a JSON object"),
    ("{}", "neither event, process, loss, held, login nor end"),
    ('{"event":["open"],"process":9,"time":1,"calls":{}}', "no process 9 before this line"),
    ('{"event":["open"],"process":[],"time":1,"calls":{}}', "'process' cannot be []"),
    ('{"event":["open"],"process":1,"time":1}', "event without 'calls'"),
    ('{"event":[],"process":1,"time":1,"calls":{}}', "an event without triggers"),
    ('{"event":["opne"],"process":1,"time":1,"calls":{}}', "unknown trigger 'opne'; did you mean 'open'?"),
    ('{"event":"open","process":1,"time":1,"calls":{}}', "'triggers' cannot be \"open\""),
    ('{"event":["open"],"process":1,"time":true,"calls":{}}', "'time' cannot be true"),
    ('{"event":["open"],"process":1,"time":-1,"calls":{}}', "a time before 1970 or after 2262"),
    ('{"event":["open"],"process":1,"time":1,"calls":{"open":"x"}}', "'calls.open' cannot be \"x\""),
    (
        '{"event":["open"],"process":1,"time":1,"calls":{},"fle":{}}',
        "unknown attribute 'fle' of event; did you mean 'file'?",
    ),
    ('{"event":["\\u001b"],"process":1,"time":1,"calls":{}}', r"unknown trigger '\x1b'"),
    ('{"event":["open"],"process":1,"time":1,"calls":{},"file":{}}', "file without 'path'"),
    ('{"event":["open"],"process":1,"time":1,"calls":{},"file":{"path":1}}', "'path' cannot be 1"),
    ('{"process":2,"pid":1}', "process without 'start'"),
    ('{"process":"2","pid":1,"start":1}', "'process' cannot be \"2\""),
    ('{"loss":1}', "loss without 'time'"),
    ('{"login":5,"process":1,"time":1}', "'login' cannot be 5"),
    ('{"login":{"remote":5},"process":1,"time":1}', "'remote' cannot be 5"),
    ('{"login":{"user":"alice"},"process":1,"time":1}', "login without 'remote'"),
    ('{"login":{"remote":{"family":"inet","host":"h"}},"process":9,"time":1}', "no process 9 before this line"),
    ('{"login":{"remote":{"family":"inet","host":"h"}},"time":1}', "'process' cannot be null"),
    ('{"login":{"remote":{"family":"inet","host":"h"}},"process":1,"time":-1}', "a time before 1970 or after 2262"),
    ('{"end":5}', "'end' cannot be 5"),
    ("[" * 100_000, "not JSON that a trace has: nested too deep"),
    ('{"loss":' + "9" * 5000 + "}", "Exceeds the limit"),
    ("\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
]


@pytest.mark.parametrize(("line", "what"), BROKEN, ids=range(len(BROKEN)))
def test_a_line_that_does_not_decode_is_named_and_the_next_one_read(line: str, what: str) -> None:
    header, process, event = written([READ]).encode().splitlines(keepends=True)
    problems: list[Problem] = []
    trace = opened(header + process + b"\n" + line.encode("latin-1") + b"\n" + event, problems)
    assert list(trace) == [READ]
    assert trace.problems == 1
    assert str(problems[0]).startswith(f"t.jsonl:4:1: {what}")


def test_a_line_without_end_is_skipped_without_keeping_it() -> None:
    header, process, event = written([READ]).encode().splitlines(keepends=True)
    problems: list[Problem] = []
    assert list(opened(header + process + b'{"x":"' + b"x" * (17 << 20) + b'"}\n' + event, problems)) == [READ]
    assert [problem.line for problem in problems] == [3]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not a panorama trace; its first line has no panorama-trace version"),
        ("hello\n", "not a panorama trace; its first line has no panorama-trace version"),
        ('{"a":1}\n', "not a panorama trace; its first line has no panorama-trace version"),
        (
            '{"panorama-trace":2}\n',
            "trace version 2, but this panorama reads version 1; read it with the panorama that wrote it",
        ),
        ('{"panorama-trace":"x"}\n', "trace version 'x', but this panorama reads version 1"),
        ('{"panorama-trace":1,"kernel":6}\n', "'kernel' cannot be 6"),
    ],
)
def test_what_is_no_trace_is_refused_in_one_line(text: str, what: str) -> None:
    with pytest.raises(InputError) as caught:
        opened(text)
    assert str(caught.value) == f"t.jsonl:1:1: {what}"


def test_a_header_may_say_more_than_we_know() -> None:
    assert opened('{"panorama-trace":1,"host":"h","note":[]}\n').header == TraceHeader(host="h")


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz"])
def test_traces_on_disk_are_private_and_may_be_compressed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    writer = create_trace(path, HEADER)
    writer.write(READ)
    writer.end({"lost": {}})
    writer.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"\x1f\x8b" if name.endswith(".gz") else b'{"panorama-trace":1,')
    trace = read_trace(path, print)
    assert (list(trace), trace.header, trace.end) == ([READ], HEADER, {"lost": {}})


def test_a_recording_that_was_cut_short_has_no_end(tmp_path: Path) -> None:
    whole = gzip.compress(written([READ] * 1000, {}).encode(), 0)
    path = tmp_path / "t.gz"
    path.write_bytes(whole[: len(whole) // 2])
    problems: list[Problem] = []
    trace = read_trace(path, problems.append)
    items = list(trace)
    assert items == [READ] * len(items)
    assert 0 < len(items) < 1000
    assert trace.end is None
    assert [problem.what.split(":")[0] for problem in problems] == ["cannot be read any further"]


def test_files_that_cannot_be_opened_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file or directory"):
        read_trace(tmp_path / "none", print)
    with pytest.raises(SinkError, match=r"cannot write to .*: No such file or directory"):
        create_trace(tmp_path / "none" / "t.gz", HEADER)
    (tmp_path / "t.gz").write_text("not compressed")
    with pytest.raises(InputError, match="cannot be read any further: Not a gzipped file"):
        read_trace(tmp_path / "t.gz", print)
