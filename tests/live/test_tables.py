# SPDX-License-Identifier: Apache-2.0
"""A table in the kernel is read whole, and reading ends however it changes meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from panorama.sensor.libbpf import Map, Shape, library

pytestmark = pytest.mark.live

_HASH = 1
_ENTRIES = 5000


@pytest.fixture
def table() -> Iterator[Map]:
    number = Shape((("", 0, "I"),), 4)
    made = Map(library(), "table", _HASH, number, number, _ENTRIES, 0)
    yield made
    os.close(made.fd)


@pytest.mark.parametrize("entries", [0, 1, _ENTRIES])
def test_every_entry_is_read_once(table: Map, entries: int) -> None:
    for n in range(entries):
        table.set((n,), (n * 2,))
    assert sorted(table.items()) == [((n,), (n * 2,)) for n in range(entries)]


def test_reading_ends_if_each_entry_goes_and_comes_again_behind_it(table: Map) -> None:
    """The kernel begins anew each time, for the entry it was at is gone."""
    for n in range(100):
        table.set((n,), (n,))
    read = 0
    for key in table.each_key():
        table.delete(table.key.struct.unpack(key))
        table.set((1000 + read,), (0,))
        read += 1
    assert 0 < read <= _ENTRIES
