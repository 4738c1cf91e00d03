# SPDX-License-Identifier: Apache-2.0
"""What is written for a setting becomes the value its Key asks for, and a value is written as it would be read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorama.config.show import scalar
from panorama.errors import Problem
from panorama.reading.fields import Reading
from panorama.reading.keys import KINDS, Key
from panorama.reading.nodes import Node, parse
from panorama.reading.values import spelled, value_of

WORDS = ("red", "green", "blue")


def read(text: str, key: Key) -> tuple[Any, list[str]]:
    problems: list[Problem] = []
    node = parse(f"x: {text}\n".encode(), "f", problems)
    assert node, problems
    value = value_of(Reading("f", problems), "x", node.value["x"], key)
    return value, [f"{problem.what}; {problem.hint}" for problem in problems]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("size", "0B", 0),
        ("size", "3 KiB", 3 << 10),
        ("size", "1TiB", 1 << 40),
        ("time", "1.5s", 1.5),
        ("time", "0.25m", 15.0),
        ("time", "20 ms", 0.02),
        ("time", "2d", 172800.0),
        ("address", "'[fe80::1%eth0]:514'", ("fe80::1%eth0", 514)),
        ("address", "10.0.0.1:1", ("10.0.0.1", 1)),
        ("text", "5", "5"),
        ("texts", "a", ("a",)),
        ("texts", "[a, 5, true]", ("a", "5", "true")),
        ("words", "[red, blue]", ("red", "blue")),
        ("created", "/dev/new", "/dev/new"),
        ("paths", "/a b", ("/a b",)),
        ("url", "https://[::1]:9200/a/b", "https://[::1]:9200/a/b"),
    ],
)
def test_ways_to_write_a_value(kind: str, text: str, value: Any) -> None:
    assert read(text, Key(kind, "", choices=WORDS)) == (value, [])


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        ("size", "5", "'x' has no unit: '5'; write 5MiB, or another of KiB, MiB, GiB"),
        ("size", "1.5GiB", "'x' cannot be '1.5GiB'; it takes a number and KiB, MiB or GiB, like 16MiB"),
        ("size", "1.5", "'x' cannot be '1.5'; it takes a number and KiB, MiB or GiB, like 16MiB"),
        ("size", "64Mi", "'x' cannot be '64Mi'; write 64MiB"),
        ("size", "-1MiB", "'x' cannot be '-1MiB'; it takes a number and KiB, MiB or GiB, like 16MiB"),
        ("size", "12 kb", "'x' cannot be '12 kb'; write 12KiB"),
        ("time", "1.5", "'x' has no unit: '1.5'; write 1.5s, or another of ms, s, m, h, d"),
        ("time", "5 min", "'x' cannot be '5 min'; it takes a number and ms, s, m, h or d, like 30s"),
        ("count", "'5'", "'x' cannot be '5'; it takes a whole number, 0 or more"),
        ("count", "5.0", "'x' cannot be '5.0'; it takes a whole number, 0 or more"),
        ("count", "true", "'x' cannot be 'true'; it takes a whole number, 0 or more"),
        ("flag", "'true'", "'x' cannot be 'true'; it takes true or false"),
        ("text", "''", "'x' is empty; "),
        ("text", '"a\\u202eb"', "'x' has a character that cannot be printed: 'a\\u202eb'; "),
        ("path", "a/b", "'x' is no absolute path: 'a/b'; begin it with /"),
        ("address", "::1:514", "'x' cannot be '::1:514'; it takes host:port, or [v6]:port"),
        ("address", "h:65536", "'x' cannot be 'h:65536'; it takes host:port, or [v6]:port"),
        (
            "url",
            "ftp://h",
            "'x' cannot be 'ftp://h'; it takes http://host or https://host, with a port and a path if need be",
        ),
        (
            "url",
            "https://h:x",
            "'x' cannot be 'https://h:x'; it takes http://host or https://host, with a port and a path if need be",
        ),
        ("word", "gren", "unknown x 'gren'; did you mean 'green'?"),
        ("words", "[red, [blue]]", "'x' cannot hold a list; it takes one word"),
        ("texts", "{a: b}", "'x' cannot hold a mapping; it takes text"),
        ("time", "[1s]", "'x' cannot be a list; it takes a number and ms, s, m, h or d, like 30s"),
        ("created", "/gone/log", "'x' cannot be made, there is no folder /gone; "),
        ("created", "/dev", "'x' is a folder; "),
        ("file", "/dev/null", "'x' is no file: '/dev/null'; "),
    ],
)
def test_what_does_not_fit_is_told(kind: str, text: str, problem: str) -> None:
    assert read(text, Key(kind, "", choices=WORDS)) == (None, [problem])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_can_be_read(kind: str) -> None:
    """No kind is declared that value_of does not know; nothing is not a value of any."""
    problems: list[Problem] = []
    key = Key(kind, "", choices=WORDS)
    assert value_of(Reading("f", problems), "x", Node(None, 1, 1), key) is None
    assert len(problems) == 1
    assert spelled(kind, None) is None


hosts = st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){0,2}", fullmatch=True) | st.ip_addresses(v=6).map(str)
addresses = st.tuples(hosts, st.integers(1, 65535))
printable = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
VALUES = {
    "size": st.integers(0, 1 << 50).filter(lambda n: len(str(n)) < 16),
    "time": st.integers(0, 10**11).map(lambda n: n / 1000),
    "count": st.integers(0, 10**15),
    "flag": st.booleans(),
    "text": printable,
    "texts": st.lists(printable, max_size=3).map(tuple),
    "path": printable.map(lambda text: f"/{text}"),
    "address": addresses,
    "addresses": st.lists(addresses, min_size=1, max_size=3).map(tuple),
    "word": st.sampled_from(WORDS),
}


@given(pair=st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind])))
def test_a_value_is_written_as_it_would_be_read(pair: tuple[str, Any]) -> None:
    kind, value = pair
    assert read(scalar(spelled(kind, value)), Key(kind, "", (), choices=WORDS)) == (value, [])
