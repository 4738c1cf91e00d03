# SPDX-License-Identifier: Apache-2.0
"""Rate limits in the kernel: who floods is held back, counted and told; who does not loses nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from panorama.commands.loop import Loop
from panorama.commands.options import Loaded
from panorama.commands.recording import Recording
from panorama.commands.watch import follow
from panorama.demand import demand_of
from panorama.event import Event, File, Held, Item
from panorama.ignore import load_ignore
from panorama.machines.compiler import Program, compile_behaviors
from panorama.machines.spec import load_behaviors
from panorama.output.context import Context
from panorama.output.formats import formatter
from panorama.output.line import Line, Part
from panorama.output.objects import object_text
from panorama.paths import BEHAVIORS
from panorama.pipeline import Pipeline
from panorama.sensor import kernel
from panorama.sensor.live import Sensor
from panorama.service.delivery import Delivery
from panorama.tally import Tally
from panorama.trace import TraceHeader, read_trace

pytestmark = pytest.mark.live

# Follows its process from step to step, so what is held back of it makes a difference.
PAIRS = """
behavior: pairs
summary: A directory that is made and taken away again.
layer: operation
per: process
initial: idle
transitions:
- {trigger: mkdir, source: idle, dest: made}
- {trigger: rmdir, source: made, emit: "pair {file}"}
- {trigger: read,  source: made, dest: made}
"""

# Says on descriptor 3 how often it did what; as many turns as the first argument says.
FLOOD = """
import json, os, sys
turns, label = int(sys.argv[1]), sys.argv[2]
done = dict.fromkeys(("open", "read", "write", "close", "mkdir", "rmdir", "rename", "unlink", "chmod"), 0)
def count(*names):
    for name in names: done[name] += 1
for i in range(turns):
    f = os.open(label, os.O_RDWR | os.O_CREAT); os.write(f, b"x"); os.write(f, b"y"); os.read(f, 1); os.close(f)
    count("open", "write", "write", "read", "close")
    os.mkdir(label + "d"); os.rmdir(label + "d"); count("mkdir", "rmdir")
    os.rename(label, label + "2"); os.chmod(label + "2", 0o600); os.unlink(label + "2")
    count("rename", "chmod", "unlink")
    os.open("/dev/null", os.O_RDONLY); os.close(4); count("open", "close")
os.write(3, json.dumps(done).encode())
os._exit(0)
"""
RECORDS = 7  # of a turn: the session, its first read, mkdir, rmdir, rename, chmod, unlink; /dev/null is ignored

QUIET = """
import os, time
for i in range(20):
    os.mkdir(f"q{i}"); time.sleep(0.01); os.rmdir(f"q{i}")
    open("note", "w").close()
os._exit(0)
"""

NOTICE = re.compile(r"(\d+) events of (\w+)\[(\d+)\], limit (\d+) a second")


class Kept(Delivery):
    """Keeps the lines instead of handing them to sinks."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []

    def take(self, line: Line) -> None:
        self.lines.append(line)


