# SPDX-License-Identifier: Apache-2.0
"""Word to systemd, where it started us: ready, stopping, alive (sd_notify(3), sd_watchdog_enabled(3))."""

from __future__ import annotations

import os
import socket
import time

__all__ = ["Systemd", "without_network"]


class Systemd:
    """Does nothing where no NOTIFY_SOCKET is set. `every` is how often `alive` has to be called, in s; 0: never."""

    def __init__(self) -> None:
        self._there = bool(os.environ.get("NOTIFY_SOCKET"))
        self.every = 0.0
        if self._there:
            from systemd import daemon  # Debian's python3-systemd

            self._daemon = daemon
            if os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
                self.every = int(os.environ.get("WATCHDOG_USEC", 0)) / 2e6
        self._told = time.monotonic()

    def ready(self, status: str) -> None:
        self._say(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        self._say("STOPPING=1")

    def alive(self) -> None:
        """The event loop goes round. To be called at least every `every` seconds; says so no oftener than needed."""
        now = time.monotonic()
        if self.every and now - self._told >= self.every / 2:
            self._told = now
            self._say("WATCHDOG=1")

    def _say(self, words: str) -> None:
        if self._there:
            self._daemon.notify(words)


def without_network() -> bool:
    """Whether there is no network but the loopback, as PrivateNetwork= leaves it (systemd.exec(5))."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]
