# SPDX-License-Identifier: Apache-2.0
"""Maps, programs, tracepoints and the ring buffer, through libbpf. Knows nothing of what is in them.

Sources: bpf(2), perf_event_open(2), libbpf's bpf.h and libbpf.h (1.0 and later). Everything here raises OSError with
the kernel's reason.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = [
    "Map",
    "Ring",
    "Shape",
    "attach_tracepoint",
    "library",
    "load",
    "number_of_program",
]

_TRACEPOINT = 5  # enum bpf_prog_type

_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_PERF_TYPE_TRACEPOINT = 2
_PERF_SIZE = 112  # PERF_ATTR_SIZE_VER5; the kernel takes any that it knows
_PERF_FD_CLOEXEC = 8
_IOC_SET_BPF, _IOC_ENABLE = 0x40042408, 0x2400
_LOG = 1 << 24  # bytes of the verifier's words; only what is used of it is ever there


class _MapOptions(ctypes.Structure):
    _fields_ = (
        ("sz", ctypes.c_size_t),
        *((name, ctypes.c_uint32) for name in ("btf_fd", "btf_key", "btf_value", "btf_vmlinux", "inner", "map_flags")),
        ("map_extra", ctypes.c_uint64),
        ("numa_node", ctypes.c_uint32),
        ("map_ifindex", ctypes.c_uint32),
    )


class _LoadOptions(ctypes.Structure):
    _fields_ = (
        ("sz", ctypes.c_size_t),
        *((name, ctypes.c_uint32) for name in ("attempts", "attach_type", "btf_fd", "flags", "ifindex", "version")),
        *((name, ctypes.c_uint32) for name in ("attach_btf_id", "attach_prog_fd", "attach_btf_obj_fd")),
        ("fd_array", ctypes.c_void_p),
        ("func_info", ctypes.c_void_p),
        ("func_info_cnt", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("line_info", ctypes.c_void_p),
        ("line_info_cnt", ctypes.c_uint32),
        ("line_info_rec_size", ctypes.c_uint32),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_void_p),
    )


_ON_RECORD = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


def library() -> ctypes.CDLL:
    """libbpf, silent. Raises OSError where it is not installed."""
    lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
    lib.libbpf_set_print(None)
    lib.ring_buffer__new.restype = ctypes.c_void_p
    lib.ring_buffer__new.argtypes = [ctypes.c_int, _ON_RECORD, ctypes.c_void_p, ctypes.c_void_p]
    lib.ring_buffer__consume.argtypes = [ctypes.c_void_p]
    lib.ring_buffer__free.argtypes = [ctypes.c_void_p]
    return lib


def _checked(result: int, what: str) -> int:
    """libbpf 1.x returns the error as a negative number."""
    if result < 0:
        raise OSError(-result, f"{what}: {os.strerror(-result)}")
    return result


class Shape:
    """The members of a map's key or value, packed and unpacked; `members` as bytecode.py has them."""

    def __init__(self, members: tuple[tuple[str, int, str], ...], size: int) -> None:
        self.names = [name for name, _, _ in members]
        codes, at = "=", 0
        for _, offset, code in members:
            codes += f"{offset - at}x{code}"
            at = offset + struct.calcsize("=" + code)
        self.struct = struct.Struct(f"{codes}{max(0, size - at)}x")
        self.size = self.struct.size

    def pack(self, *values: Any) -> bytes:
        return self.struct.pack(*values)


class Map:
    """A map in the kernel, made here. Keys and values are tuples in the order of their members."""

    def __init__(
        self, lib: ctypes.CDLL, name: str, kind: int, key: Shape, value: Shape, entries: int, flags: int
    ) -> None:
        self._lib = lib
        self._entries = entries
        self.key, self.value = key, value
        options = _MapOptions(sz=ctypes.sizeof(_MapOptions), map_flags=flags)
        made = lib.bpf_map_create(kind, name.encode()[:15], key.size, value.size, entries, ctypes.byref(options))
        self.fd = _checked(made, f"map {name}")

    def set(self, key: tuple[Any, ...], value: tuple[Any, ...]) -> None:
        _checked(self._lib.bpf_map_update_elem(self.fd, self.key.pack(*key), self.value.pack(*value), 0), "map update")

    def delete(self, key: tuple[Any, ...]) -> None:
        """Nothing happens if it is not there."""
        self._lib.bpf_map_delete_elem(self.fd, self.key.pack(*key))

    def each_key(self) -> Iterator[bytes]:
        """A hash's keys as the kernel has them. Unlike reading a value, this keeps no program from running.

        Where entries go meanwhile, some may be missed and others come twice.
        """
        before, key = None, ctypes.create_string_buffer(max(8, self.key.size))
        for _ in range(self._entries):  # the kernel begins anew where the entry it was at is gone
            if self._lib.bpf_map_get_next_key(self.fd, before, key):
                return
            yield key.raw[: self.key.size]
            before = key

    def items(self) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]:
        """A hash's entries; those that come or go meanwhile may be missed.

        One by one: in a batch the kernel skips programs for as long as it looks through the table, even an empty one.
        """
        value = ctypes.create_string_buffer(self.value.size)
        return [
            (self.key.struct.unpack(key), self.value.struct.unpack(value.raw))
            for key in dict.fromkeys(self.each_key())
            if self._lib.bpf_map_lookup_elem(self.fd, key, value) == 0
        ]

    def sums(self, numbers: range) -> list[int]:
        """Of a per-CPU array of u64: each of these entries, summed over the CPUs."""
        return [sum(self.by_cpu(number)) for number in numbers]

    def by_cpu(self, number: int) -> tuple[int, ...]:
        """Of a per-CPU array of u64: what each CPU has in this entry."""
        cpus = _checked(self._lib.libbpf_num_possible_cpus(), "CPUs")
        buffer = ctypes.create_string_buffer(8 * cpus)
        _checked(self._lib.bpf_map_lookup_elem(self.fd, self.key.pack(number), buffer), "map lookup")
        return struct.unpack(f"={cpus}Q", buffer.raw)


