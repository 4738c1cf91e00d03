# SPDX-License-Identifier: Apache-2.0
"""Records that find no room: it is known at once that some are missing, and in the end which."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from panorama.demand import demand_of
from panorama.event import Event, Item, Loss
from panorama.ignore import load_ignore
from panorama.machines.compiler import compile_behaviors
from panorama.machines.spec import load_behaviors
from panorama.paths import BEHAVIORS
from panorama.sensor.live import Sensor

pytestmark = pytest.mark.live

FLOOD = "for i in $(seq 400); do : >f$i; done"


@pytest.fixture
def small() -> Iterator[Sensor]:
    """A sensor that follows processes, with a ring buffer of one page."""
    program, rules = compile_behaviors(load_behaviors([BEHAVIORS])), load_ignore(BEHAVIORS / "ignore.yaml")
    with Sensor(demand_of(program, rules), follow=True, ring_pages=1) as sensor:
        sensor.start()
        yield sensor


def polled(sensor: Sensor, quiet: float = 0.3) -> list[Item]:
    """What comes until nothing does for a while."""
    items: list[Item] = []
    end = time.monotonic() + quiet
    while time.monotonic() < end:
        if found := sensor.poll(0.05):
            items += found
            end = time.monotonic() + quiet
    return items


def test_what_one_cpu_lost_is_known_before_another_says_more(small: Sensor, tmp_path: Path) -> None:
    """The last records of a cpu are gone, and nothing more comes from it: what another reports is not taken for all."""
    cpus = sorted(os.sched_getaffinity(0))
    one, other = cpus[0], cpus[-1]
    script = f"read _; taskset -c {other} sh -c '{FLOOD}'; echo; read _; : >last"
    with subprocess.Popen(
        ["taskset", "-c", str(one), "sh", "-c", script],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as shell:
        assert shell.stdin
        assert shell.stdout
        small.follow(shell.pid)
        shell.stdin.write(b"\n")
        shell.stdin.flush()
        shell.stdout.readline()  # the flood is over, and nobody has read a record of it
        before = polled(small)
        shell.stdin.write(b"\n")
        shell.stdin.close()
        shell.wait(60)
        after = polled(small)
    last = [event.cpu for event in after if isinstance(event, Event)]
    assert last == [one] * len(last)
    assert isinstance(before[0], Loss)
    assert before[0].count == 0
    told = [item for item in [*before, *after, *small.stop()] if isinstance(item, Loss)]
    assert sum(loss.count for loss in told) == small.kernel.lost() > 0
    assert all(loss.since_boot for loss in told)
