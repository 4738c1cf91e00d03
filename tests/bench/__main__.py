# SPDX-License-Identifier: Apache-2.0
"""The benchmarks: `make bench`, or as root

    python -m tests.bench [PART ...] [--rounds N] [--quick]

Prints tables, and keeps them in results.json and RESULTS.md beside this file; a part that is not measured this time
keeps what it had. Whether a wish is met does not change the exit status; that is 1 if something could not be measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import activities, execs, latency, memory, rate, replay, sinks, start, syscalls, work
from .bench import Bench, CannotMeasure, Missing
from .machine import describe, disturbers
from .report import Row, Section, store

PARTS: dict[str, Callable[[Bench], Section]] = {
    "syscalls": syscalls.measure,
    "work": work.measure,
    "start": start.measure,
    "memory": memory.measure,
    "execs": execs.measure,
    "sinks": sinks.measure,
    "rate": rate.measure,
    "replay": replay.measure,
    "activities": activities.measure,
    "latency": latency.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench", description="Measures Panorama on this machine.")
    parser.add_argument("part", nargs="*", metavar="PART", help=f"of {' '.join(PARTS)} (default: all)")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each mode takes its turn (default: 5)")
    parser.add_argument("--quick", action="store_true", help="2 rounds, short loads, nothing stored: does it work?")
    arguments = parser.parse_args()
    if unknown := [part for part in arguments.part if part not in PARTS]:
        parser.error(f"no part '{unknown[0]}'; there are {', '.join(PARTS)}")
    if os.geteuid() != 0:
        print("tests.bench: eBPF and auditd need root; try: make bench", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is put back
    scratch = Path(tempfile.mkdtemp(prefix="panorama-bench-", dir="/var/tmp"))
    try:
        rounds = arguments.rounds or (2 if arguments.quick else 5)
        return run(arguments.part or list(PARTS), Bench(rounds, arguments.quick, scratch), not arguments.quick)
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def run(parts: list[str], bench: Bench, stored: bool) -> int:
    """Measures and prints part by part; what is measured is stored at once, so that an interrupt costs one part."""
    machine = describe()
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    status = 0
    for part in parts:
        before = time.monotonic()
        disturbed = disturbers()
        try:
            section = PARTS[part](bench)
        except Missing as error:
            section = Section(part, [Row(part, "", str(error))])
        except CannotMeasure as error:
            print(f"tests.bench: {part}: {error}", file=sys.stderr)
            status = 1
            continue
        section.machine, section.measured = machine, time.strftime("%Y-%m-%d")
        section.rounds = section.rounds or bench.rounds
        for words in disturbed:
            section.note(words)
        print(f"\n{section.text()}\n({part}: {time.monotonic() - before:.0f} s)", flush=True)
        if stored:
            store({part: section}, list(PARTS))
    return status


if __name__ == "__main__":
    sys.exit(main())
