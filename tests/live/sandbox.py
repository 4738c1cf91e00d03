# SPDX-License-Identifier: Apache-2.0
"""A script in namespaces of its own: what it does to accounts, logs, packages and ports, the machine never sees.

It has a loopback of its own, and copies of /etc, /var and /root, gone when it ends. Files elsewhere are the machine's.
"""

from __future__ import annotations

import shlex

__all__ = ["PORT", "sandboxed"]

PORT = 8080  # nobody else has ports here; it is not one of those that clients are given

_COPIES = ("etc", "var", "root")


def sandboxed(script: str) -> str:
    """The script as one command. It ends with the script's status; whatever still runs then is killed."""
    mounts = [
        f"mkdir -p $layers/{name}.new $layers/{name}.work; "
        f"mount -t overlay x -o lowerdir=/{name},upperdir=$layers/{name}.new,workdir=$layers/{name}.work /{name}"
        for name in _COPIES
    ]
    inside = [
        "layers=$(mktemp -d)",
        "mount -t tmpfs x $layers",
        *mounts,
        "mount -t tmpfs x /run",
        "mkdir -p /run/sshd /run/lock",
        "ip link set lo up",
        script,
    ]
    words = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/bash", "--norc", "-c"]
    return " ".join([*words, shlex.quote("\n".join(inside))])
