# SPDX-License-Identifier: Apache-2.0
"""What a key of the configuration may hold: its kind, default, bounds and a sentence about it, as data.

Whoever has a setting declares it here and nowhere else: the reader (values.py) checks what is written against it,
`panorama config --show` prints it, and the manual is made from it. Knows no file and no sink.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["KINDS", "Key"]

# kind: what Python value it becomes
KINDS = {
    "text": "str",
    "word": "str, one of the choices",
    "path": "str, an absolute path",
    "file": "str, the absolute path of a file that is there and that only root can write",
    "secret": "str, the absolute path of a file that is there and that only root can read",
    "created": "str, the absolute path of a file that is made if need be, in a folder that is there",
    "address": "(host, port); `host:port`, `[v6]:port`",
    "url": "str, http:// or https:// with a host",
    "flag": "bool",
    "count": "int, 0 or more",
    "size": "int, bytes; written 512KiB, 16MiB, 1GiB",
    "time": "float, seconds; written 500ms, 30s, 5m, 1h",
    "texts": "tuple of str; written as one text or a list",
    "words": "tuple of str, each one of the choices; written as one word or a list",
    "paths": "tuple of absolute paths; written as one path or a list",
    "addresses": "tuple of (host, port); written as one address or a list",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. `default` is what holds where it is left out, None that there is none.

    `least` and `most` bound counts, sizes and times. `only` names another key of the same table that must be set for
    this one to make sense, and the values it may have, if not any: ("transport", "tls", "tcp"). `example` is for the
    manual, in place of a default.
    """

    kind: str  # a key of KINDS
    summary: str
    default: Any = None
    choices: tuple[str, ...] = ()
    needed: bool = False
    least: float | None = None
    most: float | None = None
    only: tuple[str, ...] = ()
    example: str = ""