def load(lib: ctypes.CDLL, name: str, code: bytes) -> int:
    """The descriptor of a loaded program for tracepoints. OSError's text has the verifier's last words."""
    options = _LoadOptions(sz=ctypes.sizeof(_LoadOptions))
    arguments = (_TRACEPOINT, name.encode()[:15], b"Dual BSD/GPL", code, len(code) // 8)
    result = lib.bpf_prog_load(*arguments, ctypes.byref(options))
    if result >= 0:
        return int(result)
    log = ctypes.create_string_buffer(_LOG)
    options.log_level, options.log_size, options.log_buf = 1, _LOG, ctypes.addressof(log)
    lib.bpf_prog_load(*arguments, ctypes.byref(options))
    words = [line for line in log.value.decode(errors="replace").splitlines() if line.strip()]
    verdict = [line for line in words if not line.startswith("processed ")]
    raise OSError(-result, f"{name}: {os.strerror(-result)}" + (f" ({verdict[-1]})" if verdict else ""))


def number_of_program(lib: ctypes.CDLL, program: int, at: int) -> int:
    """The u64 at this offset of struct bpf_prog_info, 0 where the kernel's is shorter."""
    size = ctypes.c_uint32(at + 8)
    info = ctypes.create_string_buffer(size.value)  # a new one: what is in it tells the kernel what else to write
    _checked(lib.bpf_obj_get_info_by_fd(program, info, ctypes.byref(size)), "program info")
    return int.from_bytes(info.raw[at:], sys.byteorder)


def attach_tracepoint(folder: Path, program: int) -> int:
    """Attaches to the tracepoint in a folder of tracefs; closing the descriptor returned detaches."""
    attributes = bytearray(_PERF_SIZE)
    number = int((folder / "id").read_text())
    struct.pack_into("=IIQQ", attributes, 0, _PERF_TYPE_TRACEPOINT, _PERF_SIZE, number, 1)
    raw = (ctypes.c_char * _PERF_SIZE).from_buffer(attributes)
    everyone, first_cpu, alone = -1, 0, -1
    libc = ctypes.CDLL(None, use_errno=True)
    call = _PERF_EVENT_OPEN[platform.machine()]
    fd = libc.syscall(call, ctypes.byref(raw), everyone, first_cpu, alone, ctypes.c_ulong(_PERF_FD_CLOEXEC))
    if fd < 0:
        raise OSError(ctypes.get_errno(), f"{folder.name}: {os.strerror(ctypes.get_errno())}")
    for request, argument in ((_IOC_SET_BPF, program), (_IOC_ENABLE, 0)):
        if libc.ioctl(fd, ctypes.c_ulong(request), argument) < 0:
            number = ctypes.get_errno()
            os.close(fd)
            raise OSError(number, f"{folder.name}: {os.strerror(number)}")
    return int(fd)


class Ring:
    """The reader's end of a ring buffer."""

    def __init__(self, lib: ctypes.CDLL, table: Map) -> None:
        self._lib = lib
        self._taken: list[bytes] = []
        self._most = 0
        self._on_record = _ON_RECORD(self._keep)
        self._ring = lib.ring_buffer__new(table.fd, self._on_record, None, None)
        if not self._ring:
            raise OSError(ctypes.get_errno(), f"ring buffer: {os.strerror(ctypes.get_errno())}")

    def _keep(self, _: int | None, data: int, size: int) -> int:
        self._taken.append(ctypes.string_at(data, size))
        return -1 if len(self._taken) >= self._most else 0  # libbpf stops behind the record that gets an error

    def take(self, most: int) -> list[bytes]:
        """Records that have come, at most `most`, without waiting; what is left stays in the ring."""
        self._most = most
        self._lib.ring_buffer__consume(self._ring)
        taken, self._taken = self._taken, []
        return taken

    def close(self) -> None:
        if self._ring:
            self._lib.ring_buffer__free(self._ring)
            self._ring = None
