# SPDX-License-Identifier: Apache-2.0
"""Hash chaining: each line of a sink carries a hash over itself and the hash of the line before it.

`chain` is the SHA-256, in hexadecimal, of two things, each ended by a newline: the chain of the line before ("" for the
first) and the line's own SHA-256. The latter is of these, each ended by a newline: host, boot id, sequence, `previous`
("" where it is not given), and the text of the line in the sink's format with 64 zeros in the place of its chain. Who
alters, removes or inserts a line has to make every later one anew, and then the last of them differs from what
`panorama status` shows on the host.
"""

from __future__ import annotations

import hashlib
import secrets

__all__ = ["BLANK", "MARKER", "link", "own_hash"]

BLANK = "0" * 64
MARKER = secrets.token_hex(32)  # stands for the chain while a line is formatted: no name can hold it


def own_hash(host: str, boot_id: str, sequence: int, previous: int | None, text: str) -> str:
    """The hash of one line whose text has BLANK where its chain will be."""
    return _hash(host, boot_id, str(sequence), "" if previous is None else str(previous), text)


def link(before: str, own: str) -> str:
    """The chain of a line, from that of the line before it and the line's own hash."""
    return _hash(before, own)


def _hash(*facts: str) -> str:
    return hashlib.sha256("".join(f"{fact}\n" for fact in facts).encode("utf-8", "backslashreplace")).hexdigest()
