# SPDX-License-Identifier: Apache-2.0
"""Programs that the kernel skips: on any kernel that counts it, each skipped call is told and in the sums.

The kernel runs no program of a tracepoint while it runs one on the same processor. So one of the sensor's own programs is
attached once more, to the tracepoint of what programs print, and a program that a timer runs prints.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from panorama.event import Event, Item, Loss
from panorama.ignore import IgnoreRules
from panorama.machines.compiler import compile_behaviors
from panorama.machines.spec import load_behaviors
from panorama.output.line import Line
from panorama.paths import BEHAVIORS
from panorama.pipeline import Pipeline, sums_of
from panorama.sensor import kernel, libbpf
from panorama.sensor.btf import KernelTypes
from panorama.sensor.bytecode import compiled
from panorama.sensor.kernel import Demand
from panorama.sensor.libbpf import _PERF_EVENT_OPEN
from panorama.sensor.live import Sensor
from panorama.sensor.probes import Probe, needed

pytestmark = pytest.mark.live

PRINTS = """
BPF_PERCPU_ARRAY(printed, u64, 1);
int prints(void *ctx)
{
	u32 zero = 0;
	u64 *n = printed.lookup(&zero);
	if (n)
		++*n;
	bpf_trace_printk("x");
	return 0;
}
"""
COUNTS = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 7)  # at tracepoints
_PERF_EVENT_PROGRAM, _SOFTWARE, _CPU_CLOCK, _DISABLED = 7, 1, 0, 1
_ENABLE, _DISABLE, _SET_BPF = 0x2400, 0x2401, 0x40042408


class Printing:
    """A program that prints once in a millisecond in which this thread runs, while `times` does."""

    def __init__(self, cache: Path) -> None:
        self._lib, libc = libbpf.library(), ctypes.CDLL(None, use_errno=True)
        made = compiled(PRINTS, [], cache)
        shape = made.maps["printed"]
        key, value = libbpf.Shape(shape.key, shape.key_size), libbpf.Shape(shape.value, shape.value_size)
        self._printed = libbpf.Map(self._lib, "printed", shape.type, key, value, shape.entries, shape.flags)
        code = made.programs["prints"].linked({shape.number: self._printed.fd})
        self.program = self._lib.bpf_prog_load(_PERF_EVENT_PROGRAM, b"prints", b"GPL", code, len(code) // 8, None)
        timer = struct.pack("=IIQQQQQ64x", _SOFTWARE, 112, _CPU_CLOCK, 1_000_000, 0, 0, _DISABLED)
        self._timer = libc.syscall(_PERF_EVENT_OPEN[platform.machine()], timer, 0, -1, -1, 0)
        fcntl.ioctl(self._timer, _SET_BPF, self.program)

    def times(self, least: int) -> int:
        """Prints so often or more; gives how many calls of a program that looks on the kernel counts as skipped."""
        before = now = sum(self._printed.by_cpu(0))
        fcntl.ioctl(self._timer, _ENABLE)
        while now < before + least:
            now = sum(self._printed.by_cpu(0))
        fcntl.ioctl(self._timer, _DISABLE)
        return sum(self._printed.by_cpu(0)) - before if COUNTS else 0

    def close(self) -> None:
        for descriptor in (self._timer, self.program, self._printed.fd):
            os.close(descriptor)


@pytest.fixture
def printing(tmp_path: Path) -> Iterator[Printing]:
    made = Printing(tmp_path / "cache")
    yield made
    made.close()


@pytest.fixture
def sensor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sensor]:
    """A sensor one of whose programs is also where it is always skipped."""
    again = Probe("exit_seen", "bpf_trace:bpf_trace_printk")
    monkeypatch.setattr(kernel, "needed", lambda *given: [*needed(*given), again])
    with Sensor(Demand(frozenset({"mkdir"})), follow=True) as sensor:
        yield sensor


def missed(items: list[Item]) -> list[int]:
    return [item.count for item in items if isinstance(item, Loss) and item.missed]


def test_each_skipped_call_is_told_once(sensor: Sensor, printing: Printing) -> None:
    """Not what was skipped before the start, and not what is skipped after the stop."""
    printing.times(5)
    sensor.start()
    expected = printing.times(3)
    assert sum(missed(sensor.poll(0))) == expected
    assert missed(sensor.poll(0)) == []
    more = printing.times(2)
    assert sum(missed(sensor.stop())) == more
    printing.times(4)
    assert sensor.kernel.missed() == expected + more


def test_it_may_have_been_before_all_that_has_come(sensor: Sensor, printing: Printing, tmp_path: Path) -> None:
    """What has come by the time that calls are found missing may be what it is only because they are."""
    sensor.start()
    with subprocess.Popen(["sh", "-c", "read _; mkdir made"], cwd=tmp_path, stdin=subprocess.PIPE) as shell:
        sensor.follow(shell.pid)
    expected = printing.times(1)
    items = sensor.poll(1)
    events = [item for item in items if isinstance(item, Event)]
    assert any("mkdir" in event.triggers for event in events)
    losses = items[: len(items) - len(events)]
    assert missed(losses) == ([expected] if expected else [])
    assert all(item.time == events[0].time for item in losses)


def test_the_sums_have_them(sensor: Sensor, printing: Printing) -> None:
    """The way to a line, and to the equation."""
    lines: list[Line] = []
    pipeline = Pipeline(compile_behaviors(load_behaviors([BEHAVIORS])), IgnoreRules([]), lines.append)
    sensor.start()
    expected = printing.times(7)
    pipeline.take(sensor.stop())
    pipeline.finish()
    counts = sensor.kernel.counts()
    tally = sums_of(pipeline, {"seen": counts.seen, "lost": counts.lost}, 0)
    assert tally.missing() == {}
    assert tally.lost == ({"missed": expected} if expected else {})
    assert [line.verb for line in lines] == ["lost"] * bool(expected)


def test_a_process_whose_end_was_skipped_is_followed_no_more(sensor: Sensor) -> None:
    """Its number may be another's soon, and who waits for the end of all would wait for ever."""
    sensor.start()
    with subprocess.Popen(["sleep", "60"]) as alive, subprocess.Popen(["true"]) as gone:
        gone.wait()
        sensor.kernel.follow(alive.pid)
        sensor.kernel.follow(gone.pid)
        assert sensor.kernel.following() == 1
        alive.kill()
    assert sensor.kernel.following() == 0


def test_what_is_read_is_of_this_program(printing: Printing) -> None:
    """By a member that every kernel has; and one that is beyond the kernel's struct is 0, not an error."""
    lib, types = libbpf.library(), KernelTypes()
    at, size = types.offset("bpf_prog_info", "name"), types.size("bpf_prog_info")
    types.close()
    assert at
    assert libbpf.number_of_program(lib, printing.program, at) == int.from_bytes(b"prints\0\0", sys.byteorder)
    assert libbpf.number_of_program(lib, printing.program, size) == 0
