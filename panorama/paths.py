# SPDX-License-Identifier: Apache-2.0
"""Where Panorama's own files are: beside the package in a checkout, under /usr/share/panorama when installed."""

from __future__ import annotations

from pathlib import Path

__all__ = ["BEHAVIORS", "BPF", "CACHE", "TRACES"]

_CHECKOUT = Path(__file__).resolve().parent.parent
_HOME = _CHECKOUT if (_CHECKOUT / "bpf" / "event.h").exists() else Path("/usr/share/panorama")

BPF = _HOME / "bpf"
BEHAVIORS = _HOME / "behaviors"
TRACES = _HOME / "traces"
CACHE = Path("/var/cache/panorama")
