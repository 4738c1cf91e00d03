# SPDX-License-Identifier: Apache-2.0
"""The real command under the real kernel: what a user of `run`, `watch`, `record` and `doctor` sees."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from panorama.output.formats import FORMATS

pytestmark = pytest.mark.live

PANORAMA = str(Path(sys.executable).parent / "panorama")
OPERATIONS = ("--log", "operations")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm", "HOME": "/root"}
TEXT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} \d+ \d+ (\S+) (\S+ \S+.*)")
SUMS = re.compile(
    r"panorama: (\d+) lines; (\d+) events = (\d+) in lines \+ (\d+) ignored \+ (\d+) unexplained"
    r"(?: \+ 0 held back)? \+ (\d+) lost$",
    re.MULTILINE,
)

MARKED = """\
behavior: marked
summary: Files with a mark are read.
layer: operation
per: file
severity: notice
initial: new
transitions:
- {trigger: open, source: new, dest: red, conditions: {file: "**/red"}}
- {trigger: open, source: new, dest: yellow, conditions: {file: "**/yellow"}}
- {trigger: close, source: [red, yellow], emit: "notice {file}"}
"""


def until(holds: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Waits for it; fails when it has taken too long."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def panorama(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PANORAMA, *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )


def words(text: str) -> list[str]:
    """The lines without times, ids, users and inodes; other lines as they are."""
    return [
        re.sub(r":\d+(?= |$)", "", match.group(2)) if (match := TEXT.fullmatch(line)) else line
        for line in text.splitlines()
    ]


def sums(text: str) -> list[int]:
    """The numbers of the equation, which adds up."""
    match = SUMS.search(text)
    assert match, text
    lines, total, *parts = map(int, match.groups())
    assert total == sum(parts), text
    return [lines, total, *parts]


SO_FAR = re.compile(
    r"panorama: (\d+) lines; (\d+) events = (\d+) in lines \+ (\d+) ignored \+ (\d+) unexplained"
    r" \+ (\d+) held back \+ (\d+) lost \+ (\d+) in machines \+ (\d+) under way$",
    re.MULTILINE,
)


def sums_so_far(text: str) -> list[list[int]]:
    """The numbers of each equation that was printed on the way; all add up."""
    found = [list(map(int, match.groups())) for match in SO_FAR.finditer(text)]
    for _, total, *parts in found:
        assert total == sum(parts), text
        assert min(parts) >= 0, text
    return found


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "full"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0755", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


class Running:
    """`panorama run` in the background, with its output in files; `within` is a command that runs it."""

    def __init__(self, folder: Path, *arguments: str | Path, within: Sequence[str] = ()) -> None:
        self._out, self._err = folder / "stdout", folder / "stderr"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*within, PANORAMA, *arguments],
                cwd=folder,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        until(lambda: "ing" in self.err or self.process.poll() is not None, "the start")
        assert self.process.poll() is None, self.err

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(*arguments: str | Path, within: Sequence[str] = ()) -> Running:
        started.append(Running(tmp_path, *arguments, within=within))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def touch(path: Path) -> None:
    """Makes a file by another program."""
    subprocess.run(["touch", path], check=True)


def test_watch_tells_of_the_command_and_its_descendants_and_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "late").write_text("late\n")
    script = "echo hi > f; cat f; (until [ -e go ]; do sleep 0.05; done; exec cat late >&2) 2> g & exit 7"
    with subprocess.Popen(
        [PANORAMA, "watch", *OPERATIONS, "--", "sh", "-c", script],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until((tmp_path / "g").exists, "the descendant")
        touch(tmp_path / "outside")
        touch(tmp_path / "go")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert out == "hi\n"
    told = [line for line in words(err) if "descendants have not" not in line]
    assert told[0] == "sh create f"
    assert told[1] == "cat read f"
    assert sorted(told[2:]) == ["cat read late", "cat write g", "sh create g"] or sorted(told[2:]) == [
        "cat create g",
        "cat read late",
    ]


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (["sh", "-c", "kill -9 $$"], 137, ""),
        (["sh", "-c", "kill -15 $$"], 143, ""),
        (["/no/where"], 127, "panorama: /no/where: No such file or directory\n"),
        (["no-such-command"], 127, "panorama: no-such-command: No such file or directory\n"),
        (["/etc/passwd"], 126, "panorama: /etc/passwd: Permission denied\n"),
    ],
)
def test_watch_passes_the_status_on(tmp_path: Path, command: list[str], status: int, said: str) -> None:
    found = panorama(tmp_path, "watch", *OPERATIONS, "--", *command)
    assert (found.returncode, found.stdout, found.stderr) == (status, "", said)


def test_watch_passes_sigterm_on(tmp_path: Path) -> None:
    command = [
        PANORAMA,
        "watch",
        *OPERATIONS,
        "--",
        "sh",
        "-c",
        "trap 'exit 9' TERM; : > ready; while :; do sleep 0.05; done",
    ]
    with subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        until((tmp_path / "ready").exists, "the command")
        process.send_signal(signal.SIGHUP)
        process.terminate()
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 9
    assert words(err) == ["sh create ready"]


def test_watch_tells_of_programs_started_if_asked(tmp_path: Path) -> None:
    found = panorama(tmp_path, "watch", *OPERATIONS, "--enable", "exec", "--", "true")
    assert found.returncode == 0
    assert words(found.stderr) == ["true exec /usr/bin/true"]


def test_watch_as_another_user_in_json_to_a_file(tmp_path: Path) -> None:
    arguments = ["-u", "nobody", "--format", "json", "-o", "log", "--enable", "exec", "--sums"]
    found = panorama(tmp_path, "watch", *OPERATIONS, *arguments, "--", "id", "-u")
    assert (found.returncode, found.stdout) == (0, "65534\n")
    records = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(each["process"]["user"], each["verb"], each["process"]["exe"]) for each in records] == [
        ("nobody", "exec", "/usr/bin/id")
    ]
    assert sums(found.stderr)[0] == 1


def test_watch_with_states(tmp_path: Path) -> None:
    found = panorama(tmp_path, "watch", *OPERATIONS, "-d", "--", "sh", "-c", "echo hi > f")
    header, line = found.stderr.splitlines()
    assert header.split() == ["TIME", "PPID", "PID", "USER", "COMMAND", "VERB", "OBJECT"]
    assert re.search(r" sh create f:\d+ fd=\d+ read=0 written=3 states=new>created>$", line)
    to_file = panorama(tmp_path, "watch", *OPERATIONS, "-d", "-o", "log", "--", "sh", "-c", "echo hi > f")
    assert to_file.stderr == ""
    assert (tmp_path / "log").read_text().endswith(" written=3 states=new>covered>\n")


def test_colours_are_for_terminals_of_people_who_want_them(tmp_path: Path) -> None:
    specs = tmp_path / "specs"
    specs.mkdir(mode=0o755)
    for severity, name in (("notice", "yellow"), ("warning", "red"), ("info", "plain")):
        text = MARKED.replace("behavior: marked", f"behavior: {name}").replace(
            "severity: notice", f"severity: {severity}"
        )
        lines = [line for line in text.splitlines() if not re.search(r"dest: (red|yellow)", line)]
        lines.insert(-1, f'- {{trigger: open, source: new, dest: {name}, conditions: {{file: "**/{name}"}}}}')
        lines[-1] = f'- {{trigger: close, source: {name}, emit: "read {{file}}"}}'
        (specs / f"{name}.yaml").write_text("\n".join(lines) + "\n")
        (tmp_path / name).write_text("x")
    command = [PANORAMA, "watch", *OPERATIONS, "-b", str(specs), "--", "cat", "yellow", "red", "plain"]

    def on_terminal(**more: str) -> str:
        main, second = pty.openpty()
        subprocess.run(
            command, cwd=tmp_path, env=ENVIRONMENT | more, stderr=second, stdout=subprocess.PIPE, timeout=60, check=True
        )
        os.close(second)
        said = b""
        try:
            while part := os.read(main, 4096):
                said += part
        except OSError:  # EIO: all was read
            pass
        os.close(main)
        return said.decode()

    painted = on_terminal()
    assert " cat \x1b[33mread\x1b[0m yellow:" in painted
    assert " cat \x1b[31mread\x1b[0m red:" in painted
    assert " cat read plain:" in painted
    wanted = ["cat read yellow", "cat read red", "cat read plain"]
    assert words(on_terminal(NO_COLOR="1")) == wanted
    assert words(panorama(tmp_path, *command[1:]).stderr) == wanted


def test_run_on_the_console_and_in_files(tmp_path: Path, full: Path, running: Callable[..., Running]) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (full / "stuffing").write_bytes(bytes(65536 - 4096))
    (full / "log").write_bytes(b"x" * 4095 + b"\n")
    sinks = ["-s", "console", "-s", f"file:{logs}/log", "-s", f"file:{full}/log"]
    run = running("run", *OPERATIONS, "-d", "--long-open", "1", *sinks)
    until(lambda: run.out, "the header")
    assert run.out.splitlines()[0].split() == ["TIME", "PPID", "PID", "USER", "COMMAND", "VERB", "OBJECT"]

    def told(name: str) -> list[str]:
        return [line for line in words(run.out) if re.search(rf" {name}(:\d+)? ", line)]

    script = "exec 3> again 4> once; echo a >&3; echo a >&4; read x; echo bc >&3; read x; exit"
    with subprocess.Popen(["bash", "-c", script], cwd=tmp_path, stdin=subprocess.PIPE, text=True, bufsize=0) as holder:
        assert holder.stdin
        until(lambda: told("again") and told("once"), "files that stay open")
        holder.stdin.write("\n")
    until(lambda: len(told("again")) > 1, "the end of a file that was used again")
    # the log has a new name: SIGHUP makes a new file, and no line is lost
    touch(tmp_path / "first")
    until(lambda: " first:" in (logs / "log").read_text(), "a line in the file")
    (logs / "log").rename(logs / "log.1")
    run.process.send_signal(signal.SIGHUP)
    until((logs / "log").exists, "the new file")
    touch(tmp_path / "second")
    until(lambda: " second:" in (logs / "log").read_text(), "a line in the new file")
    assert " second:" not in (logs / "log.1").read_text()
    # a file that cannot be made anew: the old one is kept
    logs.rename(tmp_path / "elsewhere")
    run.process.send_signal(signal.SIGHUP)
    until(lambda: "going on" in run.err, "what became of the file")
    touch(tmp_path / "third")
    until(lambda: " third:" in (tmp_path / "elsewhere" / "log").read_text(), "a line in the old file")

    assert run.stop(signal.SIGTERM) == 0
    assert [re.sub(r" fd=\d+", "", line) for line in told("again")] == [
        "bash create again read=0 written=2 states=new>created>",
        "bash write again read=0 written=3 states=new>opened>written>",
    ]
    assert len(told("once")) == 1
    told_of = run.err.splitlines()
    assert re.fullmatch(r"panorama: watching with \d+ behaviors on \d+ tracepoints", told_of[0])
    assert told_of[1] == f"panorama: cannot write to {logs}/log: No such file or directory; going on in the old file"
    lines = sums(run.err)[0]
    assert lines == len(run.out.splitlines()) - 1
    files = (tmp_path / "elsewhere" / "log.1").read_text() + (tmp_path / "elsewhere" / "log").read_text()
    assert files.splitlines() == run.out.splitlines()[1:]
    assert told_of[-1] == f"  sinks: {lines} lines not written"
    assert "Traceback" not in run.err


@pytest.mark.parametrize("command", [("run", "-d"), ("record", "-o", "t.jsonl")])
def test_sigusr1_has_the_sums_so_far_printed(
    tmp_path: Path, running: Callable[..., Running], command: tuple[str, ...]
) -> None:
    """As often as it comes. A file that is open is under way, and accounted for later."""
    run = running(*command)
    with (tmp_path / "open").open("wb"):
        touch(tmp_path / "f")
        run.process.send_signal(signal.SIGUSR1)
        until(lambda: len(sums_so_far(run.err)) == 1, "the sums")
    touch(tmp_path / "g")
    run.process.send_signal(signal.SIGUSR1)
    until(lambda: len(sums_so_far(run.err)) == 2, "the sums again")
    assert run.process.poll() is None
    first, second = sums_so_far(run.err)
    assert first[-1] > 0
    assert first[1] < second[1]
    assert re.search(r"^  unexplained  ", run.err, re.MULTILINE)
    assert run.stop(signal.SIGINT) == 0
    *_, last = SUMS.finditer(run.err)
    assert int(last[2]) >= second[1]
    sums(run.err)


def test_sigusr1_reaches_watch_and_not_its_command(tmp_path: Path) -> None:
    script = ": > ready; until [ -e go ]; do sleep 0.05; done; exit 3"
    command = [PANORAMA, "watch", *OPERATIONS, "--", "sh", "-c", script]
    said = tmp_path / "said"
    with said.open("w") as err, subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=err) as process:
        until((tmp_path / "ready").exists, "the command")
        process.send_signal(signal.SIGUSR1)
        try:
            until(lambda: sums_so_far(said.read_text()), "the sums")
        finally:
            touch(tmp_path / "go")
        assert process.wait(60) == 3
    assert [line for line in words(said.read_text()) if "panorama" not in line and line[0] != " "] == [
        "sh create ready"
    ]


def test_a_full_disk_is_said_by_watch_and_does_not_change_the_status(tmp_path: Path, full: Path) -> None:
    (full / "stuffing").write_bytes(bytes(65536))
    found = panorama(tmp_path, "watch", *OPERATIONS, "-o", full / "log", "--", "sh", "-c", ": > f; exit 5")
    assert (found.returncode, found.stderr) == (5, "panorama: sinks: 1 line not written\n")


OWN_DEV = """\
mount -t tmpfs tmpfs /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/random c 1 8
mknod -m 666 /dev/urandom c 1 9
echo
read end
"""


@pytest.fixture
def own_dev() -> Iterator[list[str]]:
    """The beginning of a command that runs another with a /dev of the test's own, which has no log socket yet."""
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", OWN_DEV]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == b"\n"
        yield ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt"]
        holder.stdin.close()


