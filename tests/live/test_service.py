# SPDX-License-Identifier: Apache-2.0
"""`panorama run` as the service: configured sinks, status, word to systemd, and what a kill or a restart leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PANORAMA = str(Path(sys.executable).parent / "panorama")

CONFIGURATION = """\
log: operations
spool: {{folder: {folder}/state}}
sinks:
  log: {{type: file, path: {folder}/log.jsonl, format: json}}
  some: {{type: file, path: {folder}/some.jsonl, format: json, filter: {{behavior: [name]}}}}
"""


def until(holds: Callable[[], object], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.02)


class Service:
    """A service in a folder of its own: its state, its socket, its sinks' files."""

    def __init__(self, folder: Path, configuration: str = CONFIGURATION) -> None:
        self.folder = folder
        self.config = folder / "panorama.yaml"
        self.config.write_text(configuration.format(folder=folder))
        self.environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "RUNTIME_DIRECTORY": str(folder / "run"),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *inside: str, **environment: str) -> None:
        """`inside` is a command that runs it."""
        with (self.folder / "stderr").open("ab") as err:
            self.process = subprocess.Popen(
                [*inside, PANORAMA, "run", "--config", str(self.config)],
                env={**self.environment, **environment},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=err,
                stderr=err,
            )
        until(lambda: self.status() or self.ended, "the start")
        assert not self.ended, self.err

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    @property
    def err(self) -> str:
        return (self.folder / "stderr").read_text()

    def asked(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PANORAMA, *arguments], env=self.environment, capture_output=True, text=True, timeout=30, cwd="/"
        )

    def status(self) -> dict[str, Any]:
        asked = self.asked("status", "--format", "json")
        return dict(json.loads(asked.stdout)) if asked.returncode == 0 else {}

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(30)

    def records(self, name: str = "log") -> list[dict[str, Any]]:
        """Whole lines: one may be in the making."""
        whole, _, _ = (self.folder / f"{name}.jsonl").read_text().rpartition("\n")
        return [json.loads(text) for text in whole.splitlines()]

    def said(self, name: str = "log") -> list[str]:
        return [f"{record['process']['command']} {record['verb']} {record['object']}" for record in self.records(name)]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    made: list[Service] = []

    def make(configuration: str = CONFIGURATION) -> Service:
        made.append(Service(tmp_path, configuration))
        return made[-1]

    yield make
    for each in made:
        if each.process and not each.ended:
            each.process.kill()
            each.process.wait()


def touch(path: Path) -> None:
    subprocess.run(["touch", path], check=True)


def test_status_tells_what_runs_and_how_it_is(service: Callable[..., Service], tmp_path: Path) -> None:
    it = service()
    it.start()
    touch(tmp_path / "seen")
    subprocess.run(["rm", tmp_path / "seen"], check=True)
    until(lambda: any("rm remove seen" in said for said in it.said()), "the line")
    before = len(it.records())
    facts = it.status()
    assert facts["schema"] == "panorama-status/1"
    assert facts["pid"] == it.process.pid if it.process else 0
    assert {"file", "name"} <= set(facts["behaviors"]["loaded"])
    assert len(facts["behaviors"]["digest"]) == 64
    assert facts["events"]["seen"]["unlink"] >= 1
    then = len(it.records())
    assert before <= facts["sequence"] <= then
    assert before <= {sink["name"]: sink["lines"] for sink in facts["sinks"]}["log"] <= then
    text = it.asked("status")
    assert text.stdout.startswith("panorama ")
    assert re.search(r"\nsink         log: \d+ lines, 0 waiting\n", text.stdout)
    assert re.search(r"\nmachines     \d+ alive, holding 0 operations back\n", text.stdout)
    equation = re.search(r"\nevents       (\d+) events = (.*) under way\n", text.stdout)
    assert equation
    assert int(equation[1]) == sum(map(int, re.findall(r"\d+", equation[2])))
    assert re.search(r"\nignored      program-loading: (\d+ [a-z]+(, )?)+\n", text.stdout)
    assert re.search(r"\nunexplained  (\d+ [a-z]+(, )?)+\n", text.stdout)
    assert it.process
    it.process.send_signal(signal.SIGUSR1)
    until(lambda: re.search(r"^panorama: \d+ lines; \d+ events = .* under way$", it.err, re.MULTILINE), "the sums")
    assert it.stop() == 0
    gone = it.asked("status")
    assert (gone.returncode, gone.stdout) == (3, "")
    assert gone.stderr == "panorama: no service runs; try: systemctl start panorama\n"


