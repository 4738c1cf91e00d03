# SPDX-License-Identifier: Apache-2.0
"""A sink type that is in no release, so that what is said of types in general does not hang on one of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panorama.config.settings import SINK
from panorama.reading.keys import Key
from panorama.sinks import SINKS, File, SinkType

PIGEON = SinkType(
    keys={
        "loft": Key("address", "where it flies to", needed=True),
        "ring": Key("word", "what is on its leg", "none", choices=("none", "name")),
        "name": Key("text", "the name on the ring", only=("ring", "name")),
        "secret": Key("secret", "the file with the code"),
        "map": Key("file", "the file with the way"),
        "fast": Key("flag", "whether it hurries", False),
        "pay": Key("text", "what it gets for that", only=("fast", "true")),
        "tip": Key("text", "what it gets besides", only=("pay",)),
        "rest": Key("time", "how long it rests", 5.0, least=1.0, most=60.0),
        "flock": Key("addresses", "the others", ()),
        "home": Key("url", "where it is from"),
    },
    open=lambda setup: File(setup.formatter(), "/dev/null"),
    remote=True,
    formats=("json", "text"),
    structured=True,
)


@pytest.fixture
def pigeon(monkeypatch: pytest.MonkeyPatch) -> SinkType:
    monkeypatch.setitem(SINKS, "pigeon", PIGEON)
    monkeypatch.setitem(SINK, "type", replace(SINK["type"], choices=tuple(SINKS)))
    return PIGEON
