# SPDX-License-Identifier: Apache-2.0
"""The real command, as a user without root or eBPF would run it: options, messages, exit statuses, replays."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from panorama.commands.options import Loaded
from panorama.event import Event, File, Process
from panorama.ignore import load_ignore
from panorama.machines.compiler import compile_behaviors
from panorama.machines.spec import load_behaviors
from panorama.output.context import Context
from panorama.output.formats import FORMATS, formatter
from panorama.output.line import Line
from panorama.paths import BEHAVIORS
from panorama.pipeline import Pipeline
from panorama.trace import TraceHeader, create_trace

PANORAMA = str(Path(sys.executable).parent / "panorama")
REPOSITORY = BEHAVIORS.parent
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes nobody, which needs root")

REPLAY = ("replay", "--log", "operations")
ALICE = Process(42, 7, 1, user="alice", command="cat", exe="/usr/bin/cat")
NOW = 1_775_148_747_000_000_000


def event(path: str, *moves: str, at: int = 0, created: bool = False) -> Event:
    calls = dict.fromkeys(("open", *moves, "close"), 1)
    triggers = ("open", *moves, "close")
    return Event(triggers, NOW + at, ALICE, calls, began=NOW + at - 9, file=File(path, 12), created=created)


ITEMS = [
    event("/home/alice/in", "read"),
    event("/usr/lib/libc.so.6", "read", at=1),  # ignored by rule
    event("/home/alice/a b\n\x1b[31m\udcff", "write", at=2, created=True),
    event("/home/alice/nothing", at=3),  # unexplained
    event("/home/alice/end", "read", "write", at=4),
]


def panorama(
    *arguments: str | Path, user: list[str] | None = None, data: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*(user or []), PANORAMA, *arguments], input=data, capture_output=True, timeout=60, cwd="/")


def one_line(found: subprocess.CompletedProcess[bytes], status: int) -> str:
    """The one line on standard error, with nothing on standard output."""
    text = found.stderr.decode()
    assert found.returncode == status, text
    assert found.stdout == b""
    assert re.fullmatch(r"panorama: [^\n]+\n", text), text
    return text.strip()


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that nobody may enter too; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="panorama-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def trace(public: Path) -> Path:
    path = public / "t.jsonl"
    writer = create_trace(path, TraceHeader("6.18.0", "ep1", "b1", ("cat",), "0.1.0", "", NOW))
    for item in ITEMS:
        writer.write(item)
    writer.end({"seen": {"open": 5, "read": 3, "write": 2, "close": 5}, "lost": {}, "unexplained": {}, "ignored": {}})
    writer.close()
    path.chmod(0o644)
    return path


def expected(name: str, debug: bool = False) -> bytes:
    """The lines of operations, by the Python interface."""
    operations = load_behaviors([BEHAVIORS], activities=False)
    loaded = Loaded(compile_behaviors(operations), load_ignore(BEHAVIORS / "ignore.yaml"))
    make = formatter(name, Context(host="ep1", boot_id="b1", debug=debug))
    lines: list[Line] = []
    pipeline = Pipeline(loaded.program, loaded.rules, lines.append)
    pipeline.take(ITEMS)
    pipeline.finish()
    for number, line in enumerate(lines, 1):
        line.sequence = number
    return "".join(text + "\n" for line in lines for text in make(line)).encode("utf-8", "backslashreplace")


def test_version_and_help() -> None:
    assert panorama("--version").stdout == b"panorama 0.1.0\n"
    overview = panorama("--help").stdout.decode()
    for word in ("run", "watch", "record", "replay", "explain", "doctor"):
        assert f"\n    {word} " in overview
        found = panorama(word, "--help")
        assert found.returncode == 0
        assert found.stdout.startswith(f"usage: panorama {word} ".encode())
        assert found.stderr == b""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fromat", "json"], "unknown option '--fromat'; did you mean '--format'?"),
        (["run", "--fromat=json"], "unknown option '--fromat'; did you mean '--format'?"),
        (["watch", "--sum", "--ueser", "x", "--", "true"], "unknown option '--ueser'; did you mean '--user'?"),
        (["replay", "--wrong", "t"], "unknown option '--wrong'; see: panorama replay --help"),
        (["-z"], "unknown option '-z'; see: panorama run --help"),
        (["run", "now"], "nothing to do with 'now'; see: panorama run --help"),
        (["wach"], "there is no command 'wach'; did you mean 'watch'?"),
        (
            ["xyzzy"],
            "there is no command 'xyzzy'; there are run, watch, record, replay, explain, status, config, verify, doctor",
        ),
        (
            ["run", "--format", "jsn"],
            "argument --format: there is no format 'jsn'; did you mean 'json'?; see: panorama run --help",
        ),
        (
            ["run", "--long-open", "nan"],
            "argument --long-open: 'nan' is not a number of seconds; see: panorama run --help",
        ),
        (
            ["replay", "--log", "activites", "t"],
            "argument --log: there is no kind of line 'activites'; did you mean 'activities'?; see: panorama replay --help",
        ),
        (["run", "-s", "sylog"], "unknown sink 'sylog'; did you mean 'syslog'?"),
        (["run", "-s", "file:"], "sink 'file' needs a path: file:/var/log/panorama.log"),
        (["run", "-s", "file:/no/where"], "cannot write to /no/where: No such file or directory"),
        (["run", "--enable", "exek"], "--enable: there is no behavior 'exek'; did you mean 'exec'?"),
        (["run", "--ignore", "/no/where"], "--ignore: there is no file /no/where"),
        (["watch"], "watch needs a command; try: panorama watch -- cat /etc/hostname"),
        (["watch", "-u", "rooot", "--", "true"], "--user: there is no user 'rooot'; did you mean 'root'?"),
        (["record"], "the following arguments are required: -o/--output; see: panorama record --help"),
        (["record", "-o", "/no/where", "--", "true"], "cannot write to /no/where: No such file or directory"),
        (["replay"], "the following arguments are required: FILE; see: panorama replay --help"),
        (["replay", "/no/where"], "/no/where:1:1: cannot be read: No such file or directory"),
        (["replay", "-b", "/no/where", "-"], "/no/where:1:1: cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(arguments: list[str], said: str) -> None:
    assert one_line(panorama(*arguments), 2) == f"panorama: {said}"


def test_every_mistake_of_every_file_is_told_in_one_run(public: Path) -> None:
    (public / "a.yaml").write_text(
        "behavior: a\nsummary: A.\nlayer: operaton\nper: file\ninitial: new\ntransitions: []\n"
    )
    (public / "b.yaml").write_text("behavior: [\n")
    (public / "c.yaml").write_text(
        "behavior: c\nsummary: C.\nlayer: operation\nper: file\ninitial: new\ntransitions:\n"
        "- {trigger: opne, source: new, dest: new}\n- {triger: open, source: new, dest: new}\n"
    )
    (public / "ignore.yaml").write_text("ignore:\n- rule: x\n  summary: X.\n  pth: [/tmp]\n")
    found = panorama("replay", "-b", public, "-")
    assert found.returncode == 2
    assert found.stdout == b""
    said = found.stderr.decode().splitlines()
    for line in said:
        assert re.match(rf"panorama: {public}/(a|b|c|ignore)\.yaml:\d+:\d+: \S", line), line
    text = "\n".join(said)
    for name in ("a.yaml:3:", "b.yaml:", "c.yaml:7:", "c.yaml:8:", "ignore.yaml:"):
        assert f"{public}/{name}" in text
    for word in ("'operation'", "'open'", "'trigger'"):
        assert f"did you mean {word}?" in text


@as_root
@pytest.mark.parametrize(("mode", "better"), [(0o664, "0644"), (0o646, "0644"), (0o666, "0644")])
def test_root_obeys_no_spec_that_others_can_write(public: Path, mode: int, better: str) -> None:
    spec = public / "file.yaml"
    shutil.copy(BEHAVIORS / "file.yaml", spec)
    spec.chmod(mode)
    said = one_line(panorama("replay", "-b", spec, "-"), 2)
    assert said.startswith(f"panorama: {spec}:1:1: others than root can write it, mode {mode:04o}")
    assert said.endswith(f"chmod {better} {spec}")
    subprocess.run(said[said.rindex("chmod") :].split(), check=True)
    assert "write it" not in panorama("replay", "-b", spec, "-").stderr.decode()


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_replay_gives_the_lines_of_the_python_interface(trace: Path, name: str) -> None:
    found = panorama(*REPLAY, "--format", name, trace)
    assert (found.returncode, found.stderr) == (0, b"")
    assert found.stdout == expected(name)
    if name == "json":
        assert [json.loads(line)["verb"] for line in found.stdout.splitlines()] == ["read", "create", "write"]


def test_a_replay_with_states_has_a_header(trace: Path) -> None:
    found = panorama(*REPLAY, "-d", trace)
    assert found.stdout == b"%-26s PPID PID USER COMMAND VERB OBJECT\n" % b"TIME" + expected("text", debug=True)


def test_a_file_name_does_not_reach_the_terminal(trace: Path) -> None:
    found = panorama(*REPLAY, trace).stdout
    assert b"\x1b" not in found
    assert b"\xff" not in found
    assert found.count(b"\n") == 3


def test_a_replay_reads_standard_input_and_gzip(trace: Path) -> None:
    packed = trace.with_suffix(".gz")
    packed.write_bytes(gzip.compress(trace.read_bytes()))
    piped = panorama(*REPLAY, "-", data=trace.read_bytes())
    assert (piped.returncode, piped.stdout) == (0, expected("text"))
    assert panorama(*REPLAY, packed).stdout == expected("text")
    assert panorama(*REPLAY, trace, packed).stdout == expected("text") * 2


def test_the_sums_of_a_replay_add_up(trace: Path) -> None:
    said = panorama(*REPLAY, "--sums", trace).stderr.decode().splitlines()
    assert said[0] == "panorama: 3 lines; 15 events = 10 in lines + 3 ignored + 2 unexplained + 0 held back + 0 lost"
    assert any(re.match(r"  ignored +program-loading: ", line) for line in said)


def test_a_damaged_line_is_named_and_the_rest_replayed(trace: Path) -> None:
    lines = trace.read_bytes().splitlines(keepends=True)
    damaged = trace.with_name("damaged.jsonl")
    damaged.write_bytes(b"".join([*lines[:3], b'{"event": [oops\n', *lines[3:]]))
    found = panorama(*REPLAY, damaged)
    assert (found.returncode, found.stdout) == (1, expected("text"))
    assert re.fullmatch(rf"panorama: {damaged}:4:12: not JSON: .*; skipped\n", found.stderr.decode())


def test_a_newer_trace_is_refused(trace: Path) -> None:
    trace.write_bytes(trace.read_bytes().replace(b'"panorama-trace":1', b'"panorama-trace":2'))
    said = one_line(panorama("replay", trace), 2)
    assert said.startswith(f"panorama: {trace}:1:1: trace version 2, but this panorama reads version 1")


def test_who_closes_the_pipe_is_not_told(trace: Path) -> None:
    *_, last = lines = trace.read_text().splitlines()
    event, end = json.loads(lines[2]), json.loads(last)["number"]
    with trace.open("a") as file:
        for number in range(end + 1, end + 20000):
            file.write(json.dumps(event | {"number": number}) + "\n")
    command = f"'{PANORAMA}' replay '{trace}' | head -n 1; echo ${{PIPESTATUS[0]}}"
    found = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60)
    assert found.stderr == b""
    assert found.stdout.splitlines()[1:] == [b"0"]


@as_root
def test_a_replay_needs_no_root(trace: Path) -> None:
    found = panorama(*REPLAY, trace, user=NOBODY)
    assert (found.returncode, found.stdout, found.stderr) == (0, expected("text"), b"")


@as_root
@pytest.mark.parametrize(
    "arguments", [["run"], ["run", "-d"], ["-d"], ["watch", "--", "true"], ["record", "-o", "/dev/null", "--", "true"]]
)
def test_without_root_one_line_says_what_to_do(arguments: list[str]) -> None:
    assert "root; try: sudo panorama" in one_line(panorama(*arguments, user=NOBODY), 3)


@as_root
def test_the_doctor_tells_nobody_what_is_missing() -> None:
    found = panorama("doctor", user=NOBODY)
    assert (found.returncode, found.stderr) == (3, b"")
    rows, _, fixes = found.stdout.decode().partition("\n\nWhat to do:\n")
    for row in rows.splitlines():
        assert re.match(r"(ok|warning|problem) +\S", row), row
    assert re.search(r"^  privileges +sudo panorama run$", fixes, re.MULTILINE)
    said = one_line(panorama("doctor", "--quiet", user=NOBODY), 3)
    assert re.fullmatch(r"panorama: privileges: without CAP_BPF, .*; try: sudo panorama run", said)


@as_root
def test_make_run_shows_a_recorded_session_where_it_cannot_watch(public: Path, trace: Path) -> None:
    copy = public / "copy"
    shutil.copytree(
        REPOSITORY,
        copy,
        ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info"),
    )
    (copy / "traces").mkdir(exist_ok=True)
    recorded = copy / "traces" / "scp.jsonl"
    if not recorded.exists():
        shutil.copy(trace, recorded)
    recorded.chmod(0o644)
    subprocess.run(["chown", "-R", "65534:65534", copy], check=True)
    found = subprocess.run(
        [*NOBODY, "make", "run"],
        cwd=copy,
        env={"PATH": "/usr/bin:/bin", "HOME": str(copy), "TMPDIR": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr.decode()
    said = found.stderr.decode().splitlines()
    assert len(said) == 1, said
    assert re.fullmatch(r"panorama: privileges: without .*; try: sudo panorama run", said[0])
    title, _, lines = found.stdout.decode().partition("\n\n")
    assert title.endswith("Instead, an scp session as it was recorded elsewhere:")
    assert lines == panorama("replay", recorded).stdout.decode() != ""
