# SPDX-License-Identifier: Apache-2.0
"""What watching costs real work, in time, and how many bytes are logged of it: bare, with auditd, with Panorama."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from .auditd import Auditd, audit_set_aside, known
from .bench import ROOT, Bench, CannotMeasure, said
from .modes import Bare, Mode, Panorama
from .processes import until
from .report import Row, Section, at_most
from .stats import Figure, paired, size
from .syscalls import attached

__all__ = ["Work", "measure"]

_FILES = 3200
_FOLDERS = 40
_UNITS = 56  # C files
_SAMPLES = 3  # a round, of which the median counts
_SLOWER = 5  # %
_BYTES = 1 / 20  # of auditd's


class Work:
    """What is worked on, made once; `here` is a fresh folder for each time something is done.

    `under` is a command that runs the commands, and may be changed in between.
    """

    def __init__(self, bench: Bench) -> None:
        self.under: list[str | Path] = []
        self.made = bench.folder("work/made")
        self._requests = int(bench.pick(50_000, 10_000))
        self._units = int(bench.pick(_UNITS, 10))
        tree = self.made / "tree"
        for number in range(_FILES):
            folder = tree / f"d{number % _FOLDERS}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"f{number}.txt").write_bytes(b"The same again and again.\n" * (1 + number * 7 % 300))
        said(["tar", "-C", self.made, "-cf", self.made / "tree.tar", "tree"])
        self._sources()
        if shutil.which("git"):
            git = ["git", "-C", str(tree), "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
            for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
                said([*git, *words])

    def _sources(self) -> None:
        project = self.made / "project"
        project.mkdir()
        for unit in range(self._units):
            (project / f"unit{unit}.c").write_text(
                f"#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
                f'int unit{unit}(const char *text)\n{{\n\treturn printf("%s %zu\\n", text, strlen(text) * {unit});\n}}\n'
            )
        (project / "Makefile").write_text(
            "all: $(patsubst %.c,%.o,$(wildcard *.c))\n\tgcc -shared -o all.so $^\n%.o: %.c\n\tgcc -O1 -fPIC -c -o $@ $<\n"
        )

    def untar(self, here: Path) -> float:
        return self.timed(["tar", "-xf", self.made / "tree.tar"], here)

    def read(self, _: Path) -> float:
        return self.timed(["sh", "-c", "find d* -type f -print0 | xargs -0 cat >/dev/null"], self.made / "tree")

    def build(self, here: Path) -> float:
        shutil.copytree(self.made / "project", here / "project")
        return self.timed(["make", "-s", "-j1"], here / "project")

    def clone(self, here: Path) -> float:
        return self.timed(["git", "clone", "-q", "--no-hardlinks", f"file://{self.made}/tree", "clone"], here)

    def redis(self, here: Path) -> float:
        """The server is a process of this watch, too. redis-check-rdb of redis-tools is it, under another name."""
        where = here / "redis"
        server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", where, "--save", "", "--appendonly", "no", "--dir", here],
            executable="/usr/bin/redis-check-rdb",
            stdout=subprocess.DEVNULL,
        )
        try:
            until("listening: redis-server", where.exists)
            return self.timed(["redis-benchmark", "-s", where, "-n", str(self._requests), "-t", "get", "-q"], here)
        finally:
            server.terminate()
            server.wait()

    def timed(self, command: Sequence[str | Path], folder: Path) -> float:
        if self.under:
            command = [*self.under, "env", "-C", folder, *command]
        begin = time.perf_counter()
        done = subprocess.run(
            command,
            cwd=ROOT if self.under else folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        took = time.perf_counter() - begin
        if done.returncode:
            raise CannotMeasure(f"{command[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
        return took

    def everything(self) -> dict[str, tuple[Callable[[Path], float], str]]:
        """What is done: the function, and the reason why it cannot be done here, if there is one."""
        return {
            f"untar {_FILES:,} files": (self.untar, _lacks("tar")),
            "find and xargs cat": (self.read, _lacks("find", "findutils")),
            f"make, {self._units} C files": (self.build, _lacks("make") or _lacks("gcc")),
            "git clone": (self.clone, _lacks("git")),
            f"redis-benchmark, {self._requests:,} gets": (self.redis, _lacks("redis-benchmark", "redis-tools")),
        }


def _lacks(program: str, package: str = "") -> str:
    return "" if shutil.which(program) else f"{program}: not installed; try: apt install {package or program}"


def measure(bench: Bench) -> Section:
    section = Section("Real work")
    work = Work(bench)
    seconds: dict[str, dict[str, list[float]]] = {}
    logged: dict[str, dict[str, list[float]]] = {}
    lost: dict[str, list[str]] = {}
    with audit_set_aside() as no_auditd:
        modes: list[Callable[[], Mode]] = [lambda: Bare(bench), lambda: Panorama(bench)]
        if no_auditd:
            section.note(no_auditd)
        else:
            names = known(attached())
            modes.insert(1, lambda: Auditd(bench, names))
            section.note(
                "auditd: rules for the syscalls that Panorama attaches to, Debian's settings: programs wait for it"
            )
        for do, lacking in work.everything().values():
            if not lacking:
                _once(bench, Bare(bench), do)  # the first time is slower: nothing is in the page cache
        for turn in range(bench.rounds):
            for make in modes if turn % 2 == 0 else reversed(modes):
                mode = make()
                with mode:
                    for what, (do, lacking) in work.everything().items():
                        if not lacking:
                            samples = [_once(bench, mode, do) for _ in range(_SAMPLES)]
                            took, count = (median(numbers) for numbers in zip(*samples, strict=True))
                            seconds.setdefault(what, {}).setdefault(mode.name, []).append(took)
                            logged.setdefault(what, {}).setdefault(mode.name, []).append(count)
                    words = mode.lost()
                lost.setdefault(mode.name, []).append(words or mode.lost())
    _rows(section, work, seconds, logged, no_auditd)
    section.note_lost(lost)
    section.note(f"{_SAMPLES} samples a round, and their median")
    return section


def _once(bench: Bench, mode: Mode, do: Callable[[Path], float]) -> tuple[float, int]:
    """Seconds, and bytes logged: what is dirty is written out before, what is under way is waited for behind it."""
    here = Path(tempfile.mkdtemp(dir=bench.folder("work")))  # kept: ext4 goes slowly around inodes just freed
    os.sync()
    mode.settle()
    before = mode.written()
    took = do(here)
    mode.settle()
    return took, mode.written() - before


def _rows(
    section: Section,
    work: Work,
    seconds: dict[str, dict[str, list[float]]],
    logged: dict[str, dict[str, list[float]]],
    no_auditd: str,
) -> None:
    section.table = [["", "s bare", "s auditd", "s Panorama", "bytes auditd", "bytes Panorama"]]
    for what, (_, lacking) in work.everything().items():
        slower = f"{what}: slower than bare"
        if lacking:
            section.rows.append(at_most(slower, None, _SLOWER, "%", lacking))
            continue
        took, bytes_ = seconds[what], logged[what]
        section.rows.append(at_most(slower, _slower(took["Panorama"], took["bare"]), _SLOWER, "%"))
        if "auditd" in took:
            figure = _slower(took["auditd"], took["bare"])
            section.rows.append(Row("the same with auditd", "", figure.text(), figure.spread()))
        share = Figure(paired(bytes_["Panorama"], bytes_["auditd"])) if "auditd" in took else None
        section.rows.append(at_most(f"{what}: bytes logged, of auditd's", share, _BYTES, "", no_auditd))
        sizes = [size(Figure(bytes_[name]).median) if name in bytes_ else "" for name in ("auditd", "Panorama")]
        times = [Figure(took[name]).both() if name in took else "" for name in ("bare", "auditd", "Panorama")]
        section.table.append([what, *times, *sizes])


def _slower(watched: list[float], bare: list[float]) -> Figure:
    return Figure([(ratio - 1) * 100 for ratio in paired(watched, bare)], "%")