@dataclass
class Outcome:
    """What a shell script under limits gave; `held` is how many records the kernel says it held back."""

    lines: list[Line]
    tally: Tally
    held: int
    buckets: int
    trace: Path
    seconds: float

    def of(self, command: str) -> list[Line]:
        return [line for line in self.lines if line.process.command == command]

    @property
    def notices(self) -> list[str]:
        return [object_text(line) for line in self.lines if line.verb == "held" and line.process.command == "panorama"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    path = tmp_path_factory.mktemp("behaviors") / "pairs.yaml"
    path.write_text(PAIRS)
    return Loaded(program_of(path), load_ignore(BEHAVIORS / "ignore.yaml"))


def program_of(*paths: Path) -> Program:
    return compile_behaviors(load_behaviors([BEHAVIORS, *paths]))


def run(loaded: Loaded, tmp_path: Path, script: str, process_limit: int = 0, global_limit: int = 0) -> Outcome:
    """Runs a script in `tmp_path`, where flood.py and quiet.py are, as commands named `flood` and `quiet`."""
    for name, code in (("flood", FLOOD), ("quiet", QUIET)):
        (tmp_path / f"{name}.py").write_text(code)
        if not (tmp_path / name).exists():
            (tmp_path / name).symlink_to("/usr/bin/python3")
    loaded.rules.ignored.clear()
    delivery, trace = Kept(), tmp_path / "trace.jsonl"
    loop = Loop(
        loaded,
        delivery,
        Recording(str(trace), TraceHeader()),
        follow=True,
        long_open=30.0,
        process_limit=process_limit,
        global_limit=global_limit,
    )
    began = time.monotonic()
    with loop.sensor:
        assert follow(loop, ["/bin/sh", "-c", f"cd {tmp_path}; {script}"]) == 0
        seconds = time.monotonic() - began
        tally = loop.end()
        kernel = loop.sensor.kernel
        buckets = list(kernel._maps["buckets"].items())
        return Outcome(delivery.lines, tally, kernel.held(), len(buckets), trace, seconds)


def flood(turns: int, label: str = "f") -> str:
    return f"./flood -ISs flood.py {turns} {label} 3>{label}.counts"


def counted(tmp_path: Path, label: str = "f") -> Counter[str]:
    return Counter(json.loads((tmp_path / f"{label}.counts").read_text()))


def items_of(outcome: Outcome) -> list[Item]:
    return list(read_trace(str(outcome.trace), lambda problem: pytest.fail(str(problem))))


def test_a_flood_is_held_back_and_every_syscall_accounted_for(loaded: Loaded, tmp_path: Path) -> None:
    """By trigger: what the program did is in lines, ignored, unexplained or held back, and nothing is lost."""
    idle = run(loaded, tmp_path, flood(0), process_limit=200)
    busy = run(loaded, tmp_path, flood(997), process_limit=200)
    done = counted(tmp_path)
    assert {name: busy.tally.seen[name] - idle.tally.seen.get(name, 0) for name in done} == done
    assert not idle.tally.missing()
    assert not busy.tally.missing()
    assert not busy.tally.lost
    assert not idle.tally.held
    told = Counter(line.verb for line in busy.of("flood"))
    for trigger, verbs in {"rename": "rename", "unlink": "remove", "mkdir": "mkdir", "rmdir": "rmdir"}.items():
        assert told[verbs] + busy.tally.held[trigger] == done[trigger], trigger
    files, report = busy.tally.held["open"], busy.tally.held["close"] - busy.tally.held["open"]
    assert told["create"] + files == 997
    assert told["write"] + report == 1
    assert busy.tally.held["write"] == 2 * files + report
    assert busy.tally.held["read"] == files  # a read that is told at once is a record, but no second syscall
    sent = 997 * RECORDS - busy.held
    assert 200 <= sent <= 200 * (1 + busy.seconds)


def test_a_line_tells_of_a_flood(loaded: Loaded, tmp_path: Path) -> None:
    """Of all that was held back in a second, not of each record, and with the number of them; also in the sums."""
    outcome = run(loaded, tmp_path, flood(499), process_limit=100)
    told = [match for words in outcome.notices if (match := NOTICE.fullmatch(words))]
    assert 1 <= len(told) == len(outcome.notices) <= 1 + outcome.seconds
    assert sum(int(match[1]) for match in told) == outcome.held
    process = outcome.of("flood")[0].process
    assert {match.groups()[1:] for match in told} == {("flood", str(process.pid), "100")}
    assert f"{sum(outcome.tally.held.values())} held back + 0 lost" in outcome.tally.text()


def test_a_long_flood_is_told_once_a_second(loaded: Loaded, tmp_path: Path) -> None:
    """No oftener, and the numbers add up to what was held back."""
    steady = 'timeout 4.6 ./flood -ISsc \'import os\nwhile True: os.mkdir("s"); os.rmdir("s")\' || true'
    outcome = run(loaded, tmp_path, steady, process_limit=50)
    assert 2 <= len(outcome.notices) <= 1 + outcome.seconds
    numbers = [int(match[1]) for words in outcome.notices if (match := NOTICE.fullmatch(words))]
    assert sum(numbers) == outcome.held
    times = [line.time for line in outcome.lines if line.verb == "held"]
    assert all(later - before >= 10**9 for before, later in pairwise(times[:-1]))


def test_who_does_not_flood_is_left_alone(loaded: Loaded, tmp_path: Path) -> None:
    """Beside the flood: all lines are there and certain. The flooder's own are marked from the first gap on."""
    outcome = run(loaded, tmp_path, f"./quiet -ISs quiet.py & {flood(1999)}; wait", process_limit=200)
    quiet = outcome.of("quiet")
    told = Counter(line.verb for line in quiet)
    del told["read"]  # of Python's own doing
    assert told == {"pair": 20, "mkdir": 20, "rmdir": 20, "create": 1, "cover": 19}
    assert {line.certainty for line in quiet} == {"certain"}
    gap = next(item.time for item in items_of(outcome) if isinstance(item, Held))
    pairs = [(line.time >= gap, line.certainty) for line in outcome.of("flood") if line.verb == "pair"]
    assert set(pairs) == {(False, "certain"), (True, "partial")}
    assert {line.certainty for line in outcome.of("flood") if line.behavior == "file"} == {"certain"}


def test_the_limit_of_all_processes(loaded: Loaded, tmp_path: Path) -> None:
    """Two floods share it; a line tells of both, in numbers; no process's beginning or end is held back."""
    script = f"{flood(499, 'a')} & {flood(499, 'b')} & wait"
    outcome = run(loaded, tmp_path, script, global_limit=150)
    assert not outcome.tally.missing()
    assert not outcome.tally.lost
    assert not {"fork", "exec", "exit"} & outcome.tally.held.keys()
    assert outcome.notices[0].endswith(" events of 2 processes, limit 150 a second for all processes")
    assert 1 <= len(outcome.notices) <= 1 + outcome.seconds
    assert sum(int(words.split()[0]) for words in outcome.notices) == outcome.held
    sent = 2 * 499 * RECORDS - outcome.held
    assert sent <= 150 * (1 + outcome.seconds)
    events = [item for item in items_of(outcome) if isinstance(item, Event)]
    life = Counter((item.triggers[0], item.process.command) for item in events if item.triggers[0] in ("exec", "exit"))
    assert life["exec", "flood"] == life["exit", "flood"] == 2


def test_no_limit_holds_nothing_back(loaded: Loaded, tmp_path: Path) -> None:
    """The default; the kernel keeps no bucket then."""
    outcome = run(loaded, tmp_path, flood(499))
    assert (outcome.held, outcome.tally.held, outcome.notices, outcome.buckets) == (0, {}, [], 0)
    assert Counter(line.verb for line in outcome.of("flood"))["create"] == 499


@pytest.fixture(params=["as this kernel wants it", "as one wants it that interrupts"])
def attached(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to attach to syscalls: every kernel can do the second."""
    if request.param != "as this kernel wants it":
        monkeypatch.setattr(kernel, "_INTERRUPTS", "task_struct")


@pytest.mark.usefixtures("attached")
def test_two_floods_on_one_processor(loaded: Loaded, tmp_path: Path) -> None:
    """Each is interrupted in the middle of syscalls, yet sums are exact, and lines right: nothing is lost or mixed up."""
    cpu = min(os.sched_getaffinity(0))

    def two(turns: int) -> Outcome:
        for label in ("a", "b"):
            (tmp_path / f"{label}.counts").unlink(missing_ok=True)
        floods = f"{flood(turns, 'a')} & {flood(turns, 'b')} & wait"
        return run(loaded, tmp_path, f"taskset -pc {cpu} $$ >/dev/null; {floods}")

    idle, busy = two(0), two(1999)
    done = counted(tmp_path, "a") + counted(tmp_path, "b")
    assert {name: busy.tally.seen[name] - idle.tally.seen.get(name, 0) for name in done} == done
    assert busy.tally.skipped == 0
    assert not busy.tally.missing()
    assert not busy.tally.lost
    assert not [line for line in busy.lines if line.process.command == "panorama"]
    expected: Counter[tuple[str, ...]] = Counter()
    for path in (f"{tmp_path}/a", f"{tmp_path}/b"):
        one = {("create", path), ("mkdir", f"{path}d"), ("rmdir", f"{path}d"), ("pair", f"{path}d")}
        one |= {("rename", path, f"{path}2"), ("remove", f"{path}2")}
        expected.update(dict.fromkeys(one, 1999))
    assert told_by_path(busy) - told_by_path(idle) == expected


def told_by_path(outcome: Outcome) -> Counter[tuple[str, ...]]:
    """How often the floods did what with which files."""
    return Counter(
        (
            line.verb,
            *(part.value.path for part in line.object if isinstance(part, Part) and isinstance(part.value, File)),
        )
        for line in outcome.of("flood")
    )


def test_a_bucket_goes_with_its_process(loaded: Loaded, tmp_path: Path) -> None:
    """Only the one that processes share for want of their own is left."""
    outcome = run(loaded, tmp_path, f"for i in $(seq 20); do /bin/true; done; {flood(99)}", process_limit=100)
    assert outcome.held > 0
    assert outcome.buckets == 1


def test_a_trace_of_a_flood_gives_the_same_lines(loaded: Loaded, tmp_path: Path) -> None:
    """Byte for byte, the notices and the marks with them; and the sums."""
    script = f"./quiet -ISs quiet.py & {flood(1999)}; wait"
    outcome = run(loaded, tmp_path, script, process_limit=200, global_limit=250)
    make = formatter("text", Context())
    replayed: list[Line] = []
    trace = read_trace(str(outcome.trace), lambda problem: pytest.fail(str(problem)))
    loaded.rules.ignored.clear()
    pipeline = Pipeline(loaded.program, loaded.rules, replayed.append)
    pipeline.take(trace)
    assert trace.end
    pipeline.advance(trace.end["time"])
    pipeline.finish()
    assert [make(line) for line in replayed] == [make(line) for line in outcome.lines]
    assert any(line.certainty == "partial" for line in replayed)
    assert trace.end["held"] == outcome.tally.held


class Obeying:
    """Two processes that do what they are told, and stay, under a sensor of their own."""

    CODE = """
import os, sys
for order in sys.stdin:
    for i in range(int(order)): os.mkdir("o"); os.rmdir("o")
    print("done", flush=True)
"""

    def __init__(self, loaded: Loaded, folder: Path) -> None:
        self.sensor = Sensor(demand_of(loaded.program, loaded.rules), follow=True)
        command = [sys.executable, "-ISsc", self.CODE]
        self._processes = [
            subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]

    def __enter__(self) -> Obeying:
        self.sensor.start()
        for process in self._processes:
            self.sensor.follow(process.pid)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            with process:
                process.kill()
        self.sensor.kernel.close()

    def does(self, *pairs: int) -> list[Item]:
        """One after the other makes and removes a directory so many times; what the sensor says of it."""
        for process, number in zip(self._processes, pairs, strict=False):
            assert process.stdin
            assert process.stdout
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"
        found: list[Item] = []
        while items := self.sensor.poll(0.1):
            found += items
        return found


@pytest.fixture
def obeying(loaded: Loaded, tmp_path: Path) -> Iterator[Obeying]:
    with Obeying(loaded, tmp_path) as found:
        yield found


def held_in(items: list[Item]) -> int:
    return sum(item.count for item in items if isinstance(item, Held))


def test_both_limits_at_once(obeying: Obeying) -> None:
    """Each tells what it held back itself: the first process leaves the second little of what all may send."""
    obeying.does(0, 0)
    obeying.sensor.kernel.limit(100, 101)
    found = obeying.does(300, 300) + obeying.sensor.stop()
    held = [item for item in found if isinstance(item, Held)]
    first, second = (process.pid for process in obeying._processes)
    told = {(item.process.pid, item.everyone, item.rate) for item in held if item.process}
    assert told >= {(first, False, 100), (second, True, 101)}
    assert {(everyone, rate) for _, everyone, rate in told} == {(False, 100), (True, 101)}
    assert held_in(found) == obeying.sensor.kernel.held()


def test_rates_change_while_it_runs(obeying: Obeying) -> None:
    """From none to one, to another, and back to none, without anything lost or told twice."""
    kernel = obeying.sensor.kernel
    assert held_in(obeying.does(300)) == kernel.held() == 0
    kernel.limit(100, 0)
    strict = held_in(obeying.does(300)), kernel.held()
    assert 0 < strict[1] <= 500
    kernel.limit(0, 0)
    free = obeying.does(300)
    assert sum(isinstance(item, Event) for item in free) == 600
    assert strict[0] + held_in(free) == kernel.held() == strict[1]
    kernel.limit(0, 100)
    obeying.does(300)
    assert kernel.held() > strict[1]


def test_a_process_gone_quiet_is_told_of(obeying: Obeying) -> None:
    """It sends no record any more that could say so: the kernel's table is looked at a few seconds later, once."""
    kernel = obeying.sensor.kernel
    kernel.limit(1, 0)
    found = obeying.does(0) + obeying.does(300)
    assert held_in(found) < kernel.held()
    end = time.monotonic() + 12
    while held_in(found) < kernel.held() and time.monotonic() < end:
        found += obeying.sensor.poll(1)
    assert held_in(found) == kernel.held()
    last = [item for item in found if isinstance(item, Held)][-1]
    first = next(item for item in found if isinstance(item, Event))
    assert last.process == first.process


def test_what_was_not_said_is_said_at_the_end(obeying: Obeying) -> None:
    """When Panorama stops before it looked."""
    kernel = obeying.sensor.kernel
    kernel.limit(1, 0)
    found = obeying.does(0) + obeying.does(300)
    assert held_in(found) < kernel.held()
    assert held_in(found + obeying.sensor.stop()) == kernel.held()


def test_more_processes_than_buckets(obeying: Obeying) -> None:
    """Those for whom there is no room share one, so the limit holds; whose records they were is not known then."""
    kernel = obeying.sensor.kernel
    kernel.limit(100, 0)
    for number in range(1, 16384):
        kernel._maps["buckets"].set((1, 1 << 22 | number, 0), (0, 0, 0))
    found = obeying.does(300) + obeying.sensor.stop()
    assert 0 < kernel.held() <= 500
    assert held_in(found) == kernel.held()
    assert {item.process for item in found if isinstance(item, Held)} == {None}
