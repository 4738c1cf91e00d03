# SPDX-License-Identifier: Apache-2.0
"""Conditions one by one, and globs against a matcher that tries everything."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from event_samples import SHELL, address, connection, point
from hypothesis import example, given
from hypothesis import strategies as st

from panorama.errors import Problem
from panorama.event import Address, Event
from panorama.machines.clauses import condition
from panorama.machines.globs import path_glob, text_glob
from panorama.machines.oracle import _components, matches_glob
from panorama.machines.predicates import predicate
from panorama.reading.fields import Reading
from panorama.reading.nodes import parse


def holds(text: str, event: Event, **saved: Any) -> bool:
    """Whether the condition, as YAML, holds for the event; saved values are of a path field."""
    problems: list[Problem] = []
    node = parse(text.encode(), "", problems)
    assert node is not None
    [(name, value)] = node.value.items()
    read = condition(Reading("", problems, dict.fromkeys(saved, "path")), node.keys[name], value)
    assert problems == []
    assert read is not None
    return predicate(read)(event, saved)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file: /etc/ssh/sshd_config", True),
        ("file: /etc/ssh", False),
        ("file: /etc/", True),
        ("file: /etc/ssh/", True),
        ("file: /et*/x", False),
        ("file: /etc/*", False),
        ("file: /etc/*/sshd_config", True),
        ("file: /etc/**", True),
        ("file: '**/sshd_config'", True),
        ("file: /**/ssh/*", True),
        ("file: /etc/ssh/sshd_config/**", False),
        ("file: [/nowhere, /etc/]", True),
        ("file: [/nowhere, /etc/ssh/sshd_config]", True),
        ("name: sshd_*", True),
        ("name: [a, b]", False),
        ("name: '[!s]*'", False),
        ("name: '[!r]*'", True),
        ("command: bash", True),
        ("uid: 1000", True),
        ("uid: [1, 1000]", True),
        ("uid: '>=1000'", True),
        ("uid: '!=1000'", False),
        ("uid: ['<5', '>999']", True),
        ("mode: 0o600", True),
        ("mode: 384", True),
        ("size: '!=0'", False),  # a chmod has no size: nothing about it holds
        ("to: /**", False),
        ("created: false", True),
        ("created: true", False),
    ],
)
def test_condition(text: str, expected: bool) -> None:
    """On `chmod 600 /etc/ssh/sshd_config` by uid 1000."""
    assert holds(text, point(SHELL, "chmod", "/etc/ssh/sshd_config", mode=0o600)) is expected


@pytest.mark.parametrize(
    ("remote", "texts"),
    [
        ("10.1.2.3:22", ["10.1.2.3", "10.1.2.3:22", "10.0.0.0/8", "0.0.0.0/0", "[8.0.0.0/8, 10.1.2.3]"]),
        ("[::1]:80", ["::1", "'[::1]:80'", "'[::1]'", "::/0", "0:0:0:0:0:0:0:1"]),
        ("[::ffff:10.1.2.3]:22", ["10.1.2.3", "10.0.0.0/8", "10.1.2.3:22", "::ffff:10.1.2.3"]),
    ],
)
def test_address_conditions_that_hold(remote: str, texts: list[str]) -> None:
    """Hosts, hosts with ports, networks; IPv4 inside IPv6 is IPv4."""
    for text in texts:
        assert holds(f"remote: {text}", connection(SHELL, "connect", remote)), text


def test_address_conditions_that_do_not_hold() -> None:
    """Another port, another host, another family."""
    event = connection(SHELL, "connect", "10.1.2.3:22")
    for text in ("10.1.2.3:23", "10.1.2.4", "11.0.0.0/8", "::/0", "/run/x", "'@x'"):
        assert not holds(f"remote: {text}", event), text
    event.remote = Address("unix", "10.1.2.3")
    assert not holds("remote: 10.1.2.3", event)
    event.remote = Address("unix", "/run/x")
    assert holds("remote: /run/x", event)
    assert not holds("remote: 10.0.0.0/8", event)


def test_saved_values_are_compared_as_their_kind_is() -> None:
    """Files by path, whatever else is known of them; what is not saved yet equals nothing."""
    event = point(SHELL, "unlink", "/x")
    assert event.file is not None
    assert holds("file: kept", event, kept=replace(event.file, inode=99))
    assert holds("file: kept", event, kept="/x")
    assert not holds("file: kept", event, kept="/y")
    assert not holds("file: kept", event, kept=None)
    event.remote = address("10.0.0.1:22")
    reading = Reading("", [], {"peer": "address"})
    node = parse(b"remote: peer", "", [])
    assert node is not None
    read = condition(reading, node.keys["remote"], node.value["remote"])
    assert read is not None
    assert predicate(read)(event, {"peer": address("10.0.0.1:22")})
    assert not predicate(read)(event, {"peer": address("10.0.0.1:23")})


PIECES = ["a", "b", "/", "*", "?", "[ab]", "[!a]", "[a-c]", "[", "]", ".", "-", "[]a]", "\n", "^"]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.text("ab/c.]\n-^", max_size=8))
@example("a[", "a[")
@example("*", "")
@example("[!/]", "/")
def test_text_globs_are_what_trying_everything_finds(glob: str, text: str) -> None:
    """Though they never go back."""
    assert (text_glob(glob).fullmatch(text) is not None) == matches_glob(glob, text)


@given(
    st.lists(st.sampled_from(["a", "*", "**", "a*", "*b", "?", "[ab]c", "a*b*", ".", "[!a]"]), min_size=1, max_size=5),
    st.lists(st.text("abc.\n", max_size=3), min_size=1, max_size=6),
)
@example(["**"], [""])
@example(["a", "**"], ["a"])
@example(["**", "**"], ["a"])
def test_path_globs_are_what_trying_everything_finds(glob: list[str], path: list[str]) -> None:
    """Component by component, ** for any number of them."""
    if "" in path[:-1]:
        return  # the kernel makes no such paths
    found = path_glob("/" + "/".join(glob)).fullmatch("/" + "/".join(path)) is not None
    assert found == _components(("", *glob), ("", *path))


def test_globs_do_not_blow_up() -> None:
    """Two million steps, not two to the power of forty."""
    assert text_glob("*a" * 40 + "*b").fullmatch("a" * 4000) is None
    assert path_glob("/**/a" * 20 + "/**/b").fullmatch("/a" * 2000) is None
    assert path_glob("/" + "*a" * 30 + "*b").fullmatch("/" + "a" * 255) is None
    assert isinstance(text_glob("x"), re.Pattern)
