# SPDX-License-Identifier: Apache-2.0
"""The compiled program: made once, kept, and made again where what is kept cannot be trusted or read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from panorama.errors import CannotSense
from panorama.sensor import bytecode
from panorama.sensor.bytecode import Bytecode, Code, compiled

SOURCE = """
struct place { u64 at; u32 room[3]; char name[4]; };
BPF_HASH(places, u32, struct place, 16);
BPF_RINGBUF_OUTPUT(events, 8);
int look(void *ctx)
{
	u32 key = 7;
	struct place *found = places.lookup(&key);
	return found ? events.ringbuf_output(found, sizeof(*found), 0) : 0;
}
"""


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A note of each run of the real compiler."""
    ran: list[str] = []
    real = bytecode._compile

    def noting(source: str, flags: list[str]) -> str:
        ran.append(source)
        return real(source, flags)

    monkeypatch.setattr(bytecode, "_compile", noting)
    return ran


def test_maps_and_instructions(tmp_path: Path) -> None:
    made = compiled(SOURCE, [], tmp_path / "cache")
    places, events = made.maps["places"], made.maps["events"]
    assert (places.key_size, places.value_size, places.entries) == (4, 24, 16)
    assert places.key == (("", 0, "I"),)
    assert places.value == (("at", 0, "Q"), ("room", 8, "3I"), ("name", 20, "4s"))
    assert (events.key_size, events.value_size, events.entries) == (0, 0, 8 * os.sysconf("SC_PAGE_SIZE"))
    code = made.programs["look"]
    assert [number for _, number in code.maps] == [places.number, events.number]
    linked = code.linked({places.number: 1234, events.number: 5678})
    changed = {at for at in range(len(linked)) if linked[at] != code.instructions[at]}
    assert changed <= {place + 4 + byte for place, _ in code.maps for byte in range(4)}
    assert Code(linked, ()).linked({}) == linked


def test_kept_for_the_next_start(tmp_path: Path, compilations: list[str]) -> None:
    cache = tmp_path / "cache"
    first = compiled(SOURCE, [], cache)
    assert compiled(SOURCE, [], cache) == first
    assert len(compilations) == 1
    compiled(SOURCE, ["-DOTHER=1"], cache)
    assert len(compilations) == 2
    assert {path.stat().st_mode & 0o777 for path in cache.iterdir()} == {0o600}
    assert cache.stat().st_mode & 0o777 == 0o700


def _damage(path: Path) -> None:
    path.write_text(path.read_text()[:-100])


def _empty(path: Path) -> None:
    path.write_text('{"programs": {}}')


@pytest.mark.parametrize(
    "spoil",
    [
        _damage,
        _empty,
        lambda path: path.chmod(0o660),
        lambda path: os.chown(path, 1, 1),
        lambda path: path.parent.chmod(0o777),
    ],
    ids=["damaged", "empty", "writable by others", "another's", "in a folder that others can write"],
)
def test_made_again(tmp_path: Path, compilations: list[str], spoil: Callable[[Path], None]) -> None:
    cache = tmp_path / "cache"
    good = compiled(SOURCE, [], cache)
    [path] = cache.iterdir()
    spoil(path)
    assert compiled(SOURCE, [], cache) == good
    assert len(compilations) == 2


def test_nowhere_to_keep_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert isinstance(compiled(SOURCE, [], tmp_path / "file" / "cache"), Bytecode)


def test_only_the_latest_are_kept(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    for number in range(6):
        (cache / f"{number}.json").touch()
        os.utime(cache / f"{number}.json", (number, number))
    compiled(SOURCE, [], cache)
    names = {path.name for path in cache.iterdir()}
    assert {"3.json", "4.json", "5.json"} < names
    assert len(names) == 4


def test_what_the_compiler_says(tmp_path: Path) -> None:
    with pytest.raises(CannotSense) as raised:
        compiled("int broken(void *ctx) { return nothing; }", [], tmp_path / "cache")
    assert re.search(
        r"does not compile here \(.*undeclared identifier 'nothing'\); see: panorama doctor", str(raised.value)
    )
    assert not (tmp_path / "cache").exists()
