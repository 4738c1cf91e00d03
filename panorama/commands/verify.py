# SPDX-License-Identifier: Apache-2.0
"""`panorama verify FILE...`: whether shipped lines are complete and unaltered, per host. Needs no root.

Exit status 1 if lines are missing or altered; lines that came twice are what a restart may leave, and are only counted.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from ..errors import UsageError
from ..output.identity import identity
from ..verify import Host

__all__ = ["add", "run"]

_MOST_SHOWN = 20


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        nargs="+",
        metavar="FILE",
        help="lines as they were shipped: json, ecs, cef, ocsf or RFC 5424 messages; - is standard input",
    )


def run(arguments: argparse.Namespace) -> int:
    hosts: dict[str, Host] = {}
    without = 0
    for name in arguments.file:
        for number, text in enumerate(_lines(name), 1):
            line = identity(text)
            if line is None or not line.sequence:
                without += 1
            else:
                hosts.setdefault(line.host, Host()).add(line, f"{name}:{number}")
    sound = [_said(name, host) for name, host in sorted(hosts.items())]
    if without:
        print(f"{without} lines without a sequence: text, v6 and v7 carry none but in RFC 5424 messages")
    if not hosts:
        raise UsageError("no line here carries a sequence; see: man panorama-fields")
    return 0 if all(sound) else 1


def _lines(name: str) -> Iterator[str]:
    try:
        with _opened(name) as file:
            for line in file:
                if line.strip():
                    yield line.decode("utf-8", "surrogateescape").rstrip("\n")
    except (OSError, EOFError) as error:
        raise UsageError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _opened(name: str) -> IO[bytes]:
    if name == "-":
        return sys.stdin.buffer
    return cast(IO[bytes], gzip.open(name)) if name.endswith(".gz") else Path(name).open("rb")


def _said(name: str, host: Host) -> bool:
    """Prints what there is to say of one host; whether all is there and as it was."""
    gaps, altered = host.gaps(), host.altered()
    last, chain = host.last
    print(f"{name or 'a host without a name'}: {len(host)} lines, sequence {host.first} to {last}")
    _list("missing", [f"between {after} and {before}" for after, before in gaps])
    _list("twice", [str(sequence) for sequence in host.duplicates])
    _list("two lines with one sequence", host.disagreeing)
    _list("altered, or not behind the line it was behind", altered)
    if not gaps:
        print("  none missing")
    if chain and not altered:
        print(f"  {'all' if host.chained else 'some'} lines are chained, none is altered; the last chain is {chain}")
    return not (gaps or altered or host.disagreeing)


def _list(title: str, found: list[str]) -> None:
    if found:
        more = f" and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
        print(f"  {title} ({len(found)}): {', '.join(found[:_MOST_SHOWN])}{more}")
