# SPDX-License-Identifier: Apache-2.0
"""Whatever is in a file, or whatever a file is, the answer is a value or a problem with its place."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from panorama.errors import Problem
from panorama.reading.nodes import MOST_BYTES, parse, read


@contextmanager
def somebody() -> Iterator[None]:
    """Root reads everything, nobody does not."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def problem_of(data: bytes) -> str:
    problems: list[Problem] = []
    assert parse(data, "x.yaml", problems) is None
    return "\n".join(map(str, problems))


def test_words_that_surprise_elsewhere_are_text() -> None:
    """Only true, false, null, whole numbers and decimal fractions are not."""
    text = b"[on, yes, no, 0644, 0x1f, 1_000, 12:30:00, 2001-01-01, .inf, 1e3, True, 'true', '', <<]"
    node = parse(text, "", [])
    assert node is not None
    expected = ["on", "yes", "no", "0644", "0x1f", "1_000", "12:30:00", "2001-01-01", ".inf", "1e3", "True", "true"]
    assert [item.value for item in node.value] == [*expected, "", "<<"]
    node = parse(b"[true, false, null, ~, 5, -5, 0, 1.5]", "", [])
    assert node is not None
    assert [item.value for item in node.value] == [True, False, None, None, 5, -5, 0, 1.5]


def test_every_node_knows_its_place() -> None:
    """Keys too; counted from 1, in characters."""
    node = parse("a: 1\nb:\n- é: {c: x}\n".encode(), "", [])
    assert node is not None
    inner = node.value["b"].value[0]
    assert (inner.keys["é"].line, inner.keys["é"].column) == (3, 3)
    value = inner.value["é"].value["c"]
    assert (value.line, value.column, value.text, value.quoted) == (3, 10, "x", False)


@pytest.mark.parametrize("name", ["folder", "pipe", "device", "missing", "large", "secret"])
def test_what_is_no_readable_file(tmp_path: Path, name: str) -> None:
    """None of them hangs or raises."""
    path = tmp_path / name
    expected = {
        "folder": "is a directory, not a file",
        "pipe": "is a pipe, not a file",
        "device": "is a device, not a file",
        "missing": "cannot be read: No such file or directory",
        "large": f"is larger than {MOST_BYTES} bytes",
        "secret": "cannot be read: Permission denied",
    }[name]
    if name == "folder":
        path.mkdir()
    elif name == "pipe":
        os.mkfifo(path)
    elif name == "device":
        path = Path("/dev/null")
    elif name == "large":
        path.write_bytes(b"#" * (MOST_BYTES + 1))
    elif name == "secret":
        path.touch(0)
        for folder in (tmp_path, *tmp_path.parents[:3]):
            folder.chmod(folder.stat().st_mode | 0o011)
    problems: list[Problem] = []
    with somebody() if name == "secret" else nullcontext():
        assert read(path, problems) is None
    assert list(map(str, problems)) == [f"{path}:1:1: {expected}"]


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    """A kilobyte that would be 10**9 values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert (
        problem_of("\n".join(lines).encode()) == "x.yaml:1:5: anchors and aliases are not allowed; write the value out"
    )


def test_deep_nesting_is_refused_not_recursed_into() -> None:
    """Half a megabyte of brackets."""
    assert "nested deeper" in problem_of(b"[" * 500_000)
    assert "nested deeper" in problem_of(b"\n".join(b" " * n + b"a:" for n in range(1000)))


def test_all_duplicate_keys_are_found() -> None:
    """At any depth; the place is that of the second."""
    assert problem_of(b"a: 1\nb: {c: 1, c: 2}\na: 3\n") == (
        "x.yaml:2:11: duplicate key 'c', first in line 2\nx.yaml:3:1: duplicate key 'a', first in line 1"
    )


def test_long_text_does_not_fill_the_screen() -> None:
    """Nor can it move the cursor."""
    assert len(problem_of(b"k: 1\n" + b"[" + b"x" * 5000 + b"]: 2")) < 200
    node = parse(b'"\\e[2J": 1', "", [])
    assert node is not None
    assert "\x1b" not in next(iter(node.keys.values())).kind


@given(st.binary(max_size=60) | st.text("ab:-[]{},'\"#&*!|>%@` \n\t?\r\x07é", max_size=60).map(str.encode))
@example(b"\xef\xbb\xbfa: 1")
@example(b"\xff\xfea\x00")
@example(b"? a\n: b")
@example(b"%YAML 9.9\n---\na")
@example(b"a: !!binary x")
@example(b"a: |\n  \xc2\x85")
def test_any_bytes_at_all(data: bytes) -> None:
    """A node or at least one problem, on a line that the data has."""
    problems: list[Problem] = []
    node = parse(data, "x", problems)
    assert (node is None) == bool(problems)
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert str(problem).isprintable()


def test_damaged_behaviors_never_raise() -> None:
    """Real files with bytes changed, cut and doubled."""
    sample = (Path(__file__).parent.parent.parent / "behaviors" / "file.yaml").read_bytes()
    chance = random.Random(47)
    for _ in range(300):
        data = bytearray(sample)
        for _ in range(chance.randint(1, 5)):
            data[chance.randrange(len(data))] = chance.choice(b"\x00\t \n:{}[]&*!\xff-a")
        problems: list[Problem] = []
        assert (parse(bytes(data), "x", problems) is None) == bool(problems)