@pytest.fixture
def rsyslogd(tmp_path: Path, own_dev: list[str]) -> Iterator[Callable[[], Path]]:
    """Starts the log daemon on the /dev/log there; gives the log."""
    log = Path(f"/var/log/panorama-test-{os.getpid()}.log")
    configuration = tmp_path / "rsyslog.conf"
    configuration.write_text(
        'module(load="imuxsock")\n'
        'template(name="t" type="string"'
        ' string="%syslogfacility-text% %syslogseverity-text% %syslogtag%%msg%\\n")\n'
        f'if $programname == "panorama" then action(type="omfile" file="{log}" template="t")\n'
    )
    daemons: list[subprocess.Popen[bytes]] = []

    def start() -> Path:
        command = ["rsyslogd", "-n", "-f", str(configuration), "-i", str(tmp_path / "rsyslogd.pid")]
        daemons.append(subprocess.Popen([*own_dev, *command], env=ENVIRONMENT))
        listens = [*own_dev, "test", "-S", "/dev/log"]
        until(lambda: subprocess.run(listens, check=False).returncode == 0, "rsyslogd")
        return log

    yield start
    for daemon in daemons:
        daemon.terminate()
        daemon.wait(20)
    log.unlink(missing_ok=True)


def told(log: str) -> int:
    """How many lines there were before equal ones were folded."""
    folded = (re.search(r" \.\.\. repeated (\d+) times$", line) for line in log.splitlines())
    return sum(int(match[1]) if match else 1 for match in folded)


