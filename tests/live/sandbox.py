# SPDX-License-Identifier: Apache-2.0
"""A script in namespaces of its own: what it does to accounts, logs, packages and ports, the machine never sees.

It has a loopback and process ids of its own, and copies of /etc, /var and /root, gone when it ends. Files elsewhere
are the machine's. `SSHD` is a script's beginning: it makes a server on port 2222 that `ssh h` and `scp f h:` reach, as
the user games, whom every Debian has.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from fnmatch import fnmatchcase

import pytest

from panorama.machines.model import Example
from panorama.machines.spec import load_behaviors
from panorama.paths import BEHAVIORS

from .conftest import Told, words

__all__ = ["EXAMPLES", "SSHD", "examples_of", "proves", "sandboxed"]

EXAMPLES = {behavior.name: behavior.examples for behavior in load_behaviors([BEHAVIORS])}

_COPIES = ("etc", "var", "root")
_WORDS = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/bash", "--norc", "-c")

SSHD = """
keys=/srv/ssh; mkdir $keys /home/games; chown games: /home/games
sed -i 's,^games:.*,games:x:5:60:games:/home/games:/bin/bash,' /etc/passwd
ssh-keygen -q -t ed25519 -N '' -f $keys/host; ssh-keygen -q -t ed25519 -N '' -f $keys/id
cat > $keys/sshd <<.
Port 2222
ListenAddress 127.0.0.1
HostKey $keys/host
AuthorizedKeysFile $keys/id.pub
StrictModes no
PidFile none
PrintMotd no
UsePAM yes
Subsystem sftp ${SFTP:-/usr/lib/openssh/sftp-server}
.
printf 'Host h\\nHostName 127.0.0.1\\nPort 2222\\nUser games\\nIdentityFile %s\\nBatchMode yes\\n' $keys/id > $keys/ssh
printf 'StrictHostKeyChecking no\\nUserKnownHostsFile %s\\nLogLevel ERROR\\n' $keys/known_hosts >> $keys/ssh
ssh() { command ssh -F /srv/ssh/ssh "$@"; }; scp() { command scp -q -F /srv/ssh/ssh "$@"; }
sftp() { command sftp -q -F /srv/ssh/ssh "$@"; }; export RSYNC_RSH='ssh -F /srv/ssh/ssh'
/usr/sbin/sshd -D -e -f $keys/sshd 2> /dev/null & sshd=$!
for n in $(seq 50); do (: < /dev/tcp/127.0.0.1/2222) 2> $keys/tried && break; sleep 0.1; done
"""


def sandboxed(script: str) -> str:
    """The script as one command, in the folder where it is given. When it ends, what still runs in it is killed."""
    inside = ["layers=$(mktemp -d)", "mount -t tmpfs x $layers"]
    for name in _COPIES:
        layers = f"lowerdir=/{name},upperdir=$layers/{name}.new,workdir=$layers/{name}.work"
        inside += [f"mkdir $layers/{name}.new $layers/{name}.work", f"mount -t overlay x -o {layers} /{name}"]
    inside += [f"mount -t tmpfs x /{name}" for name in ("run", "home", "srv")]
    inside += ["mkdir /run/sshd /run/lock", "ip link set lo up", script]
    return " ".join([*_WORDS, shlex.quote("\n".join(inside))])


def examples_of(names: Iterable[str]) -> list[object]:
    """Each example of each behavior, for pytest."""
    return [
        pytest.param(name, number, id=f"{name}-{number}") for name in names for number in range(len(EXAMPLES[name]))
    ]


def proves(example: Example, run: Told) -> None:
    """Every line is there that it promises, and none that it rules out; both are patterns."""
    missing = [line for line in example.lines if not any(fnmatchcase(said, line) for said in run.words)]
    wrong = [said for said in run.words if any(fnmatchcase(said, line) for line in example.without)]
    told = [words(line) for line in run.lines if line.layer == "activity"]
    problem = "\n".join(["missing:", *missing, "wrong:", *wrong, "told:", *told, run.output])
    assert (missing, wrong) == ([], []), problem
