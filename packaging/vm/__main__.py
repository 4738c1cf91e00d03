# SPDX-License-Identifier: Apache-2.0
"""Panorama as a user has it: its package on Debian, and its sensor on Debian's kernels, in virtual machines.

`make vm-test` runs all of it, `make vm-test VM="deb-12 deb-13"` these machines alone. In each one the package is
installed, upgraded and removed (checks/), and the sensor's live tests are run with the package that is installed.
Prints what the machines print, and in the end a table.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tarfile
import tempfile
import time
from functools import partial
from pathlib import Path

from images import IMAGES, Trouble, build
from machine import accelerator, run

_TOP = Path(__file__).resolve().parents[2]
_JOB = Path(__file__).with_name("job")
_MOST = 5400  # s for one machine, which may be emulated
_PASSED = re.compile(r"^(?P<part>package|live): (?P<told>\d+ of \d+)$", re.M)
_MACHINE = re.compile(r"^machine: (?P<kernel>\S+) (?P<systemd>\S+) (?P<bcc>\S+)$", re.M)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make vm-test", description=__doc__, allow_abbrev=False)
    parser.add_argument("--packages", default="", help="what else the machines have installed")
    parser.add_argument("--part", choices=("package", "live"), action="append", help="only this; may be repeated")
    parser.add_argument("deb", type=Path, help="the package")
    parser.add_argument("upgrade", type=Path, help="the same with a higher version")
    parser.add_argument("machine", nargs="*", help=f"of {', '.join(IMAGES)}; all of them if none is given")
    given = parser.parse_intermixed_args()
    rows, failed = [], False
    for name in given.machine or IMAGES:
        if name not in IMAGES:
            parser.error(f"there is no machine '{name}'; there are {', '.join(IMAGES)}")
        try:
            image = build(name, given.packages.split())
            print(f"== {name} ({accelerator(image)})", flush=True)
            with tempfile.TemporaryDirectory() as folder:
                job = Path(folder) / "job.tar"
                _pack(job, given.deb, given.upgrade, given.part or ["package", "live"])
                begun = time.monotonic()
                output: list[str] = []
                status = run(image, job, partial(_tell, output), _MOST)
            rows.append(_row(name, "".join(output), time.monotonic() - begun))
            failed |= status != 0
        except Trouble as trouble:
            print(f"vm-test: {name}: {trouble}", file=sys.stderr)
            failed = True
    print("\n| machine | kernel | systemd | BCC | package | live | minutes |\n|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    return int(failed)


def _pack(job: Path, deb: Path, upgrade: Path, parts: list[str]) -> None:
    with tarfile.open(job, "w") as tar:
        tar.add(_JOB, "job")
        tar.add(deb, "panorama.deb")
        tar.add(upgrade, "upgrade.deb")
        tar.add(Path(__file__).with_name("checks"), "checks")
        for name in ("tests", "behaviors", "traces", "pyproject.toml"):
            tar.add(_TOP / name, f"live/{name}")
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(" ".join(parts))
            file.flush()
            tar.add(file.name, "parts")


def _tell(output: list[str], text: str) -> None:
    output.append(text)
    print(text, end="", flush=True)


def _row(name: str, output: str, seconds: float) -> str:
    machine = _MACHINE.search(output)
    told = {found["part"]: found["told"] for found in _PASSED.finditer(output)}
    about = machine.groups() if machine else ("", "", "")
    cells = [name, *about, told.get("package", ""), told.get("live", ""), f"{seconds / 60:.0f}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and so end the machine, too
    sys.exit(main())