def test_run_to_syslog(
    tmp_path: Path, running: Callable[..., Running], own_dev: list[str], rsyslogd: Callable[[], Path]
) -> None:
    specs = tmp_path / "specs"
    specs.mkdir(mode=0o755)
    (specs / "marked.yaml").write_text(MARKED)
    shipped = Path(__file__).parents[2] / "behaviors"
    run = running("run", *OPERATIONS, "-b", shipped, "-b", specs, "--ignore", shipped / "ignore.yaml", within=own_dev)
    touch(tmp_path / "before")
    (tmp_path / "red").write_text("x")
    subprocess.run(["cat", tmp_path / "red"], check=True, stdout=subprocess.DEVNULL)
    log = rsyslogd()
    until(lambda: log.exists() and " red:" in log.read_text(), "the lines that waited")
    for number in range(40):
        touch(tmp_path / f"after{number}")
    run.process.send_signal(signal.SIGHUP)
    until(lambda: " after39:" in log.read_text(), "the lines that came later")
    assert run.stop(signal.SIGINT) == 0
    lines = sums(run.err)[0]
    assert "not written" not in run.err
    until(lambda: told(log.read_text()) >= lines + 2, "every line, and that it started and stopped")
    found = [line for line in log.read_text().splitlines() if not re.search(r" panorama (started|stopped) ", line)]
    assert told("\n".join(found)) == lines
    head = rf"daemon (info|notice|warning) panorama\[{run.process.pid}\]: \d{{4}}-"
    assert [line for line in found if not re.match(head, line)] == []
    for name in ["before", *(f"after{number}" for number in range(40))]:
        assert sum(f" touch create {name}:" in line for line in found) == 1
    assert [line.split()[1] for line in found if " cat notice red:" in line] == ["notice"]
    assert [line for line in found if log.name in line and " rs:" in line] == []
    assert re.search(r"^  ignored +log-writing: .*write", run.err, re.MULTILINE)


