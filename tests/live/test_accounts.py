# SPDX-License-Identifier: Apache-2.0
"""Conservation: what a program that counts its own syscalls did is in lines, ignored, unexplained or lost; all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from panorama.commands.loop import Loop
from panorama.commands.options import Loaded
from panorama.commands.watch import follow
from panorama.ignore import load_ignore
from panorama.machines.compiler import compile_behaviors
from panorama.machines.spec import load_behaviors
from panorama.paths import BEHAVIORS
from panorama.service.delivery import Delivery
from panorama.tally import Tally

pytestmark = pytest.mark.live

# Does each thing a known number of times, and says how often it did what.
GENERATOR = """
import json, os, sys
turns = int(sys.argv[1])
done = dict.fromkeys(("open", "read", "write", "close", "unlink", "rename", "mkdir", "rmdir", "chmod"), 0)
def count(name, n=1): done[name] += n
for i in range(turns):
    f = os.open("f", os.O_RDWR | os.O_CREAT); count("open")
    for _ in range(i % 5): os.write(f, b"x"); count("write")
    for _ in range(i % 3): os.read(f, 1); count("read")
    os.close(f); count("close")
    if i % 2: os.rename("f", "g"); count("rename"); os.unlink("g"); count("unlink")
    else: os.chmod("f", 0o600); count("chmod"); os.unlink("f"); count("unlink")
    n = os.open("/dev/null", os.O_RDWR); count("open"); os.write(n, b"x"); count("write"); os.close(n); count("close")
    os.mkdir("d"); count("mkdir"); os.rmdir("d"); count("rmdir")
os.write(int(sys.argv[2]), json.dumps(done).encode())
os._exit(0)
"""


@dataclass
class Outcome:
    """What the generator counted, what the kernel saw beyond an idle run of it, the sums, and records found missing."""

    counted: dict[str, int]
    seen: dict[str, int]
    tally: Tally
    losses: int
    lost: int  # records, says the kernel


def generate(tmp_path: Path, turns: int, ring_pages: int) -> Outcome:
    """Runs the generator under watch, idle and busy."""
    script = tmp_path / "generator.py"
    script.write_text(GENERATOR)
    program, rules = compile_behaviors(load_behaviors([BEHAVIORS])), load_ignore(BEHAVIORS / "ignore.yaml")
    done = []
    for n in (0, turns):
        output = tmp_path / f"counts{n}"
        loop = Loop(Loaded(program, rules), Delivery(), None, follow=True, long_open=30.0, ring_pages=ring_pages)
        command = f"cd {tmp_path} && exec /usr/bin/python3 -ISs generator.py {n} 3 3>{output}"
        assert follow(loop, ["/bin/sh", "-c", command]) == 0
        done.append((loop, json.loads(output.read_text()), loop.end()))
        lost = loop.sensor.kernel.lost()
        loop.sensor.kernel.close()
        rules.ignored.clear()
    (_, _, idle), (loop, counted, tally) = done
    extra = {name: tally.seen.get(name, 0) - idle.seen.get(name, 0) for name in counted}
    assert not tally.missing(), tally.text()
    assert not idle.missing(), idle.text()
    return Outcome(counted, extra, tally, loop.pipeline.losses, lost)


def test_every_syscall_is_accounted_for(tmp_path: Path) -> None:
    """What the kernel saw more of in the busy run than in the idle one is what the generator says it did."""
    outcome = generate(tmp_path, 997, 4096)
    assert outcome.seen == outcome.counted
    assert not outcome.tally.lost
    assert outcome.tally.ignored["endless-devices"]["write"] >= 997


def test_a_ring_that_is_too_small_loses_and_says_so(tmp_path: Path) -> None:
    """One page of ring buffer: records are lost, each is counted by its syscalls, and a gap shows where."""
    outcome = generate(tmp_path, 4999, 1)
    assert outcome.seen == outcome.counted
    assert sum(outcome.tally.lost.values()) > 0
    assert outcome.losses == outcome.lost > 0


def test_more_open_files_at_exit_than_can_be_reported(tmp_path: Path) -> None:
    """What cannot be told of them any more is counted as lost; nothing stays behind in the kernel."""
    program, rules = compile_behaviors(load_behaviors([BEHAVIORS])), load_ignore(BEHAVIORS / "ignore.yaml")
    loop = Loop(Loaded(program, rules), Delivery(), None, follow=True, long_open=30.0)
    code = 'import os\nfor i in range(401): os.write(os.open(f"f{i}", os.O_WRONLY | os.O_CREAT), b"x")\nos._exit(0)'
    assert follow(loop, ["/bin/sh", "-c", f"cd {tmp_path} && exec /usr/bin/python3 -ISsc '{code}'"]) == 0
    left = list(loop.sensor.kernel.open_sessions())
    tally = loop.end()
    loop.sensor.kernel.close()
    assert not left
    assert not tally.missing(), tally.text()
    made = tally.in_lines.get("open", 0)
    assert made >= 40
    assert tally.lost.get("open", 0) == 401 - made


def test_the_sums_are_printed(tmp_path: Path) -> None:
    """What a user sees: the equation, with nothing unaccounted for."""
    done = subprocess.run(
        [sys.executable, "-m", "panorama", "watch", "--sums", "--", "touch", str(tmp_path / "f")],
        capture_output=True,
        text=True,
        check=True,
    )
    equation = next(line for line in done.stderr.splitlines() if " events = " in line)
    words = equation.replace("+", " ").replace("=", " ").split()
    numbers = [int(word) for word in words if word.isdigit()]
    assert numbers[1] == sum(numbers[2:])
    assert "unaccounted" not in equation
