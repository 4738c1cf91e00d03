# SPDX-License-Identifier: Apache-2.0
"""Conditions as functions of an event and a machine's saved values, bound once so that asking is cheap.

A condition on a field that the event does not have never holds, whatever it says; nor does one on a saved value that
is not saved yet.
"""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..event import Address, Event, File
from ..vocabulary import FIELDS
from .globs import path_glob, text_glob
from .model import GATHERED, Condition, Test

__all__ = ["Predicate", "predicate", "same"]

Saved = Mapping[str, Any]
Predicate = Callable[[Event, Saved], bool]
_Check = Callable[[Any, Saved], bool]  # of a value that is not None

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "!=": operator.ne,
}


def predicate(condition: Condition) -> Predicate:
    """The condition with its field's accessor, patterns and networks bound."""
    if condition.kind == "paths":
        return _any(condition)
    kind = condition.kind
    others = [test for test in condition.tests if test.how != "field"]
    checks = [_check(kind, test) for test in others]
    check = checks[0] if len(checks) == 1 else _one_of(kind, others)
    if condition.field not in FIELDS:
        return _of_saved(condition, check)
    get = FIELDS[condition.field].get
    fields = [FIELDS[str(test.value)].get for test in condition.tests if test.how == "field"]
    if fields:

        def agrees(event: Event, saved: Saved) -> bool:
            value = get(event)
            if value is None:
                return False
            found = [other for field in fields if (other := field(event)) is not None]
            return any(same(kind, value, other) for other in found) or check(value, saved)

        return agrees

    def holds(event: Event, saved: Saved) -> bool:
        value = get(event)
        return value is not None and check(value, saved)

    return holds


def _any(condition: Condition) -> Predicate:
    """The condition on a field of several paths: on any of them."""
    get = FIELDS[condition.field].get
    check = _one_of("path", condition.tests)

    def holds(event: Event, saved: Saved) -> bool:
        return any(check(value, saved) for value in get(event) or ())

    return holds


def _of_saved(condition: Condition, check: _Check) -> Predicate:
    """The condition on a saved value, or on how many were gathered, which is none at first."""
    name, kind = condition.field, condition.kind
    fields = [FIELDS[str(test.value)].get for test in condition.tests if test.how == "field"]

    def holds(event: Event, saved: Saved) -> bool:
        value = saved.get(name)
        if kind == GATHERED:
            return check(value.count if value is not None else 0, saved)
        if value is None:
            return False
        found = [other for field in fields if (other := field(event)) is not None]
        return any(same(kind, value, other) for other in found) or check(value, saved)

    return holds


def same(kind: str, one: Any, other: Any) -> bool:
    """Whether two values of fields of one kind are the same: files by path, addresses as a whole."""
    if kind == "path":
        return _path(one) == _path(other)
    return bool(one == other)


def _path(value: File | str) -> str:
    return value.path if isinstance(value, File) else value


def _one_of(kind: str, tests: Sequence[Test]) -> _Check:
    """Whether any of the tests holds; equal ones, prefixes and globs are each asked at once."""
    values = frozenset(test.value for test in tests if test.how == "equal")
    prefixes = tuple(str(test.value) for test in tests if test.how == "prefix")
    globs = [str(test.value) for test in tests if test.how == "glob"]
    if kind in ("address", GATHERED) or len(values) + len(prefixes) + len(globs) < len(tests):
        checks = [_check(kind, test) for test in tests]
        return lambda value, saved: any(check(value, saved) for check in checks)
    if kind not in ("path", "text") or not (prefixes or globs):
        return (lambda value, _: _path(value) in values) if kind == "path" else (lambda value, _: value in values)
    pattern = (path_glob if kind == "path" else text_glob)(*globs).fullmatch

    def check(value: Any, _: Saved) -> bool:
        text = _path(value) if kind == "path" else value
        return text in values or text.startswith(prefixes) or (globs != [] and pattern(text) is not None)

    return check


def _check(kind: str, test: Test) -> _Check:
    wanted: Any = test.value
    if test.how == "saved":
        return lambda value, saved: (other := saved.get(wanted)) is not None and same(kind, value, other)
    if test.how == "compare":
        compare = _OPERATORS[test.operator]
        return lambda value, _: compare(value, wanted)
    if test.how == "prefix":
        return lambda value, _: _path(value).startswith(wanted)
    if test.how == "network":
        network = ipaddress.ip_network(wanted)
        return lambda value, _: (host := _host(value.host)) is not None and host in network
    if kind == "path":
        if test.how == "equal":
            return lambda value, _: _path(value) == wanted
        path = path_glob(wanted).fullmatch
        return lambda value, _: path(_path(value)) is not None
    if test.how == "glob":
        text = text_glob(wanted).fullmatch
        return lambda value, _: text(value) is not None
    if kind == "address":
        return _address(*wanted)
    return lambda value, _: value == wanted


def _address(host: str, port: int) -> _Check:
    if host[0] in "/@":
        return lambda value, _: value.family == "unix" and value.host == host
    wanted = _host(host)

    def check(value: Address, _: Saved) -> bool:
        return (port < 0 or value.port == port) and value.family != "unix" and _host(value.host) == wanted

    return check


@lru_cache(4096)
def _host(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; an IPv4 one inside IPv6 (RFC 4291, 2.5.5.2), as dual-stack sockets have them, is the IPv4 one."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
