# SPDX-License-Identifier: Apache-2.0
"""Every recording in traces/ gives the lines beside it, byte for byte; `pytest tests/test_traces.py --golden` rewrites
those, for a person to read the difference."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import UTC
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from panorama.errors import Problem
from panorama.event import Event, Item, Loss, ProcessKey
from panorama.ignore import load_ignore
from panorama.machines.compiler import Program, compile_behaviors
from panorama.machines.spec import load_behaviors
from panorama.output.context import Context
from panorama.output.formats import FORMATS, formatter
from panorama.output.line import Line
from panorama.paths import BEHAVIORS
from panorama.pipeline import Pipeline, sums_of
from panorama.tally import Tally
from panorama.trace import Trace, TraceWriter, read_trace

TRACES = Path(__file__).parent.parent / "traces"


def name_of(path: Path) -> str:
    return path.name.split(".")[0]


def script(name: str) -> ModuleType:
    """A script of traces/, which is no package, as a module."""
    found = importlib.util.spec_from_file_location(f"traces_{name}", TRACES / f"{name}.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    sys.modules[module.__name__] = module  # dataclasses look their own module up
    found.loader.exec_module(module)
    return module


PATHS = {name_of(path): path for path in sorted(TRACES.glob("*.jsonl*"))}
DERIVE, RECORD = script("derive"), script("record")
OWN = re.compile(r"^(\S+ \S+) \d+ \d+ \S+ panorama ", re.MULTILINE)  # Panorama's own lines
every_trace = pytest.mark.parametrize("name", PATHS)


@cache
def program() -> Program:
    return compile_behaviors(load_behaviors([BEHAVIORS]))


def content(name: str) -> str:
    path = PATHS[name]
    return (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode("ascii")


def opened(name: str) -> Trace:
    problems: list[Problem] = []
    trace = read_trace(PATHS[name], problems.append)
    assert not problems
    return trace


def replayed(name: str) -> tuple[list[Line], Tally, Trace]:
    """The lines of a trace, its sums, and the trace itself, read to its end."""
    lines: list[Line] = []
    trace = opened(name)
    pipeline = Pipeline(program(), load_ignore(BEHAVIORS / "ignore.yaml"), lines.append, trace.header.recorder)
    for item in trace:
        pipeline.take([item])
    assert trace.problems == 0
    assert trace.end is not None
    pipeline.advance(trace.end.get("time", 0))
    pipeline.finish()
    return lines, sums_of(pipeline, trace.end, 0), trace


def texts(items: Iterable[Item]) -> list[str]:
    """Their lines."""
    lines: list[str] = []
    make = formatter("text", Context(zone=UTC))
    pipeline = Pipeline(program(), load_ignore(BEHAVIORS / "ignore.yaml"), lambda line: lines.extend(make(line)))
    pipeline.take(items)
    pipeline.finish()
    return lines


def written(name: str, format_name: str = "text") -> bytes:
    """The lines in a format, in UTC."""
    lines, _, trace = replayed(name)
    make = formatter(format_name, Context(host=trace.header.host, boot_id=trace.header.boot_id, zone=UTC))
    return "".join(f"{text}\n" for line in lines for text in make(line)).encode()


def expected(name: str) -> list[str]:
    return (TRACES / f"{name}.expected").read_text("ascii").splitlines()


def words(name: str) -> list[str]:
    """The expected lines as "user command verb object", without inodes and ports."""
    return [re.sub(r":\d+$", "", line).split(" ", 4)[4] for line in expected(name)]


def test_none_is_missing() -> None:
    """Each trace has its lines and its maker, and the other way round."""
    assert set(PATHS) == {name_of(path) for path in TRACES.glob("*.expected")}
    assert set(PATHS) == {*RECORD.SCENES, *DERIVE.DERIVED}
    readme = (TRACES / "README.md").read_text()
    assert [name for name in PATHS if f"`{name}`" not in readme] == []


@every_trace
def test_lines_are_the_expected_ones(name: str, request: pytest.FixtureRequest) -> None:
    """Byte for byte."""
    path = TRACES / f"{name}.expected"
    if request.config.getoption("--golden"):
        path.write_bytes(written(name))
    assert written(name) == path.read_bytes()


@pytest.mark.parametrize("name", ["scp", "build", "hostile-names", "lossy"])
def test_the_command_says_the_same(name: str) -> None:
    """`panorama replay`, in a process of its own."""
    words = [sys.executable, "-m", "panorama", "replay", "-b", str(BEHAVIORS), str(PATHS[name])]
    run = subprocess.run(words, cwd=TRACES.parent, env=os.environ | {"TZ": "UTC"}, capture_output=True, check=True)
    assert run.stdout == (TRACES / f"{name}.expected").read_bytes()
    assert run.stderr == b""


@every_trace
@pytest.mark.parametrize("format_name", sorted(FORMATS))
def test_every_format_can_say_it(name: str, format_name: str) -> None:
    """Printable, whatever the names; text and JSON one for each line, and JSON parses."""
    told = written(name, format_name).decode().split("\n")
    assert told.pop() == ""
    assert all(map(str.isprintable, told))
    if format_name in ("text", "json"):
        assert len(told) == len(expected(name))
    if format_name == "json":
        assert all(isinstance(json.loads(line), dict) for line in told)


@every_trace
def test_what_is_written_again_is_the_same(name: str) -> None:
    """The trace, read and written by TraceWriter."""
    trace = opened(name)
    stream = io.StringIO()
    writer = TraceWriter(stream, trace.header)
    for item in trace:
        writer.write(item)
    writer.end(trace.end or {})
    assert stream.getvalue() == content(name)


@every_trace
def test_sums_add_up(name: str) -> None:
    """What was seen is in a line, ignored, unexplained or lost; nothing was lost where nobody took it away."""
    _, tally, _ = replayed(name)
    assert tally.missing() == {}
    assert bool(tally.lost) == (name == "lossy")
    assert tally.seen


@every_trace
def test_nothing_tells_where_it_was_recorded(name: str) -> None:
    """The header's host, kernel and boot id are those of nobody, and it is small enough to keep."""
    header = opened(name).header
    assert (header.host, header.kernel, header.boot_id) == ("demo", RECORD.KERNEL, RECORD.BOOT_ID)
    assert str(TRACES.parent) not in content(name)
    assert PATHS[name].stat().st_size < 300_000


