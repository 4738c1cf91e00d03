# SPDX-License-Identifier: Apache-2.0
"""Boots an image in QEMU, has it do one job, and passes on what the job prints.

The job is a tar file with a script `job` in it, on a disk of its own; the answer comes through a virtual serial port.
What the machine writes to its disk is thrown away. KVM is used where it boots the kernel, emulation otherwise; VM_ACCEL
set to kvm or tcg decides for itself.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from images import Trouble

__all__ = ["accelerator", "run"]

_QEMU = "qemu-system-x86_64"
_ACCELERATORS = {
    "kvm": ["-accel", "kvm", "-cpu", "host"],
    # Debian's 6.12 was seen to panic in its allocator, now and then, on an emulated CPU that has cmpxchg16b
    "tcg": ["-accel", "tcg,thread=multi", "-cpu", "max,-cx16"],
}
_PROBE = 15  # s in which a kernel gets as far as its root disk where KVM is real
_STATUS = re.compile(r"^exit status: (\d+)$", re.MULTILINE)


def accelerator(image: Path) -> str:
    """kvm or tcg. That /dev/kvm opens proves little on a machine that is virtual itself, so a kernel is booted."""
    if wanted := os.environ.get("VM_ACCEL"):
        if wanted not in _ACCELERATORS:
            raise Trouble(f"VM_ACCEL is '{wanted}'; it can be {' or '.join(_ACCELERATORS)}")
        return wanted
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    with tempfile.TemporaryDirectory() as folder:
        console = Path(folder) / "console"
        command = [_QEMU, *_ACCELERATORS["kvm"], "-m", "512", "-nodefaults", "-display", "none", "-no-reboot"]
        command += [
            "-kernel",
            str(image / "vmlinuz"),
            "-append",
            "console=ttyS0 panic=-1",
            "-serial",
            f"file:{console}",
        ]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as qemu:
            try:
                qemu.wait(_PROBE)
            except subprocess.TimeoutExpired:
                qemu.kill()
        booted = console.exists() and "Unable to mount root fs" in console.read_text(errors="replace")
    return "kvm" if booted else "tcg"


def run(image: Path, job: Path, tell: Callable[[str], None], seconds: float, memory: int = 2048) -> int:
    """The exit status of the job. `tell` gets its output in pieces. Raises Trouble if the machine fails."""
    with tempfile.TemporaryDirectory() as folder:
        answer, console = Path(folder) / "answer", Path(folder) / "console"
        command = [
            *(_QEMU, *_ACCELERATORS[accelerator(image)], "-machine", "q35", "-m", str(memory), "-smp", "2"),
            *("-nodefaults", "-display", "none", "-no-reboot", "-device", "virtio-rng-pci"),
            *("-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd")),
            *("-append", "root=LABEL=root rw console=ttyS0 panic=-1"),
            *("-drive", f"file={image}/root.img,format=raw,if=none,id=root,snapshot=on"),
            *("-device", "virtio-blk-pci,drive=root"),
            *("-drive", f"file={job},format=raw,if=none,id=job,readonly=on"),
            *("-device", "virtio-blk-pci,drive=job,serial=job"),
            *("-device", "virtio-serial-pci", "-chardev", f"file,id=answer,path={answer}"),
            *("-device", "virtserialport,chardev=answer,name=answer"),
            *("-serial", f"file:{console}"),
        ]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, env=os.environ | {"TMPDIR": folder}) as qemu:
            try:
                said = _follow(qemu, answer, tell, time.monotonic() + seconds)
            finally:
                qemu.kill()
        found = _STATUS.search(said)
        if not found:
            last = console.read_text(errors="replace").strip()[-4000:] if console.exists() else ""
            raise Trouble(
                f"the machine ended, or {seconds:.0f} s were over, before the job did; its console says\n{last}"
            )
        return int(found[1])


def _follow(qemu: subprocess.Popen[bytes], answer: Path, tell: Callable[[str], None], deadline: float) -> str:
    """Passes on what the job prints until the machine is off or the time is over; all of it in the end."""
    said = ""
    while True:
        off = qemu.poll() is not None or time.monotonic() > deadline
        text = answer.read_text(errors="replace") if answer.exists() else ""
        tell(text[len(said) :])
        said = text
        if off:
            return said
        time.sleep(0.2)
