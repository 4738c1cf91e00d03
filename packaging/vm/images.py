# SPDX-License-Identifier: Apache-2.0
"""Disk images of Debian as it is installed: systemd, rsyslog, a stock kernel, and what the tests run.

An image is made once by mmdebstrap, from the archive that apt on this machine uses, and kept in the user's cache folder
under a digest of all that went into it. It has no Panorama: that comes with each job. There is no network in it, and
apt knows no archive there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["IMAGES", "Image", "Trouble", "build"]

_FORM = 1  # of what build() makes; to be raised when that changes
_GUEST = Path(__file__).with_name("guest")
_DISK = "5G"  # sparse
_SYSTEM = ("systemd-sysv", "dbus", "rsyslog", "logrotate", "initramfs-tools", "kmod", "procps", "bash-completion")
_TESTS = ("python3-pytest",)
_DRIVERS = "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n"  # all that is needed to reach the disk


class Trouble(Exception):
    """What stops the harness itself, in one line."""


@dataclass(frozen=True)
class Image:
    """A Debian release with a kernel that may come from another one."""

    suite: str
    kernel_suite: str

    @property
    def sources(self) -> str:
        archive, security = _archives()
        lines = [
            f"deb {archive} {self.suite} main",
            f"deb {archive} {self.suite}-updates main",
            f"deb {security} {self.suite}-security main",
        ]
        if self.kernel_suite != self.suite:
            lines.append(f"deb {archive} {self.kernel_suite} main")
        return "".join(f"{line}\n" for line in lines)

    @property
    def kernel(self) -> str:
        name = "linux-image-cloud-amd64"  # the stock kernel without drivers of real hardware
        return name if self.kernel_suite == self.suite else f"{name}/{self.kernel_suite}"


IMAGES = {
    "deb-12": Image("bookworm", "bookworm"),
    "deb-12-kernel-11": Image("bookworm", "bullseye"),
    "deb-13": Image("trixie", "trixie"),
    "deb-13-backports": Image("trixie", "trixie-backports"),
}


def _archives() -> tuple[str, str]:
    """The archive that apt is set up for here, and that of security updates."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found: dict[bool, str] = {}
    for line in listed:
        uri, _, release = line.partition(" ")
        if "debian" in uri:
            found.setdefault(release.endswith("-security"), uri.rstrip("/"))
    if len(found) < 2:
        raise Trouble("apt knows no Debian archive with security updates here; see sources.list(5)")
    return found[False], found[True]


def build(name: str, packages: list[str]) -> Path:
    """The folder of an image with these packages: vmlinuz, initrd, root.img. Made first if it is not there."""
    image = IMAGES[name]
    files = {path.name: path.read_text() for path in sorted(_GUEST.iterdir())}
    wanted = sorted({*_SYSTEM, *_TESTS, *packages, image.kernel})
    recipe = json.dumps([_FORM, image.sources, wanted, files, _DRIVERS, _DISK])
    folder = _cache() / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        if os.geteuid() != 0:
            raise Trouble("making an image needs root; try: sudo make vm-test")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            os.chmod(work, 0o755)  # apt fetches as a user of its own
            made = Path(work) / "image"
            made.mkdir()
            _make(image, wanted, Path(work), made)
            made.rename(folder)
    return folder


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "panorama-vm"


def _make(image: Image, packages: list[str], work: Path, made: Path) -> None:
    sources, drivers, root = work / "sources.list", work / "modules", work / "root"
    sources.write_text(image.sources)
    drivers.write_text(_DRIVERS)
    log = made / "build.log"
    _run(
        log,
        "mmdebstrap",
        "--mode=root",
        "--format=directory",
        "--variant=important",
        f"--include={','.join(packages)}",
        # before initramfs-tools is there, which makes the initrd when the kernel is installed
        '--essential-hook=mkdir -p "$1/etc/initramfs-tools/conf.d"',
        '--essential-hook=echo MODULES=list >"$1/etc/initramfs-tools/conf.d/vm"',
        f'--essential-hook=cp {drivers} "$1/etc/initramfs-tools/modules"',
        f'--customize-hook=cp {_GUEST}/run-job "$1/usr/local/sbin/"',
        f'--customize-hook=cp {_GUEST}/job.service "$1/etc/systemd/system/"',
        '--customize-hook=chroot "$1" systemctl enable job.service',
        '--customize-hook=chroot "$1" systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_reap.service',
        '--customize-hook=echo LABEL=root / ext4 rw 0 0 >"$1/etc/fstab"',
        '--customize-hook=echo panorama-vm >"$1/etc/hostname"',
        '--customize-hook=echo 127.0.0.1 localhost panorama-vm >"$1/etc/hosts"',
        # without one systemd takes the boot for the first, and takes its time
        '--customize-hook=echo 11111111111111111111111111111111 >"$1/etc/machine-id"',
        '--customize-hook=rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*',
        image.suite,
        str(root),
        str(sources),
    )
    kernel = max((root / "boot").glob("vmlinuz-*"), key=lambda path: path.stat().st_mtime)
    shutil.copy(kernel, made / "vmlinuz")
    shutil.copy(root / "boot" / f"initrd.img-{kernel.name.removeprefix('vmlinuz-')}", made / "initrd")
    _run(log, "mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", str(root), str(made / "root.img"), _DISK)


def _run(log: Path, *command: str) -> None:
    with log.open("ab") as file, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file) as child:
        try:
            status = child.wait()
        except BaseException:  # Ctrl-C: mmdebstrap has mounts to undo
            child.terminate()
            raise
    if status:
        said = log.read_text(errors="replace").strip().splitlines()
        raise Trouble(f"{command[0]} failed with {status}: {said[-1] if said else 'without a word'}")
