# SPDX-License-Identifier: Apache-2.0
"""auditd for comparison: Debian's settings, a log of its own, rules for the syscalls that Panorama attaches to.

Debian's settings are a backlog of 8192 records and a wait of 60,000 jiffies: when auditd cannot follow, programs wait
for it instead of records being dropped. So what it costs under load is also what it takes to write the records down.
Two settings differ: the log is elsewhere, and it is not rotated, so that all of it can be counted.

A process that was started while auditing had ever been on since boot takes the slow way into the kernel at every
syscall, also when it is off again (audit_alloc() in kernel/auditsc.c). The rule `task,never` takes that from processes
started after it, so it is in force wherever auditd is not measured; otherwise bare would not be bare.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence

from .bench import Bench, CannotMeasure, Missing, said
from .modes import Mode, last_line
from .processes import cpu_seconds, named, until

__all__ = ["Auditd", "audit_set_aside", "known"]

_CONFIG = """\
local_events = yes
write_logs = yes
log_file = {folder}/log
log_group = root
log_format = ENRICHED
flush = INCREMENTAL_ASYNC
freq = 50
max_log_file = 8
max_log_file_action = IGNORE
priority_boost = 4
name_format = NONE
space_left = 75
space_left_action = IGNORE
admin_space_left = 50
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
plugin_dir = {folder}/plugins.d
q_depth = 2000
overflow_action = IGNORE
end_of_event_timeout = 2
"""
_DEFAULTS = ("-b", "8192", "-f", "1", "--backlog_wait_time", "60000", "-r", "0")
_OTHER_NAMES = {"sendfile64": "sendfile", "pread64": "pread", "pwrite64": "pwrite"}  # ausyscall(8)'s
_DRAINED = 64  # records: some always come, auditctl's own among them
_SETTINGS = {
    "enabled": "-e",
    "failure": "-f",
    "rate_limit": "-r",
    "backlog_limit": "-b",
    "backlog_wait_time": "--backlog_wait_time",
}
_NEVER = ("task,never",)


def _status() -> dict[str, int]:
    """`auditctl -s`: enabled, failure, pid, rate_limit, backlog_limit, lost, backlog, backlog_wait_time."""
    return {name: int(value) for name, value in re.findall(r"^(\w+) (\d+)", said(["auditctl", "-s"]), re.MULTILINE)}


def _unable() -> str:
    """Why auditd cannot be measured here; empty if it can."""
    if not shutil.which("auditctl") or not shutil.which("auditd"):
        return "auditd: not installed; try: apt install auditd"
    try:
        status = _status()
    except CannotMeasure as error:
        return f"auditd: this kernel does not audit ({error})"
    if status.get("enabled") == 2:
        return "auditd: the rules of this machine are immutable until it is restarted"
    if status.get("pid"):
        return f"auditd: runs already (pid {status['pid']}) and is left alone; try: systemctl stop auditd"
    return ""


@contextlib.contextmanager
def audit_set_aside() -> Iterator[str]:
    """Saves the machine's audit rules and settings, keeps them out of the way, and puts them back.

    Gives why auditd cannot be measured, or an empty string. Where it cannot, nothing is touched.
    """
    if reason := _unable():
        yield reason
        return
    status = _status()
    rules = [line for line in said(["auditctl", "-l"]).splitlines() if line.startswith("-")]
    with contextlib.ExitStack() as back:  # each of these is tried, also if another one fails
        for rule in reversed(rules):
            back.callback(said, ["auditctl", *rule.split()])
        for name, option in _SETTINGS.items():
            if name in status:
                back.callback(said, ["auditctl", option, str(status[name])])
        back.callback(said, ["auditctl", "-D"])
        said(["auditctl", "-D"])
        said(["auditctl", "-a", *_NEVER])
        yield ""


def known(syscalls: Sequence[str]) -> list[str]:
    """Those that this auditctl has a number for."""
    names = (_OTHER_NAMES.get(name, name) for name in syscalls)
    return [
        name for name in names if subprocess.run(["ausyscall", name, "--exact"], capture_output=True).returncode == 0
    ]


class Auditd(Mode):
    """Use within audit_set_aside. `syscalls` are those of its one rule."""

    name = "auditd"

    def __init__(self, bench: Bench, syscalls: Sequence[str], name: str = "auditd") -> None:
        super().__init__(bench)
        self.name = name
        self._syscalls = syscalls
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if reason := _unable():
            raise Missing(reason)
        (self.folder / "plugins.d").mkdir()
        (self.folder / "auditd.conf").write_text(_CONFIG.format(folder=self.folder))
        with open(self.folder / "errors", "wb") as errors:
            self._process = subprocess.Popen(
                ["auditd", "-n", "-c", self.folder], stdout=errors, stderr=errors, start_new_session=True
            )
        until("running: auditd", self._running)
        said(["auditctl", *_DEFAULTS])
        with contextlib.suppress(CannotMeasure):
            said(["auditctl", "--reset-lost"])
        said(["auditctl", "-D"])
        said(["auditctl", "-a", "always,exit", "-F", "arch=b64", "-S", ",".join(self._syscalls), "-k", "bench"])
        said(["auditctl", "-e", "1"])

    def _running(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            raise CannotMeasure(f"auditd: {last_line((self.folder / 'errors').read_text(errors='replace'))}")
        return _status().get("pid") == self._process.pid

    def stop(self) -> None:
        if self._process:
            said(["auditctl", "-D"])
            said(["auditctl", "-a", *_NEVER])
            said(["auditctl", "-e", "0"])
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def settle(self) -> None:
        until("written down: auditd's backlog", lambda: _status().get("backlog", 0) <= _DRAINED, 120, 0.1)
        time.sleep(0.3)

    def written(self) -> int:
        log = self.folder / "log"
        return log.stat().st_size if log.exists() else 0

    def cpu(self) -> float:
        """With the kernel thread that hands records to auditd."""
        return cpu_seconds([*([self._process.pid] if self._process else []), *named("kauditd")])

    def lost(self) -> str:
        lost = _status().get("lost", 0)
        return f"{lost:,} records" if lost else ""
