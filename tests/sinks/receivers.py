# SPDX-License-Identifier: Apache-2.0
"""Real syslog daemons as receivers, on loopback ports of their own, and certificates for them.

Debian will not install syslog-ng beside rsyslog, so it may also be unpacked in the virtual environment (see Makefile).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

UNPACKED = Path(sys.prefix) / "syslog-ng"


def eventually(true: Callable[[], object], what: str = "it", seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come about within {seconds} s"
        time.sleep(0.02)


def free_port(kind: int = socket.SOCK_STREAM, host: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class Authority:
    """A certificate authority whose files are in `folder`: `ca.pem`, and for each name `NAME.pem`, `NAME.key`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {folder.name}")])
        self.ca = folder / "ca.pem"
        made = self._builder(self._name, self._key, 1).add_extension(x509.BasicConstraints(True, None), True)
        self.ca.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def issue(self, name: str, *hosts: str, days: int = 1) -> tuple[Path, Path]:
        """A certificate for these names or addresses, and its key; `days` < 0 is one that has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        named = [x509.DNSName(host) if host[-1].isalpha() else x509.IPAddress(ip_address(host)) for host in hosts]
        made = self._builder(subject, key, days)
        if named:
            made = made.add_extension(x509.SubjectAlternativeName(named), False)
        certificate, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        secret.touch(0o600)
        secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        return certificate, secret

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
        now = datetime.now(UTC).replace(tzinfo=None)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=days))
        )


@dataclass
class Receiver:
    """A daemon that writes what it gets into `out`: PRI, time, host, app, process, id, structured data, message."""

    folder: Path
    port: int
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    datagrams: bool = False
    process: subprocess.Popen[bytes] | None = None

    def stored(self) -> bytes:
        out = self.folder / "out"
        return out.read_bytes() if out.exists() else b""

    def lines(self) -> list[bytes]:
        """Whole lines that Panorama sent, not the daemon's own."""
        return [line for line in self.stored().split(b"\n")[:-1] if b" panorama " in line]

    def start(self) -> None:
        with (self.folder / "errors").open("ab") as errors:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=errors, stderr=errors)
        eventually(self._listens, f"{self.command[0]}, which says {(self.folder / 'errors').read_text()[-500:]},")

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait(20)

    def pause(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.go_on()
            self.process.terminate()
            self.process.wait(20)

    def _listens(self) -> bool:
        table = "udp" if self.datagrams else "tcp"
        local = f":{self.port:04X} "
        sockets = "".join(Path(f"/proc/net/{table}{six}").read_text() for six in ("", "6"))
        state = " 07 " if self.datagrams else " 0A "
        return any(local in row and state in row for row in sockets.splitlines())


def rsyslogd(
    folder: Path,
    transport: str,
    tls: tuple[Path, Path, Path] | None = None,
    clients: bool = False,
    host: str = "127.0.0.1",
) -> Receiver:
    """`tls` is authority, certificate and key; `clients` must bring a certificate too."""
    folder.mkdir()
    port = free_port(socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM, host)
    driver, files = "", ""
    if tls:
        mode = "x509/certvalid" if clients else "anon"
        driver = f' StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="{mode}"'
        names = ("CAFile", "CertFile", "KeyFile")
        files = "".join(f' DefaultNetstreamDriver{name}="{path}"' for name, path in zip(names, tls, strict=True))
    module = "imudp" if transport == "udp" else "imtcp"
    (folder / "conf").write_text(
        f'global(workDirectory="{folder}"{files})\n'
        f'module(load="{module}"{driver})\n'
        f'input(type="{module}" address="{host}" port="{port}")\n'
        'template(name="t" type="string" string="%pri% %timestamp:::date-rfc3339% %hostname% %app-name% %procid% %msgid%'
        ' %structured-data% %msg%\\n")\n'
        f'*.* action(type="omfile" file="{folder}/out" template="t")\n'
    )
    command = ["rsyslogd", "-n", "-f", str(folder / "conf"), "-i", str(folder / "pid")]
    return Receiver(folder, port, command, dict(os.environ), transport == "udp")


def syslog_ng(
    folder: Path,
    transport: str,
    tls: tuple[Path, Path, Path] | None = None,
    clients: bool = False,
    host: str = "127.0.0.1",
) -> Receiver:
    """As `rsyslogd`."""
    folder.mkdir()
    port = free_port(socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM, host)
    files = ""
    if tls:
        ca, certificate, key = tls
        peer = "required-trusted" if clients else "optional-untrusted"
        files = f' tls(ca-file("{ca}") cert-file("{certificate}") key-file("{key}") peer-verify({peer}))'
    program = shutil.which("syslog-ng") or str(UNPACKED / "usr/sbin/syslog-ng")
    version = "3.38"
    address = f'ip("{host}") ip-protocol({6 if ":" in host else 4}) port({port})'
    (folder / "conf").write_text(
        f"@version: {version}\n"
        "options { keep-hostname(yes); keep-timestamp(yes); frac-digits(6); ts-format(iso); create-dirs(no); };\n"
        f'source s {{ syslog({address} transport("{transport}"){files}); }};\n'
        f'destination d {{ file("{folder}/out" template("$PRI $ISODATE $HOST $PROGRAM $PID $MSGID $SDATA $MSG\\n")); }};\n'
        "log { source(s); destination(d); };\n"
    )
    places = [f"--{name}={folder / name}" for name in ("persist-file", "pidfile", "control")]
    command = [program, "-F", "--no-caps", "-f", str(folder / "conf"), *places]
    environment = dict(os.environ)
    if program.startswith(str(UNPACKED)):
        libraries = [
            UNPACKED / "usr/lib/syslog-ng",
            *UNPACKED.glob("usr/lib/*-linux-gnu"),
            *UNPACKED.glob("lib/*-linux-gnu"),
        ]
        environment["LD_LIBRARY_PATH"] = ":".join(map(str, libraries))
        modules = ":".join(map(str, UNPACKED.glob("usr/lib/syslog-ng/*/")))
        command.append(f"--module-path={modules}")
    return Receiver(folder, port, command, environment, transport == "udp")
