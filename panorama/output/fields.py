# SPDX-License-Identifier: Apache-2.0
"""What a row of the table of fields is, and the getters that several rows have. table.py has the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from ..event import Address
from .facts import Ends, Facts

__all__ = [
    *("ARGUMENTS", "EVIDENCE", "IDENTITY", "USUAL", "VITAL"),
    *("Field", "Section", "both", "host_of", "known", "port_of"),
]

# in which order rows go where a sink limits the length
ARGUMENTS, EVIDENCE, USUAL, VITAL, IDENTITY = range(5)


@dataclass(frozen=True, slots=True)
class Field:
    """One row. `get` gives None, "" or () for what is not known or does not apply, and then the key is absent.

    `kind` is text, escaped (printable text), list (of text), words (a list of ours), number, flag, or what formats
    write in different ways: time and duration (ns), id (a number, text for ECS and OCSF), uid (text for ECS alone),
    octal, file_kind, ip_version, direction and operations (lines). `when` says when it is there.
    """

    name: str
    kind: str
    when: str
    about: str
    get: Callable[[Any], Any]
    ecs: str = ""
    cef: str = ""
    ocsf: str = ""
    rank: int = USUAL
    json: str = ""

    def column(self, name: str) -> tuple[str, ...]:
        """Its keys in that format."""
        return tuple(str(getattr(self, name)).split())


@dataclass(frozen=True, slots=True)
class Section:
    """Rows with one source, without which they say nothing. `shared`: many lines have the same, which has a hash."""

    title: str
    take: Callable[[Facts], Any]
    fields: tuple[Field, ...]
    shared: bool = False


def both(
    name: str,
    kind: str,
    when: str,
    about: str,
    get: Callable[[Any], Any],
    ecs: str = "",
    cef: str = "",
    ocsf: str = "",
    rank: int = USUAL,
) -> Field:
    """A row whose name is also its key in json."""
    return Field(name, kind, when, about, get, ecs, cef, ocsf, rank, json=name)


def known(name: str) -> Callable[[Any], Any]:
    """An attribute that is a number, -1 where it is not known."""
    get = attrgetter(name)

    def number(source: Any) -> Any:
        value = get(source)
        return value if value >= 0 else None

    return number


def host_of(side: str, *families: str) -> Callable[[Ends], Any]:
    """The address of the source or destination, if it is of one of these families, or of any if none is named."""

    def host(ends: Ends) -> Any:
        address: Address | None = getattr(ends, side)
        return address.host if address and (not families or address.family in families) else None

    return host


def port_of(side: str) -> Callable[[Ends], Any]:
    """Its port; a UNIX address has none."""

    def port(ends: Ends) -> Any:
        address: Address | None = getattr(ends, side)
        return address.port if address and address.family != "unix" else None

    return port
