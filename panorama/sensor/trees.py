# SPDX-License-Identifier: Apache-2.0
"""Looks at files as other processes see them: in our own mount namespace, and in that of process 1.

As a service Panorama has a mount namespace of its own, with most of it read-only and /tmp and /home not those of the
machine. The programs it tells of are in another one, which /proc/1/root leads to. Symbolic links are followed there
as if that were our root, with openat2(2), so that no link leads back into our own. Namespaces of containers are not
looked into: their paths stay as they were given.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

__all__ = ["Tree", "trees"]

_OPENAT2 = 437  # on every architecture
_RESOLVE_IN_ROOT = 0x10  # linux/openat2.h


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_syscall = ctypes.CDLL(None).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.POINTER(_How), ctypes.c_size_t]


class Tree:
    """The files below the directory `root`, which is what their absolute paths and links start from.

    What was found of a directory counts for one batch of records, until `forget`: looking again a moment later would
    not be nearer to how things were when the syscalls were made, which was before the batch was read.
    """

    def __init__(self, root: str) -> None:
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._directories: dict[str, str | None] = {}

    def close(self) -> None:
        os.close(self._root)

    def directory(self, path: str) -> str | None:
        """The path with its symbolic links followed, or None where it is no directory (any more)."""
        try:
            return self._directories[path]
        except KeyError:
            found = self._directories[path] = self._real(path, os.O_DIRECTORY)
            return found

    def file(self, path: str) -> str | None:
        """The path with its symbolic links followed, or None where there is nothing (any more)."""
        return self._real(path, 0)

    def forget(self) -> None:
        self._directories.clear()

    def _real(self, path: str, flags: int) -> str | None:
        how = _How(os.O_PATH | os.O_CLOEXEC | flags, 0, _RESOLVE_IN_ROOT)
        descriptor = _syscall(_OPENAT2, self._root, os.fsencode(path), how, ctypes.sizeof(how))
        if descriptor < 0:
            return None
        try:
            found = os.readlink(f"/proc/self/fd/{descriptor}")
            gone = found.endswith(" (deleted)") and os.fstat(descriptor).st_nlink == 0
            return None if gone else found
        except OSError:  # the path is longer than the kernel says in one piece
            return None
        finally:
            os.close(descriptor)


def trees() -> dict[int, Tree]:
    """The trees there are, by the number of the mount namespace. What may not be looked at is not among them."""
    found: dict[int, Tree] = {}
    for process in ("self", "1"):
        with contextlib.suppress(OSError):
            number = os.stat(f"/proc/{process}/ns/mnt").st_ino
            if number not in found:
                found[number] = Tree(f"/proc/{process}/root")
    return found
