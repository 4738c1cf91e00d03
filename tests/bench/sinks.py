# SPDX-License-Identifier: Apache-2.0
"""Every sink at once: the service's memory and CPU, idle and while a line for each of 1,000 programs a second goes out.

The receivers are real where Debian has one (rsyslogd for syslog), else those of the tests: librdkafka's mock cluster,
HTTP servers that answer like Elasticsearch and Splunk, a socket in journald's place. Their CPU time is not counted.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..sinks.brokers import Cluster
from ..sinks.receivers import Authority, rsyslogd
from ..sinks.servers import Elasticsearch, Splunk
from .auditd import audit_set_aside
from .bench import Bench
from .load import Load
from .modes import Panorama
from .processes import anonymous, until
from .report import Row, Section, at_most
from .stats import Figure, number

__all__ = ["measure"]

_RATE = 1000  # programs a second, each of which makes a line
_MIB = 1 << 20
_MEMORY = 64  # MiB
_IDLE = 0.2  # % of one core
_SHIPPED = 8  # s that the oldest line waits where all goes well: plain syslog is confirmed after 5


def measure(bench: Bench) -> Section:
    section = Section("Every sink at once", rounds=1)
    load = Load(bench.folder("sinks"))
    seconds, pause = bench.pick(30, 5), bench.pick(60, 10)
    with audit_set_aside(), _receivers(bench.folder("sinks/receivers")) as sinks:
        names = ", ".join(sinks)
        mode = Panorama(bench, ["--enable", "exec"], sinks=sinks)
        with mode:
            time.sleep(5)
            section.rows.append(at_most("anonymous memory, started", _memory(mode), _MEMORY, "MiB"))
            before = mode.cpu()
            time.sleep(pause)
            idle = Figure([(mode.cpu() - before) / pause * 100], "%")
            section.rows.append(at_most(f"idle for {pause:.0f} s, CPU", idle, _IDLE, "%"))
            before = mode.cpu()
            with _watching(mode) as peak:
                [done] = load.run(
                    bench.folder("sinks"), "spawn", rate=_RATE, count=int(_RATE * seconds), program="/bin/true"
                )
                until("shipped: every line of the load", lambda: _lag(mode) < _SHIPPED, 120)
            share = Figure([(mode.cpu() - before) / done.ns * 1e11], "%")
            most = max(peak)
            section.rows.append(
                at_most("anonymous memory, most under load", Figure([most / _MIB], "MiB"), _MEMORY, "MiB")
            )
            section.rows.append(
                Row(f"CPU, {seconds:.0f} s of {_RATE:,} lines a second to each", "", share.text(), "once")
            )
            status = mode.status()
    dropped = {sink["name"]: sink["dropped"] for sink in status["sinks"] if sink["dropped"]}
    lines = min(sink["lines"] for sink in status["sinks"])
    section.rows.append(
        Row("lines that each sink got; dropped", "0 dropped", f"{number(lines)}; {dropped or 0}", "once", not dropped)
    )
    section.note(f"the sinks: {names}")
    if done.rate < 0.98 * _RATE:
        section.note(f"the machine managed {number(done.rate)} programs a second, not {_RATE:,}")
    return section


def _memory(mode: Panorama) -> Figure:
    return Figure([anonymous(mode.processes()) / _MIB], "MiB")


def _lag(mode: Panorama) -> float:
    """How long the oldest line has been waiting for its receiver, in s."""
    return max(float(sink.get("lag", 0)) for sink in mode.status()["sinks"])


@contextlib.contextmanager
def _watching(mode: Panorama) -> Iterator[list[int]]:
    """Looks at the memory four times a second; gives what it found, in bytes."""
    found: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.25):
            found.append(anonymous(mode.processes()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def _receivers(folder: Path) -> Iterator[dict[str, Any]]:
    """Receivers for every kind of sink, and the `sinks` of a configuration that uses them."""
    authority = Authority(folder / "authority")
    files = (authority.ca, *authority.issue("server", "127.0.0.1"))
    syslogs = {
        "udp": rsyslogd(folder / "udp", "udp"),
        "tcp": rsyslogd(folder / "tcp", "tcp"),
        "tls": rsyslogd(folder / "tls", "tcp", files),
    }
    token = folder / "token"
    token.touch(0o600)
    token.write_text("token")
    cluster, elastic, splunk = Cluster(), Elasticsearch(), Splunk()
    cluster.topic("panorama", 1)
    with contextlib.ExitStack() as stack:
        stack.callback(splunk.stop)
        stack.callback(elastic.stop)
        stack.callback(cluster.close)
        for receiver in syslogs.values():
            receiver.start()
            stack.callback(receiver.stop)
        for name in ("journal", "syslog"):
            stack.enter_context(_drained(folder / name))
        remote = {
            f"remote-{transport}": {
                "type": "remote-syslog",
                "address": f"127.0.0.1:{receiver.port}",
                "transport": transport,
                "format": "json",
            }
            for transport, receiver in syslogs.items()
        }
        remote["remote-tls"] |= {"ca": str(authority.ca), "server_name": "127.0.0.1"}
        yield {
            "file": {"type": "file", "path": f"{folder}/lines", "format": "json"},
            "syslog": {"type": "syslog", "path": f"{folder}/syslog"},
            "journal": {"type": "journal", "path": f"{folder}/journal"},
            **remote,
            "kafka": {"type": "kafka", "brokers": cluster.bootstrap.split(","), "format": "ocsf"},
            "elasticsearch": {"type": "elasticsearch", "url": elastic.url},
            "splunk": {"type": "splunk", "url": splunk.url, "token_file": str(token)},
        }


@contextlib.contextmanager
def _drained(path: Path) -> Iterator[None]:
    """A datagram socket whose messages are read and thrown away."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        reader.bind(str(path))

        def read() -> None:
            with contextlib.suppress(OSError):
                while reader.recv(1 << 17):
                    pass

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        yield
        reader.shutdown(socket.SHUT_RDWR)
        thread.join(5)
