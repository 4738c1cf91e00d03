# SPDX-License-Identifier: Apache-2.0
"""What may watch the machine during a measurement: nothing, an empty eBPF program, or Panorama. auditd is in auditd.py.

Each is a context manager that is in full effect inside and gone without a trace behind it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .bench import PYTHON, ROOT, Bench, CannotMeasure, Missing
from .processes import cpu_seconds, group, until

__all__ = ["Bare", "Empty", "Mode", "Panorama", "Rsyslog", "last_line"]

_NO_LIMITS = {"process": 0, "global": 0}  # what a record costs is what is measured
_SUMS = re.compile(r"panorama: .*; (\d+) events = .* (\d+) lost")


class Mode:
    """Nothing watches. The other modes say more."""

    name = "bare"

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.folder = bench.scratch

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name.split(',')[0]}-", dir=self.bench.scratch))
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Returns when it watches."""

    def stop(self) -> None:
        """Returns when the kernel has let go of it. Also called after a start that failed."""

    def settle(self) -> None:
        """Waits until what happened so far is in the log."""

    def written(self) -> int:
        """Bytes logged so far."""
        return 0

    def cpu(self) -> float:
        """Seconds of CPU that its processes have used."""
        return 0.0

    def lost(self) -> str:
        """What it did not log, in words; empty if nothing. Panorama knows when it has stopped, auditd before."""
        return ""


class Bare(Mode):
    pass


class Empty(Mode):
    """An eBPF program that does nothing, at a syscall that nobody makes: the kernel's own price of tracepoints."""

    name = "empty"
    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [PYTHON, "-m", "tests.bench.empty"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        assert self._process.stderr
        if self._process.stdout.readline() != "attached\n":
            raise CannotMeasure(f"the empty eBPF program: {last_line(self._process.stderr.read())}")

    def stop(self) -> None:
        if self._process:
            self._process.communicate("")  # its end of input
            self._process = None


class Rsyslog:
    """An rsyslogd of the benchmark's own: it listens at `socket` and writes to `log`, both in `folder`."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("rsyslogd"):
            raise Missing("rsyslogd: not installed; try: apt install rsyslog")
        self.socket, self.log = folder / "socket", folder / "log"
        config = folder / "rsyslog.conf"
        config.write_text(
            'module(load="imuxsock" SysSock.Use="off")\n'
            f'input(type="imuxsock" Socket="{self.socket}")\n'
            f'*.* action(type="omfile" file="{self.log}")\n'
        )
        self.process = subprocess.Popen(
            ["rsyslogd", "-n", "-f", config, "-i", folder / "pid"], stderr=subprocess.DEVNULL, start_new_session=True
        )
        until("listening: rsyslogd", self.socket.exists)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class Panorama(Mode):
    """The service with its default behaviors and no rate limits, lines to an rsyslogd; or with other options and sinks.

    `sinks` is what the configuration says of them.
    """

    name = "Panorama"

    def __init__(self, bench: Bench, options: Sequence[str] = (), sinks: dict[str, Any] | None = None) -> None:
        super().__init__(bench)
        self.sums = ""
        self.attached = 0.0  # time.monotonic() when it said so
        self._read = 0  # bytes of the log that are older than the last probe
        self._options = options
        self._sinks = sinks
        self._process: subprocess.Popen[bytes] | None = None
        self._rsyslog: Rsyslog | None = None

    def start(self) -> None:
        if not self._sinks:
            self._rsyslog = Rsyslog(self.folder)
        self.launch()
        self.wait_attached()
        if self._rsyslog:
            self.settle()

    def launch(self) -> None:
        sinks = self._sinks or {"local": {"type": "syslog", "path": f"{self.folder}/socket"}}
        config = self.folder / "panorama.yaml"
        config.write_text(
            json.dumps({"spool": {"folder": f"{self.folder}/state"}, "limits": _NO_LIMITS, "sinks": sinks})
        )
        command = [PYTHON, "-m", "panorama", "run", "--config", str(config), *self._options]
        environment = {**os.environ, "RUNTIME_DIRECTORY": f"{self.folder}/run"}
        with open(self.folder / "errors", "wb") as errors:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=errors, start_new_session=True)

    def status(self) -> dict[str, Any]:
        """What `panorama status` says of it."""
        environment = {**os.environ, "RUNTIME_DIRECTORY": f"{self.folder}/run"}
        command = [PYTHON, "-m", "panorama", "status", "--format", "json"]
        asked = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if asked.returncode:
            raise CannotMeasure(f"panorama status: {last_line(asked.stderr)}")
        return dict(json.loads(asked.stdout))

    def wait_attached(self) -> None:
        until("watching: panorama", self._watching, every=0.001)
        self.attached = time.monotonic()

    def _said(self) -> str:
        return (self.folder / "errors").read_text(errors="replace")

    def _watching(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            raise CannotMeasure(f"panorama run: {last_line(self._said())}")
        return "watching with" in self._said()

    def _probe(self) -> bool:
        """Makes a file of a new name; whether the line about it, or about one before it, came within a second."""
        assert self._rsyslog
        probe = self.folder / f"probe{time.monotonic_ns()}"
        probe.write_text("x")
        probe.unlink()
        end = time.monotonic() + 1
        while time.monotonic() < end:
            if self._rsyslog.log.exists():
                with open(self._rsyslog.log, "rb") as log:
                    log.seek(self._read)
                    if b"create probe" in log.read():
                        return True
            time.sleep(0.02)
        return False

    def stop(self) -> None:
        """The tracepoints go with the last process of its group, which is a child that outlives it."""
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(120)
                until("detached: panorama", lambda: not self._process or not group(self._process.pid), 60)
            except BaseException:
                self._process.kill()
                raise
            finally:
                self.sums = self._said()
                self._process = None
        if self._rsyslog:
            self._rsyslog.stop()
            self._rsyslog = None

    def settle(self) -> None:
        """Lines come in the order of what they tell, so a new one is in the log when all earlier ones are."""
        self._read = self.written()
        until("in the log: lines of panorama", self._probe, 120)

    def written(self) -> int:
        log = self.folder / "log"
        return log.stat().st_size if log.exists() else 0

    def processes(self) -> list[int]:
        """Its own, without rsyslogd."""
        return group(self._process.pid) if self._process else []

    def cpu(self) -> float:
        return cpu_seconds(self.processes() + ([self._rsyslog.process.pid] if self._rsyslog else []))

    def lost(self) -> str:
        match = _SUMS.search(self.sums)
        if not match:
            return f"its sums could not be read: {last_line(self.sums)}" if self.sums else ""
        seen, lost = int(match[1]), int(match[2])
        return f"{lost:,} of {seen:,} syscalls" if lost else ""


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["nothing was said"])[-1]
