# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from output_samples import HOSTILE_NAMES

from panorama.output.quoting import bare, quote, shorten, split_fields, unquote

NAMES = st.one_of(
    st.text(),
    st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    st.text(st.sampled_from(' "\\\n\x1b-?:5a\u202e\udcff\u3164nxuU0')),
    st.sampled_from(HOSTILE_NAMES),
)


@given(NAMES)
def test_unquote_gives_back_what_was_quoted(name: str) -> None:
    assert unquote(quote(name)) == name
    assert unquote(quote(name, always=True)) == name
    assert unquote(bare(name, space="\\x20")) == name


@given(st.lists(NAMES, min_size=1))
def test_fields_split_where_they_were_joined(names: list[str]) -> None:
    assert [unquote(field) for field in split_fields(" ".join(map(quote, names)))] == names


@given(NAMES)
def test_nothing_that_moves_a_terminal_or_hides_gets_out(name: str) -> None:
    for text in (quote(name), bare(name)):
        assert text.encode("utf-8").decode("utf-8") == text
        assert all(unicodedata.category(character)[0] not in "CZ" or character == " " for character in text)


@given(NAMES, st.integers(min_value=20, max_value=60))
def test_shortened_text_fits_and_still_is_whole_fields(name: str, limit: int) -> None:
    text = shorten(quote(name), limit)
    assert len(text.encode()) <= limit
    assert " " not in text or len(split_fields(text)) == 1
    if text != quote(name):
        assert text.endswith("...[cut]")
        assert name.startswith(unquote(text.removesuffix("...[cut]")))


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("f2.txt", "f2.txt"),
        ("日本", "日本"),
        ("", '""'),
        ("-", '"-"'),
        ("a b", '"a b"'),
        ('a"b\\', '"a\\"b\\\\"'),
        ("\n\t\x1b", '"\\n\\t\\x1b"'),
        ("filler\u3164", '"filler\\u3164"'),
        ("\x85\u202e\U000e0001", '"\\u0085\\u202e\\U000e0001"'),
        (b"\xff".decode("utf-8", "surrogateescape"), '"\\xff"'),
    ],
)
def test_fields_look_like_this(name: str, field: str) -> None:
    assert quote(name) == field


@pytest.mark.parametrize("field", ["\\q", "\\x4", "tail\\", "\\U00110000", "\\Uffffffff"])
def test_an_escape_nobody_writes_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match="unknown escape"):
        unquote(field)