BOTH = """\
import argparse, sys
from panorama.commands.loop import Loop, said
from panorama.commands.options import configured, loaded
from panorama.commands.recording import record_to
from panorama.commands.watch import follow
from panorama.output.context import live_context
from panorama.output.formats import FORMATS
from panorama.service.delivery import Delivery, Stream
from panorama.sinks import Style, open_sink
command = sys.argv[1:]
behaviors = loaded(configured(argparse.Namespace(behaviors=None, enable=["exec"], ignore=None)))
with Delivery() as delivery:
    for name in FORMATS:
        delivery.add(Stream(name, open_sink(f"file:{name}", Style(name, live_context()))))
    trace = record_to("t.jsonl", behaviors, command)
    loop = Loop(behaviors, delivery, trace, follow=True, long_open=30.0)
    with loop.sensor:
        status = follow(loop, command)
        tally = loop.end()
print(said(tally, delivery))
sys.exit(status)
"""


def test_a_recording_gives_the_same_lines_and_sums_again(tmp_path: Path) -> None:
    script = (
        "echo hi > f; cat f > 'g h'; for n in 1 2 3 4 5 6 7 8 9; do cp f f$n & done; wait; exec 5< f 6> left;"
        " mv f m; mkdir d; mv m d; rm f1; chmod 600 f2; ln f2 l; printf x > $'\\xff\\e[31m'; read x <&5; exit 4"
    )
    live = subprocess.run(
        [sys.executable, "-c", BOTH, "bash", "-c", script],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert live.returncode == 4, live.stderr
    assert sums(live.stdout)[0] > 20
    for name in FORMATS:
        again = panorama(tmp_path, "replay", "--enable", "exec", "--sums", "--format", name, "t.jsonl")
        assert again.returncode == 0
        assert again.stdout == (tmp_path / name).read_text()
        assert again.stderr == live.stdout


def test_record_and_replay_of_a_command(tmp_path: Path) -> None:
    found = panorama(tmp_path, "record", "-o", "t.gz", "--", "sh", "-c", "echo hi > f; cat f; exit 3")
    assert (found.returncode, found.stdout) == (3, "hi\n")
    assert re.fullmatch(r"panorama: t\.gz: \d+ lines; see: panorama replay t\.gz\n", found.stderr)
    again = panorama(tmp_path, "replay", *OPERATIONS, "t.gz")
    assert words(again.stdout) == ["sh create f", "cat read f"]


def test_recording_the_machine(tmp_path: Path, running: Callable[..., Running]) -> None:
    run = running("record", "-o", "t.jsonl")
    touch(tmp_path / "marker")
    assert run.stop(signal.SIGINT) == 0
    recording, said = run.err.split("\n", 1)
    assert recording == "panorama: recording; Ctrl-C stops"
    sums(said)
    again = panorama(tmp_path, "replay", "--sums", "t.jsonl")
    assert "touch create marker" in words(again.stdout)
    assert again.stderr == said


def test_a_full_disk_ends_a_recording_and_not_the_command(tmp_path: Path, full: Path) -> None:
    script = "for n in $(seq 2000); do : > f$n; done; exit 5"
    found = panorama(tmp_path, "record", "-o", full / "t", "--", "sh", "-c", script)
    assert found.returncode == 1
    said = "No space left on device; recording stopped here, the trace has what came before"
    assert found.stderr == f"panorama: {full}/t: {said}\n"
    assert (tmp_path / "f2000").exists()
    again = panorama(tmp_path, "replay", *OPERATIONS, full / "t")
    assert (again.returncode, again.stderr) == (0, "")
    assert words(again.stdout)[:2] == ["sh create f1", "sh create f2"]


def test_the_doctor_finds_a_machine_that_can(tmp_path: Path) -> None:
    found = panorama(tmp_path, "doctor")
    assert (found.returncode, found.stderr) == (0, "")
    rows = found.stdout.partition("\n\n")[0].splitlines()
    assert len({re.match(r"(\w+ +)(\S+ +)", row).end() for row in rows if "problem" not in row}) >= 1  # type: ignore[union-attr]
    assert all(row.split()[0] in ("ok", "warning") for row in rows)
    quiet = panorama(tmp_path, "doctor", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
