# SPDX-License-Identifier: Apache-2.0
"""`panorama doctor`: whether this machine and this user can run Panorama, and the command that would make it so.

Each check reads what it is given and changes nothing; nothing is loaded into the kernel and no log line is written.
Settings that only concern users without privileges (kernel.unprivileged_bpf_disabled, perf_event_paranoid) are not
looked at, because Panorama runs with privileges.
"""

from __future__ import annotations

import ctypes
import errno
import importlib.machinery
import os
import re
import select
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "CHECKS",
    "Finding",
    "check_bcc",
    "check_btf",
    "check_kernel",
    "check_libbpf",
    "check_lockdown",
    "check_namespaces",
    "check_privileges",
    "check_syslog",
    "check_tracing",
    "exit_status",
    "findings",
    "render",
]

OLDEST_KERNEL = (5, 10)  # the ring buffer is of 5.8; 5.10 is the oldest one tried

# linux/capability.h
_DAC_OVERRIDE, _DAC_READ_SEARCH, _SYS_PTRACE, _SYS_ADMIN, _PERFMON, _BPF = 1, 2, 19, 21, 38, 39


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` is ok, warning (run works, but not all of it) or problem (run would not start)."""

    name: str
    state: str
    found: str
    fix: str = ""


def check_privileges(status: str = "/proc/self/status") -> Finding:
    """CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN) to load programs, CAP_DAC_READ_SEARCH for tracefs, capabilities(7)."""
    name = "privileges"
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", _read(status), re.MULTILINE)
    if not match:
        return Finding(name, "problem", f"no CapEff in {status}", "mount -t proc proc /proc")
    held = int(match.group(1), 16)

    def has(*numbers: int) -> bool:
        return any(held >> number & 1 for number in numbers)

    wanted = {
        "CAP_BPF": has(_BPF, _SYS_ADMIN),
        "CAP_PERFMON": has(_PERFMON, _SYS_ADMIN),
        "CAP_DAC_READ_SEARCH": has(_DAC_READ_SEARCH, _DAC_OVERRIDE),
    }
    missing = [word for word, there in wanted.items() if not there]
    if missing:
        return Finding(name, "problem", f"without {', '.join(missing)}", "sudo panorama run")
    if not has(_SYS_PTRACE):
        fix = "add CAP_SYS_PTRACE to AmbientCapabilities of the service"
        return Finding(name, "warning", "without CAP_SYS_PTRACE: open files of running processes stay unknown", fix)
    return Finding(name, "ok", "all capabilities that are needed")


def check_namespaces(uid_map: str = "/proc/self/uid_map", pid_namespace: str = "/proc/self/ns/pid") -> Finding:
    """Capabilities count only in the first user namespace; pids are those of the kernel only in the first pid one."""
    name = "namespaces"
    if _read(uid_map).split() != ["0", "0", "4294967295"]:
        return Finding(name, "problem", "in a user namespace, where root is not root", "run panorama on the host")
    try:
        first = os.stat(pid_namespace).st_ino == 0xEFFFFFFC  # PROC_PID_INIT_INO, linux/proc_ns.h
    except OSError as error:
        return Finding(name, "warning", f"{pid_namespace}: {error.strerror}")
    if not first:
        fix = "start the container with --pid=host"
        return Finding(name, "warning", "in a pid namespace: processes that run already stay unknown", fix)
    return Finding(name, "ok", "those of the host")


def check_kernel(release: str = "/proc/sys/kernel/osrelease") -> Finding:
    """At least the oldest kernel that was tried."""
    found = _read(release).strip()
    match = re.match(r"(\d+)\.(\d+)", found)
    oldest = ".".join(map(str, OLDEST_KERNEL))
    if not match:
        return Finding("kernel", "warning", f"{release} not understood: '{found}'", f"use Linux {oldest} or newer")
    if (int(match.group(1)), int(match.group(2))) < OLDEST_KERNEL:
        return Finding("kernel", "problem", f"{found}, older than {oldest}", "sudo apt install linux-image-amd64")
    return Finding("kernel", "ok", found)


def check_btf(path: str = "/sys/kernel/btf/vmlinux") -> Finding:
    """The kernel's own description of its types, where the offsets come from."""
    try:
        with open(path, "rb") as file:
            magic = file.read(2)
    except FileNotFoundError:
        return Finding("BTF", "problem", f"no {path}", "use a kernel with CONFIG_DEBUG_INFO_BTF=y, as Debian's has")
    except OSError as error:
        return Finding("BTF", "problem", f"{path}: {error.strerror}", "sudo panorama doctor")
    if magic not in (b"\x9f\xeb", b"\xeb\x9f"):  # BTF_MAGIC in either byte order, linux/btf.h
        return Finding("BTF", "problem", f"{path} is not BTF", "mount -t sysfs sysfs /sys")
    return Finding("BTF", "ok", path)


def check_tracing(tracefs: str = "/sys/kernel/tracing") -> Finding:
    """The list of tracepoints."""
    name = "tracepoints"
    folder = Path(tracefs)
    try:
        names = os.listdir(folder)
    except PermissionError:
        return Finding(name, "problem", f"{folder}: Permission denied", "sudo panorama doctor")
    except OSError:
        names = []
    if "events" not in names:
        return Finding(name, "problem", f"no tracefs at {folder}", f"sudo mount -t tracefs tracefs {folder}")
    for event in ("syscalls/sys_exit_openat", "sched/sched_process_exec"):
        if not (folder / "events" / event).is_dir():
            fix = "use a kernel with CONFIG_FTRACE_SYSCALLS=y, as Debian's has"
            return Finding(name, "problem", f"no {event} in {folder}/events", fix)
    return Finding(name, "ok", str(folder))


def check_lockdown(path: str = "/sys/kernel/security/lockdown") -> Finding:
    """Mode confidentiality keeps eBPF from reading the kernel; mode integrity does not, kernel_lockdown(7)."""
    try:
        text = _read(path, refuse=True)
    except FileNotFoundError:
        return Finding("lockdown", "ok", "not in this kernel")
    except OSError as error:
        return Finding("lockdown", "warning", f"{path}: {error.strerror}")
    match = re.search(r"\[(\w+)\]", text)
    mode = match.group(1) if match else "unknown"
    if mode == "confidentiality":
        fix = "boot without lockdown=confidentiality (lockdown=integrity is fine)"
        return Finding("lockdown", "problem", "confidentiality: eBPF may not read kernel memory", fix)
    return Finding("lockdown", "ok" if match else "warning", mode)


def check_bcc(search: Sequence[str] | None = None, library: str = "libbcc.so.0") -> Finding:
    """The distribution's BCC, for this interpreter; PyPI's package of that name is something else entirely."""
    apt = "sudo apt install python3-bpfcc"
    spec = importlib.machinery.PathFinder.find_spec("bcc", search)
    if spec is None or spec.origin is None:
        fix = f"{apt}, and start panorama with /usr/bin/python3"
        return Finding("BCC", "problem", f"no module bcc for {sys.executable}", fix)
    folder = Path(spec.origin).parent
    match = re.search(r"^__version__\s*=\s*['\"]([^'\"]+)", _read(str(folder / "version.py")), re.MULTILINE)
    if not match or not (folder / "libbcc.py").is_file():
        fix = f"{sys.executable} -m pip uninstall bcc && {apt}"
        return Finding("BCC", "problem", f"{folder} is not the BPF Compiler Collection", fix)
    problem = _cannot_load(library)
    if problem:
        return Finding("BCC", "problem", f"{match.group(1)}, but {problem}", "sudo apt install libbpfcc")
    return Finding("BCC", "ok", f"{match.group(1)} in {folder}")


def check_libbpf(library: str = "libbpf.so.1") -> Finding:
    """The library that reads BTF, loads programs and reads the ring buffer."""
    problem = _cannot_load(library, "bpf_map_lookup_batch")
    if problem:
        return Finding("libbpf", "problem", problem, "sudo apt install libbpf1")
    return Finding("libbpf", "ok", library)


def check_syslog(path: str = "/dev/log") -> Finding:
    """Whether a daemon listens and has room; it is asked without sending a message. Lines would wait for it."""
    fix = "sudo systemctl start rsyslog.service"
    if not os.path.exists(path):
        return Finding("syslog", "warning", f"no {path}: lines for syslog wait in memory", fix)
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK) as connection:
            try:
                connection.connect(path)
            except OSError as error:
                if error.errno == errno.EPROTOTYPE:
                    continue
                return Finding("syslog", "warning", f"{path}: {error.strerror}", fix)
            if not select.select([], [connection], [], 0)[1]:
                return Finding("syslog", "warning", f"{path}: the daemon's queue is full", fix)
            return Finding("syslog", "ok", path + (" (stream)" if kind == socket.SOCK_STREAM else ""))
    return Finding("syslog", "warning", f"{path} is neither a datagram nor a stream socket", fix)


CHECKS: tuple[Callable[[], Finding], ...] = (
    check_privileges,
    check_namespaces,
    check_kernel,
    check_btf,
    check_tracing,
    check_lockdown,
    check_bcc,
    check_libbpf,
    check_syslog,
)


def findings() -> list[Finding]:
    """What every check finds on this machine."""
    return [check() for check in CHECKS]


def render(found: Sequence[Finding]) -> str:
    """An aligned table, then the fixes in the same order."""
    width = max((len(finding.name) for finding in found), default=0)
    rows = [f"{finding.state:7}  {finding.name:{width}}  {finding.found}" for finding in found]
    fixes = [f"  {finding.name:{width}}  {finding.fix}" for finding in found if finding.fix]
    return "\n".join([*rows, *(["", "What to do:", *fixes] if fixes else [])]) + "\n"


def exit_status(found: Sequence[Finding]) -> int:
    """0 if `panorama run` would work, 3 if not."""
    return 3 if any(finding.state == "problem" for finding in found) else 0


def _read(path: str, refuse: bool = False) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        if refuse:
            raise
        return ""


def _cannot_load(library: str, symbol: str = "") -> str:
    try:
        loaded = ctypes.CDLL(library)
    except OSError as error:
        return f"{library} cannot be loaded: {str(error).splitlines()[0]}"
    return f"{library} has no {symbol}" if symbol and not hasattr(loaded, symbol) else ""
