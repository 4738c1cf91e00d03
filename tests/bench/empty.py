# SPDX-License-Identifier: Apache-2.0
"""Attaches an eBPF program that does nothing to a syscall that nobody makes, until its input ends.

python -m tests.bench.empty
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HEADERS = Path(__file__).resolve().parents[2] / "bpf" / "headers"  # BCC wants kernel headers; these do


def main() -> None:
    os.environ["BCC_KERNEL_SOURCE"] = str(HEADERS)
    from bcc import BPF

    program = BPF(text=b"int nothing(void *context) { return 0; }")
    for side in ("enter", "exit"):
        program.attach_tracepoint(tp=f"syscalls:sys_{side}_acct".encode(), fn_name=b"nothing")
    print("attached", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