def test_lines_are_numbered_over_restarts_and_complete_in_every_sink(
    service: Callable[..., Service], tmp_path: Path
) -> None:
    it = service()
    for run in range(3):
        it.start()
        for number in range(20):
            touch(tmp_path / f"{run}-{number}")
            (tmp_path / f"{run}-{number}").rename(tmp_path / f"{run}-{number}.new")
        until(lambda run=run: any(f" rename {run}-19 " in said for said in it.said("some")), "the lines")
        assert it.stop() == 0
    sequences = [record["sequence"] for record in it.records()]
    assert sequences == list(range(1, len(sequences) + 1))
    said = it.said()
    assert [record["verb"] for record in it.records() if record["behavior"] == "panorama"] == ["started", "stopped"] * 3
    for run in range(3):
        assert sum(words.startswith(f"touch create {run}-") for words in said) == 20
    verified = it.asked("verify", str(tmp_path / "log.jsonl"))
    assert (verified.returncode, "none missing" in verified.stdout) == (0, True)
    assert {record["behavior"] for record in it.records("some")} == {"name", "panorama"}
    assert it.asked("verify", str(tmp_path / "some.jsonl")).returncode == 0


def test_a_killed_service_goes_on_with_numbers_of_its_own(service: Callable[..., Service], tmp_path: Path) -> None:
    it = service()
    for run in range(3):
        it.start()
        for number in range(20):
            touch(tmp_path / f"{run}-{number}")
        until(lambda run=run: f"touch create {run}-19" in " ".join(it.said()), "the lines")
        it.stop(signal.SIGKILL)
    sequences = [record["sequence"] for record in it.records()]
    assert len(sequences) == len(set(sequences))
    assert sequences == sorted(sequences)


class Notified:
    """What systemd would be told."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(20)

    def next(self) -> str:
        return self.socket.recv(4096).decode()

    def silent(self) -> bool:
        """Whether nothing comes any more; takes what does."""
        try:
            self.next()
        except TimeoutError:
            return True
        return False


def test_systemd_is_told_when_it_is_ready_alive_and_stopping(service: Callable[..., Service], tmp_path: Path) -> None:
    it = service()
    notified = Notified(tmp_path / "notify")
    it.start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="2000000")
    ready = notified.next()
    touch(tmp_path / "after-ready")
    assert ready.startswith("READY=1\nSTATUS=watching with ")
    told = time.monotonic()
    for _ in range(3):
        assert notified.next() == "WATCHDOG=1"
        assert time.monotonic() - told < 2
        told = time.monotonic()
    assert "touch create after-ready" in " ".join(it.said())
    assert it.process
    os.kill(it.process.pid, signal.SIGTERM)
    while (word := notified.next()) == "WATCHDOG=1":
        pass
    assert word == "STOPPING=1"
    assert it.process.wait(30) == 0


def test_a_loop_that_stands_still_is_not_called_alive(service: Callable[..., Service], tmp_path: Path) -> None:
    it = service()
    notified = Notified(tmp_path / "notify")
    it.start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="1000000")
    assert it.process
    it.process.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    notified.socket.settimeout(1.5)
    until(lambda: notified.silent(), "silence")
    it.process.send_signal(signal.SIGCONT)
    assert notified.next() == "WATCHDOG=1"


def test_a_second_service_is_refused_and_the_first_goes_on(service: Callable[..., Service], tmp_path: Path) -> None:
    it = service()
    it.start()
    second = it.asked("run", "--config", str(it.config))
    assert second.returncode == 1
    assert "another Panorama runs as a service; try: panorama status" in second.stderr
    assert it.status()["pid"] == it.process.pid if it.process else 0


def test_repeated_lines_are_folded(service: Callable[..., Service], tmp_path: Path) -> None:
    it = service()
    (tmp_path / "again").write_text("x")
    it.start()
    script = (
        f"import os\nfor _ in range(50):\n f = os.open('{tmp_path}/again', os.O_RDONLY); os.read(f, 9); os.close(f)\n"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", script], check=True)
    until(lambda: any("repeated" in record for record in it.records()), "the count")
    assert it.stop() == 0
    mine = [record for record in it.records() if record["object"].startswith("again:")]
    assert [record.get("repeated", 1) for record in mine] == [1, 49]


SHIPPED = """\
spool: {{folder: {folder}/state}}
sinks:
  log: {{type: file, path: {folder}/log.jsonl, format: json, policy: full}}
  siem: {{type: remote-syslog, address: "127.0.0.1:{port}", transport: tcp, format: {form}}}
