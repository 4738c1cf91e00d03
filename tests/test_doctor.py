# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from panorama import doctor
from panorama.doctor import Finding


def file(folder: Path, text: str | bytes) -> str:
    path = folder / "file"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


@pytest.mark.parametrize(
    ("held", "state", "found"),
    [
        ([21, 2, 19], "ok", "all capabilities that are needed"),
        ([38, 39, 1, 19], "ok", "all capabilities that are needed"),
        ([38, 39, 2], "warning", "without CAP_SYS_PTRACE: open files of running processes stay unknown"),
        ([38, 2, 19], "problem", "without CAP_BPF"),
        ([], "problem", "without CAP_BPF, CAP_PERFMON, CAP_DAC_READ_SEARCH"),
    ],
)
def test_privileges(tmp_path: Path, held: list[int], state: str, found: str) -> None:
    mask = sum(1 << number for number in held)
    finding = doctor.check_privileges(file(tmp_path, f"Name:\tx\nCapEff:\t{mask:016x}\nCapBnd:\t0\n"))
    assert (finding.state, finding.found) == (state, found)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_privileges_of_a_real_process_without_them() -> None:
    program = "from panorama.doctor import check_privileges as check; print(check())"
    command = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", program]
    repository = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository)
    assert "without CAP_BPF, CAP_PERFMON, CAP_DAC_READ_SEARCH" in done.stdout, done.stderr


def test_namespaces(tmp_path: Path) -> None:
    outer = file(tmp_path, "         0          0 4294967295\n")
    assert doctor.check_namespaces(outer, str(tmp_path)).state == "warning"
    assert doctor.check_namespaces(outer, str(tmp_path / "none")).state == "warning"
    inner = file(tmp_path, "         0     100000      65536\n")
    assert doctor.check_namespaces(inner, str(tmp_path)).state == "problem"


@pytest.mark.parametrize(
    ("release", "state"),
    [
        ("6.18.44-cloud-amd64\n", "ok"),
        ("5.10.0-33-amd64\n", "ok"),
        ("5.9.16\n", "problem"),
        ("4.19.0\n", "problem"),
        ("wild\n", "warning"),
    ],
)
def test_kernel(tmp_path: Path, release: str, state: str) -> None:
    assert doctor.check_kernel(file(tmp_path, release)).state == state


def test_btf(tmp_path: Path) -> None:
    assert doctor.check_btf(file(tmp_path, b"\x9f\xeb\x01\x00")) == Finding("BTF", "ok", str(tmp_path / "file"))
    assert doctor.check_btf(file(tmp_path, b"ELF")).found == f"{tmp_path}/file is not BTF"
    assert doctor.check_btf(str(tmp_path / "none")).fix.startswith("use a kernel with CONFIG_DEBUG_INFO_BTF=y")


def test_tracepoints(tmp_path: Path) -> None:
    tracefs = tmp_path / "tracing"
    tracefs.mkdir()
    finding = doctor.check_tracing(str(tracefs))
    assert (finding.found, finding.fix) == (f"no tracefs at {tracefs}", f"sudo mount -t tracefs tracefs {tracefs}")
    (tracefs / "events/sched/sched_process_exec").mkdir(parents=True)
    finding = doctor.check_tracing(str(tracefs))
    assert finding.found == f"no syscalls/sys_exit_openat in {tracefs}/events"
    (tracefs / "events/syscalls/sys_exit_openat").mkdir(parents=True)
    assert doctor.check_tracing(str(tracefs)) == Finding("tracepoints", "ok", str(tracefs))


@pytest.mark.parametrize(
    ("text", "state", "found"),
    [
        ("[none] integrity confidentiality\n", "ok", "none"),
        ("none [integrity] confidentiality\n", "ok", "integrity"),
        ("none integrity [confidentiality]\n", "problem", "confidentiality: eBPF may not read kernel memory"),
        ("", "warning", "unknown"),
    ],
)
def test_lockdown(tmp_path: Path, text: str, state: str, found: str) -> None:
    finding = doctor.check_lockdown(file(tmp_path, text))
    assert (finding.state, finding.found) == (state, found)
    assert doctor.check_lockdown(str(tmp_path / "none")).state == "ok"


def test_bcc_must_be_the_real_one(tmp_path: Path) -> None:
    assert doctor.check_bcc([str(tmp_path)]).found == f"no module bcc for {sys.executable}"
    package = tmp_path / "bcc"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('the check must not run this')\n")
    finding = doctor.check_bcc([str(tmp_path)])
    assert finding.found == f"{package} is not the BPF Compiler Collection"
    assert finding.fix == f"{sys.executable} -m pip uninstall bcc && sudo apt install python3-bpfcc"
    (package / "version.py").write_text("__version__ = '0.26.0'\n")
    (package / "libbcc.py").touch()
    finding = doctor.check_bcc([str(tmp_path)], "libnothing.so.0")
    assert finding.found.startswith("0.26.0, but libnothing.so.0 cannot be loaded: libnothing.so.0: cannot open")
    assert doctor.check_bcc([str(tmp_path)], "libc.so.6") == Finding("BCC", "ok", f"0.26.0 in {package}")


def test_libbpf_must_have_what_we_call() -> None:
    assert doctor.check_libbpf("libc.so.6").found == "libc.so.6 has no bpf_map_lookup_batch"
    assert doctor.check_libbpf("libnothing.so.1").fix == "sudo apt install libbpf1"


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_syslog_is_asked_without_a_message(tmp_path: Path, kind: int) -> None:
    path = str(tmp_path / "log")
    assert doctor.check_syslog(path).found == f"no {path}: lines for syslog wait in memory"
    with socket.socket(socket.AF_UNIX, kind) as daemon:
        daemon.bind(path)
        if kind != socket.SOCK_DGRAM:
            daemon.listen()
        finding = doctor.check_syslog(path)
        daemon.setblocking(False)
        if kind == socket.SOCK_DGRAM:
            with pytest.raises(BlockingIOError):
                daemon.recv(1)
            with socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK) as other:
                other.connect(path)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        other.send(b"x")
            assert doctor.check_syslog(path).found == f"{path}: the daemon's queue is full"
    expected: dict[int, str] = {socket.SOCK_DGRAM: path, socket.SOCK_STREAM: f"{path} (stream)"}
    assert finding.found == expected.get(kind, f"{path} is neither a datagram nor a stream socket")
    assert doctor.check_syslog(path).found == f"{path}: Connection refused"


def test_the_table_is_aligned_and_ends_with_what_to_do() -> None:
    found = [Finding("kernel", "ok", "6.1"), Finding("BTF", "problem", "none", "get one"), Finding("x", "warning", "y")]
    assert doctor.render(found) == (
        "ok       kernel  6.1\nproblem  BTF     none\nwarning  x       y\n\nWhat to do:\n  BTF     get one\n"
    )
    assert doctor.exit_status(found) == 3
    assert doctor.exit_status(found[::2]) == 0
    assert doctor.render(found[:1]) == "ok       kernel  6.1\n"


def test_every_check_finds_something_on_this_machine() -> None:
    found = doctor.findings()
    assert len({finding.name for finding in found}) == len(doctor.CHECKS)
    assert {finding.state for finding in found} <= {"ok", "warning", "problem"}
    assert all(finding.found and "\n" not in finding.found for finding in found)