@every_trace
def test_under_activities_only_parts_of_a_whole_are_left_out(name: str) -> None:
    """An activity is written, or all its operations are in that of another process; an operation is, or is in one."""
    everything, fewer = list[Line](), list[Line]()
    for log, lines in (("all", everything), ("activities", fewer)):
        pipeline = Pipeline(program(), load_ignore(BEHAVIORS / "ignore.yaml"), lines.append, log=log)
        pipeline.take(opened(name))
        pipeline.finish()
    told = Counter(map(_facts, fewer))
    evidence: dict[tuple[object, ...], set[ProcessKey]] = {}
    for line in fewer:
        for operation in line.operations:
            evidence.setdefault(_facts(operation), set()).add(line.process.key)
    gathered = {line.process.key for line in fewer if line.operation_count > len(line.operations)}
    for line in everything:
        if told[_facts(line)]:
            told[_facts(line)] -= 1
        elif line.layer == "operation":
            assert evidence.get(_facts(line)) or gathered
        else:
            assert line.severity == "notice"
            assert all(evidence.get(_facts(operation), set()) - {line.process.key} for operation in line.operations)
    assert not +told


def test_a_line_already_told_is_no_whole() -> None:
    """The login is told with the first file that is made in it; that the file came from there is told as well."""
    lines: list[Line] = []
    pipeline = Pipeline(program(), load_ignore(BEHAVIORS / "ignore.yaml"), lines.append, log="activities")
    pipeline.take(opened("scp"))
    pipeline.finish()
    [login] = [line for line in lines if line.verb == "login"]
    [write] = [line for line in lines if line.behavior == "transfer"]
    assert write.operations[-1] in login.operations


def _facts(line: Line) -> tuple[object, ...]:
    return line.time, line.process.key, line.verb, repr(line.object), line.layer


@pytest.mark.parametrize("name", DERIVE.DERIVED)
def test_derived_traces_are_what_the_script_makes(name: str) -> None:
    """Nobody edited them."""
    assert DERIVE.derived(name) == content(name)


def test_after_a_loss_nothing_is_certain_that_is_not_so() -> None:
    """Wherever records are missing: each line without a question mark is one that the full trace gives."""
    wrong = []
    for name in RECORD.SCENES:
        full = Counter(texts(opened(name)))
        for offset in range(18):
            told = texts(DERIVE.lossy(list(opened(name)), {"lost": {}}, offset))
            certain = Counter(line for line in told if not line.endswith(" ?") and not OWN.match(line))
            wrong += [f"{name} without {offset} to {offset + 2} of twenty: {line}" for line in certain - full]
    assert wrong == []


def test_lossy_marks_lines() -> None:
    """Some lines are in doubt, and what is certain is so."""
    found = [line for line in expected("lossy") if not OWN.match(line)]
    certain = [line for line in found if not line.endswith(" ?")]
    assert 0 < len(certain) < len(found)
    assert not Counter(certain) - Counter(expected(DERIVE.DERIVED["lossy"][0]))


def test_lossy_tells_each_gap() -> None:
    """One line for each, in its place."""
    losses = [item for item in opened("lossy") if isinstance(item, Loss)]
    told = [line for line in expected("lossy") if OWN.match(line)]
    assert len(told) == len(losses) > 0
    for item, line in zip(losses, told, strict=True):
        last = item.first + item.count - 1
        assert line.endswith(f" lost {item.count} events (cpu {item.cpu}, sequence {item.first} to {last})")


def test_a_pid_used_again_is_another_process() -> None:
    """The same lines but for the pid. Activities come last, and in doubt: no end of a process was seen."""
    made, source = replayed("pid-reuse")[0], replayed("cp-and-mv")[0]
    same = [line for layer in ("operation", "activity") for line in source if line.layer == layer]
    assert [(line.verb, line.object, line.process.start) for line in made] == [
        (line.verb, line.object, line.process.start) for line in same
    ]
    assert {(line.layer, line.certainty) for line in made} == {("operation", "certain"), ("activity", "partial")}
    processes = {item.process.key for item in opened("pid-reuse") if isinstance(item, Event)}
    assert len({pid for pid, _ in processes}) < len(processes)


def test_reordered_gives_the_same_lines() -> None:
    """In another order, and none more."""
    assert sorted(expected("reordered")) == sorted(expected("ssh"))
    assert list(opened("reordered")) != list(opened("ssh"))


def test_scp_has_both_ends() -> None:
    """What the README shows."""
    found = words("scp")
    for line in (
        "alice scp read f2.txt",
        "alice ssh connect 127.0.0.1",
        "root sshd accept 127.0.0.1",
        "bob sshd create f2.txt",
    ):
        assert line in found