chain: true
"""


class Receiver:
    """An rsyslogd that listens on TCP and stores what comes as RFC 5424 has it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.stored = folder / "received"
        self._config = folder / "rsyslog.conf"
        self._config.write_text(
            'module(load="imtcp")\n'
            f'input(type="imtcp" address="127.0.0.1" port="{self.port}")\n'
            f'*.* action(type="omfile" file="{self.stored}" template="RSYSLOG_SyslogProtocol23Format")\n'
        )
        self._pid = folder / "rsyslogd.pid"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["rsyslogd", "-n", "-f", self._config, "-i", self._pid], stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    made = Receiver(tmp_path)
    yield made
    made.kill()


@pytest.mark.parametrize("form", ["json", "text"])
def test_killed_again_and_again_under_load_every_line_arrives(
    service: Callable[..., Service], receiver: Receiver, tmp_path: Path, form: str
) -> None:
    """The service and the receiver are killed in turn, while programs work and the spool fills and empties."""
    it = service(SHIPPED.replace("{port}", str(receiver.port)).replace("{form}", form))
    script = "i=0; while :; do i=$((i+1)); echo x > f$i; mv f$i g$i; rm g$i; sleep 0.01; done"
    worker = subprocess.Popen(["/bin/sh", "-c", script], cwd=tmp_path)
    try:
        for turn in range(4):
            it.start()
            if turn == 0:
                receiver.start()
            time.sleep(1.5 + 0.37 * turn)
            if turn == 1:
                receiver.kill()
                time.sleep(0.5)
                receiver.start()
            if turn < 3:
                it.stop(signal.SIGKILL)
    finally:
        worker.kill()
        worker.wait()
    emitted = {record["sequence"] for record in it.records()}
    assert len(emitted) > 300

    def arrived() -> set[int]:
        return {int(match) for match in re.findall(r' sequence="(\d+)"', receiver.stored.read_text())}

    until(lambda: emitted <= arrived(), "every line at the receiver")
    assert it.stop() == 0
    everything = {record["sequence"] for record in it.records()}
    if not arrived() >= everything:  # it had two seconds for the last ones: they wait on disk
        it.start()
        until(lambda: everything <= arrived(), "the last lines at the receiver")
        assert it.stop() == 0
    ours = it.asked("verify", str(tmp_path / "log.jsonl"))
    assert (ours.returncode, "none missing" in ours.stdout) == (0, True), ours.stdout
    theirs = it.asked("verify", str(receiver.stored))
    assert (theirs.returncode, "none missing" in theirs.stdout) == (0, True), theirs.stdout
    assert "all lines are chained, none is altered" in theirs.stdout


def test_a_unit_without_network_is_told_of_where_a_sink_needs_one(
    service: Callable[..., Service], receiver: Receiver
) -> None:
    it = service(SHIPPED.replace("{port}", str(receiver.port)).replace("{form}", "json"))
    it.start("unshare", "--net")
    wanted = "panorama waiting no network for the sinks that need one; if the unit keeps it away, try: systemctl daemon-reload"
    until(lambda: any(words.startswith(wanted) for words in it.said()), "the line")
    assert it.status()["sinks"][1]["trouble"]
    assert it.stop() == 0
