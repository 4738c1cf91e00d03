# SPDX-License-Identifier: Apache-2.0
"""Compiles the eBPF program with BCC, as a program of its own: when it ends, so do LLVM's threads, files and memory.

Started by bytecode.py; imports nothing of ours. Standard input is JSON, {"source": text, "flags": [text]}. Standard
output is JSON as well: {"programs": {name: [instructions in base64, [[place in bytes, map's number], ...]]}, "maps":
{name: {"number", "type", "key_size", "value_size", "entries", "flags", "key", "value"}}}. `key` and `value` list the
members as [name, offset in bytes, code of the struct module]. What BCC, clang or LLVM have to say against the source
goes to standard error, and the exit status is 1.

Instructions: include/uapi/linux/bpf.h, struct bpf_insn.
"""

from __future__ import annotations

import base64
import ctypes
import json
import struct
import sys
from typing import Any

_INSTRUCTION = struct.Struct("=BBhi")  # opcode, source << 4 | destination, offset, immediate
_LOAD_IMMEDIATE = 0x18  # BPF_LD | BPF_DW | BPF_IMM, two instructions long
_IS_MAP = 1  # BPF_PSEUDO_MAP_FD
_RING = 27  # BPF_MAP_TYPE_RINGBUF: has neither keys nor values
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
_UNDECLARED = {  # of libbcc, by BCC's Python module
    "bpf_table_name": ctypes.c_char_p,
    "bpf_table_fd_id": ctypes.c_int,
    "bpf_table_key_size_id": ctypes.c_size_t,
    "bpf_table_leaf_size_id": ctypes.c_size_t,
}


def _code(kind: Any) -> str:
    """A ctypes type in the struct module's words; signed where it is."""
    length = getattr(kind, "_length_", None)
    if length is not None:
        inner = kind._type_
        return f"{length}s" if ctypes.sizeof(inner) == 1 else f"{length}{_code(inner)}"
    code = _CODES.get(ctypes.sizeof(kind), "")
    if not code or hasattr(kind, "_fields_"):  # a struct in a struct: nobody outside the kernel looks into those
        return f"{ctypes.sizeof(kind)}s"
    return code.lower() if kind(-1).value < 0 else code


def _members(kind: Any) -> list[tuple[str, int, str]]:
    if not hasattr(kind, "_fields_"):
        return [("", 0, _code(kind))]
    return [(name, getattr(kind, name).offset, _code(inner)) for name, inner, *_ in kind._fields_]


def _maps(bcc: Any, module: Any) -> tuple[dict[str, dict[str, Any]], dict[int, int]]:
    """What each map is, and the map's number by descriptor."""
    lib = bcc.lib
    for function, result in _UNDECLARED.items():
        getattr(lib, function).argtypes = [ctypes.c_void_p, ctypes.c_ulonglong]
        getattr(lib, function).restype = result
    maps: dict[str, dict[str, Any]] = {}
    numbers = {}
    for number in range(lib.bpf_num_tables(module)):
        name = lib.bpf_table_name(module, number)
        kind = lib.bpf_table_type_id(module, number)
        maps[name.decode()] = {
            "number": number,
            "type": kind,
            "key_size": 0 if kind == _RING else lib.bpf_table_key_size_id(module, number),
            "value_size": 0 if kind == _RING else lib.bpf_table_leaf_size_id(module, number),
            "entries": lib.bpf_table_max_entries_id(module, number),
            "flags": lib.bpf_table_flags_id(module, number),
            "key": [] if kind == _RING else _described(bcc, lib.bpf_table_key_desc(module, name)),
            "value": [] if kind == _RING else _described(bcc, lib.bpf_table_leaf_desc(module, name)),
        }
        numbers[lib.bpf_table_fd_id(module, number)] = number
    return maps, numbers


def _described(bcc: Any, text: bytes) -> list[tuple[str, int, str]]:
    return _members(bcc.BPF._decode_table_type(json.loads(text)))


def _uses(code: bytes, numbers: dict[int, int]) -> list[tuple[int, int]]:
    """Where the instructions name a map, in bytes, and which."""
    found = []
    for at in range(0, len(code), _INSTRUCTION.size):
        opcode, registers, _, immediate = _INSTRUCTION.unpack_from(code, at)
        if opcode == _LOAD_IMMEDIATE and registers >> 4 == _IS_MAP:
            found.append((at, numbers[immediate]))
    return found


def main() -> int:
    asked = json.load(sys.stdin)
    import bcc  # reads BCC_KERNEL_SOURCE, and takes its time

    try:
        made = bcc.BPF(text=asked["source"].encode(), cflags=asked["flags"])
    except Exception as error:  # bcc raises plain Exception
        print(f"error: {error}", file=sys.stderr)
        return 1
    module = made.module
    maps, numbers = _maps(bcc, module)
    programs = {}
    for index in range(bcc.lib.bpf_num_functions(module)):
        name = bcc.lib.bpf_function_name(module, index)
        code = ctypes.string_at(bcc.lib.bpf_function_start(module, name), bcc.lib.bpf_function_size(module, name))
        programs[name.decode()] = (base64.b64encode(code).decode(), _uses(code, numbers))
    json.dump({"programs": programs, "maps": maps}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
