# SPDX-License-Identifier: Apache-2.0
"""The kernel's own type information (BTF), asked through libbpf, which BCC brings along.

Source: Documentation/bpf/btf.rst of the kernel; struct btf_type and btf_member in include/uapi/linux/btf.h.
"""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

from ..errors import CannotSense
from .libbpf import library

__all__ = ["VMLINUX", "KernelTypes"]

VMLINUX = Path("/sys/kernel/btf/vmlinux")
_STRUCT, _UNION, _ENUM, _MODIFIERS = 4, 5, 6, (8, 9, 10, 11, 18)  # typedef, volatile, const, restrict, type tag


class KernelTypes:
    """Looks up structure members of the running kernel by name. Raises CannotSense where there is no BTF."""

    def __init__(self) -> None:
        if not VMLINUX.exists():
            raise CannotSense(f"this kernel has no BTF ({VMLINUX}); take one with CONFIG_DEBUG_INFO_BTF")
        try:
            lib = library()
        except OSError as error:
            raise CannotSense(f"libbpf.so.1 cannot be loaded ({error}); try: apt install libbpf1") from None
        for name, result, arguments in (
            ("btf__parse", ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_void_p]),
            ("btf__find_by_name", ctypes.c_int32, [ctypes.c_void_p, ctypes.c_char_p]),
            ("btf__find_by_name_kind", ctypes.c_int32, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32]),
            ("btf__type_by_id", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_uint32]),
            ("btf__name_by_offset", ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_uint32]),
            ("btf__resolve_size", ctypes.c_int64, [ctypes.c_void_p, ctypes.c_uint32]),
            ("btf__free", None, [ctypes.c_void_p]),
        ):
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        self._lib = lib
        self._btf = lib.btf__parse(str(VMLINUX).encode(), None)
        if not self._btf:
            raise CannotSense(f"{VMLINUX} cannot be read by libbpf: are you root?")

    def close(self) -> None:
        self._lib.btf__free(self._btf)

    def _members(self, number: int) -> list[tuple[str, int, int]]:
        """(name, type, offset in bytes) of a struct's members; bit fields are left out."""
        address = self._lib.btf__type_by_id(self._btf, number)
        _, info, _ = struct.unpack("=III", ctypes.string_at(address, 12))
        if info >> 24 & 0x1F not in (_STRUCT, _UNION):
            return []
        members = []
        for i in range(info & 0xFFFF):
            name, kind, offset = struct.unpack("=III", ctypes.string_at(address + 12 + 12 * i, 12))
            if info >> 31:  # kind_flag: the upper byte is a bit field's width
                if offset >> 24:
                    continue
                offset &= 0xFFFFFF
            text = self._lib.btf__name_by_offset(self._btf, name).decode()
            members.append((text, kind, offset // 8))
        return members

    def _find(self, number: int, member: str) -> int | None:
        for name, kind, offset in self._members(number):
            if name == member:
                return offset
            if not name and (inner := self._find(self._plain(kind), member)) is not None:
                return offset + inner
        return None

    def _plain(self, number: int) -> int:
        while True:
            _, info, target = struct.unpack("=III", ctypes.string_at(self._lib.btf__type_by_id(self._btf, number), 12))
            if info >> 24 & 0x1F not in _MODIFIERS:
                return number
            number = target

    def _struct(self, name: str) -> int:
        return int(self._lib.btf__find_by_name_kind(self._btf, name.encode(), _STRUCT))

    def offset(self, structure: str, member: str) -> int | None:
        """Byte offset of a member, also inside anonymous structs and unions; None if there is no such thing."""
        number = self._struct(structure)
        return self._find(number, member) if number > 0 else None

    def size(self, structure: str) -> int:
        """sizeof(struct), 0 if there is no such struct."""
        number = self._struct(structure)
        return max(0, int(self._lib.btf__resolve_size(self._btf, number))) if number > 0 else 0

    def has(self, name: str) -> bool:
        """Whether there is a function or type of this name."""
        return int(self._lib.btf__find_by_name(self._btf, name.encode())) > 0

    def enumerators(self, enum: str) -> set[str]:
        """Names in an enum, such as bpf_func_id's: which helpers this kernel has."""
        number = int(self._lib.btf__find_by_name_kind(self._btf, enum.encode(), _ENUM))
        if number <= 0:
            return set()
        address = self._lib.btf__type_by_id(self._btf, number)
        _, info, _ = struct.unpack("=III", ctypes.string_at(address, 12))
        return {
            self._lib.btf__name_by_offset(
                self._btf, struct.unpack("=I", ctypes.string_at(address + 12 + 8 * i, 4))[0]
            ).decode()
            for i in range(info & 0xFFFF)
        }
