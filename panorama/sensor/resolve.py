# SPDX-License-Identifier: Apache-2.0
"""From the names the kernel gave to one absolute path.

The sensor sends the directory entries of a starting point, leaf first, and for syscalls that take names also the text
the program passed. Following symbolic links in that text means looking at the file system a moment later; where that
cannot be done the path is marked "given".
"""

from __future__ import annotations

import os
import posixpath
import sys
from collections.abc import Callable

__all__ = ["Names", "named"]

_MOST_DIRECTORIES = 2048
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()  # what os.fsdecode asks for


class Names:
    """Paths of what the kernel gives as names, each ended by NUL, leaf first: `b"passwd\\0etc\\0"` is "/etc/passwd".

    Directories come again and again, so they are remembered.
    """

    def __init__(self) -> None:
        self._directories: dict[bytes, str] = {}

    def path(self, names: bytes) -> str:
        leaf, _, rest = names.partition(b"\0")
        return (self._directories.get(rest) or self.directory(rest)) + leaf.decode(_ENCODING, _ERRORS)

    def directory(self, names: bytes) -> str:
        """The path of a directory, with a slash behind it."""
        known = self._directories.get(names)
        if known is None:
            if len(self._directories) >= _MOST_DIRECTORIES:
                self._directories.clear()
            path = "/".join(reversed(os.fsdecode(names).split("\0")[:-1]))
            known = self._directories[names] = f"/{path}/" if path else "/"
        return known


def named(start: str, text: str, real: Callable[[str], str | None] | None) -> tuple[str, str]:
    """The absolute path of `text` seen from the directory `start`, and its mark.

    The last name is kept as it is: unlink, rename and their kin do not follow it. `real` follows the links of the
    directory before it; None says that this process's tree is not ours to look at.
    """
    if not text:
        return start, ""
    joined = posixpath.join(start, text.lstrip("/") if text.startswith("/") else text)
    directory, _, name = joined.rstrip("/").rpartition("/")
    if name in (".", ".."):
        directory, name = joined, ""
    plain = "/" not in text.strip("/") and text not in (".", "..") and not text.startswith("/")
    if plain:
        return joined.rstrip("/"), ""
    lexical = posixpath.normpath(joined)
    if lexical.startswith("//"):
        lexical = lexical[1:]
    found = real(directory or "/") if real else None
    if found is None:
        return lexical, "given"
    return (posixpath.join(found, name) if name else found), ""
