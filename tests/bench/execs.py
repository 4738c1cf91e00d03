# SPDX-License-Identifier: Apache-2.0
"""CPU time of Panorama and rsyslogd while 1,000 programs a second are started and end."""

from __future__ import annotations

from .auditd import Auditd, audit_set_aside
from .bench import Bench
from .load import Load
from .modes import Mode, Panorama
from .report import Row, Section, at_most
from .stats import Figure, number

__all__ = ["measure"]

_RATE = 1000  # a second
_WANTED = 10  # % of one core


def measure(bench: Bench) -> Section:
    section = Section(f"{_RATE:,} programs a second", rounds=1)
    load = Load(bench.folder("execs"))
    minute, less = bench.pick(60, 10), bench.pick(20, 5)
    wish = f"CPU of Panorama and rsyslogd, {minute:.0f} s"
    with audit_set_aside() as no_auditd:
        section.rows.append(at_most(wish, _during(bench, load, Panorama(bench), minute, section), _WANTED, "%"))
        exec_too = Panorama(bench, ["--enable", "exec"])
        share = _during(bench, load, exec_too, less, section)
        section.rows.append(Row(f"with a line for each (--enable exec), {less:.0f} s", "", share.text(), "once"))
        if no_auditd:
            section.rows.append(Row("auditd", "", no_auditd))
        else:
            share = _during(bench, load, Auditd(bench, ["execve", "execveat"]), less, section)
            section.rows.append(
                Row(f"auditd and kauditd, rule for execve alone, {less:.0f} s", "", share.text(), "once")
            )
    section.note("% of one core; each program is /bin/true; what is done in the kernel at their syscalls is theirs")
    return section


def _during(bench: Bench, load: Load, mode: Mode, seconds: float, section: Section) -> Figure:
    with mode:
        mode.settle()
        before = mode.cpu()
        [done] = load.run(bench.folder("execs"), "spawn", rate=_RATE, count=int(_RATE * seconds), program="/bin/true")
        mode.settle()  # what is worked off later counts, too
        share = (mode.cpu() - before) / done.ns * 1e11
        lost = mode.lost()
    if lost := lost or mode.lost():
        section.note(f"{mode.name} lost {lost}")
    if done.rate < 0.98 * _RATE:
        section.note(f"{mode.name}: the machine managed {number(done.rate)} programs a second, not {_RATE:,}")
    return Figure([share], "%")
