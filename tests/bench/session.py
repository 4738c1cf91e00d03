# SPDX-License-Identifier: Apache-2.0
"""A person's session in a shell, session.sh: an empty home, and on loopback a web server and an sshd of its own.

The servers are not part of what the person does. There is no terminal: less writes like cat, vim reads its commands
from its command line.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .bench import HERE, said
from .processes import until

__all__ = ["Session"]

_NEEDED = ("git", "vim", "make", "gcc", "curl", "less", "ssh", "/usr/sbin/sshd")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # the system's own programs
_SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/id.pub
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile none
ForceCommand cd {folder}/there && if [ "$SSH_ORIGINAL_COMMAND" ]; then eval "$SSH_ORIGINAL_COMMAND"; else exec bash; fi
Subsystem sftp /usr/lib/openssh/sftp-server -d {folder}/there
"""
_SSH = """\
Host there
HostName 127.0.0.1
Port {port}
User root
IdentityFile {folder}/id
BatchMode yes
StrictHostKeyChecking no
UserKnownHostsFile {folder}/known_hosts
LogLevel ERROR
"""


class Session:
    """Use it as a context manager: the servers run inside. `command` is the session, `lacking` why it cannot be."""

    def __init__(self, folder: Path) -> None:
        self.lacking = next((f"{name}: not installed" for name in _NEEDED if not shutil.which(name)), "")
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self.command: list[str | Path] = []

    def __enter__(self) -> Session:
        if not self.lacking:
            home = self._folder / "home"
            home.mkdir()
            web, ssh = self._stack.enter_context(self._web()), self._stack.enter_context(self._sshd())
            given = [
                f"HOME={home}",
                f"PATH={_PATH}",
                f"web=http://127.0.0.1:{web}",
                f"ssh={ssh}",
                "LESS=FRX",
                "PAGER=cat",
            ]
            self.command = ["env", *given, "bash", "--norc", HERE / "session.sh"]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def _web(self) -> Iterator[int]:
        pages = self._folder / "pages"
        pages.mkdir()
        (pages / "page.html").write_text("<p>One page.\n" * 200)
        (pages / "data.csv").write_text("".join(f"name{number % 7},{number}\n" for number in range(500)))
        port = _free_port()
        with _running([sys.executable, "-m", "http.server", "-b", "127.0.0.1", "-d", pages, str(port)], port):
            yield port

    @contextlib.contextmanager
    def _sshd(self) -> Iterator[Path]:
        """Gives the configuration of ssh, in which it is the host `there`."""
        folder, port = self._folder, _free_port()
        (folder / "there").mkdir()
        for key in ("host", "id"):
            said(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key])
        (folder / "sshd").write_text(_SSHD.format(port=port, folder=folder))
        (folder / "ssh").write_text(_SSH.format(port=port, folder=folder))
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd separates its privileges
        with _running(["/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd"], port):
            yield folder / "ssh"


@contextlib.contextmanager
def _running(command: list[str | Path], port: int) -> Iterator[None]:
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(f"listening: {Path(command[0]).name}", lambda: _listens(port))
        yield
    finally:
        server.terminate()
        server.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
