# SPDX-License-Identifier: Apache-2.0
"""Whatever is in panorama.yaml, it is a Config or an InputError with places in it, never another exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panorama.config.behaviors import loaded
from panorama.config.load import load_config
from panorama.config.settings import FILTER, SETTINGS, SINK
from panorama.config.show import shown_yaml
from panorama.errors import InputError
from panorama.sinks import SINKS

WORDS = sorted(
    {part for name in [*SETTINGS, "sinks"] for part in name.split(".")}
    | {*SINK, "filter", *FILTER, *SINKS, *(key for kind in SINKS.values() for key in kind.keys)}
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**20),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["30s", "16MiB", "/dev/null", "/tmp", "localhost:1", "https://x.example", "text", "json", "exec"]),
    st.sampled_from(["full", "drop", "operation", "notice", "*", "[", "1e9GiB", "99999999999999999999s", "::1:5"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner),
    max_leaves=12,
)
sections = sorted({name.partition(".")[0] for name in SETTINGS} | {"sinks"})
documents = st.dictionaries(st.sampled_from(sections), values, max_size=4)
sinks = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(SINKS))}, optional={name: values for name in WORDS if name != "type"}
)


def tried(path: Path, text: str) -> bool:
    """Whether it is a configuration; if not, every problem has a place and is one line."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        config = load_config(path)
        shown_yaml(config)
        loaded(config)
    except InputError as error:
        for problem in error.problems:
            assert problem.line >= 1
            assert problem.column >= 1
            assert "\n" not in str(problem)
            assert str(problem).isprintable()
        return False
    return True


SETTING = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SETTING
@given(document=documents)
def test_any_mapping_is_read_or_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    tried(tmp_path / "panorama.yaml", json.dumps(document))


@SETTING
@given(found=st.dictionaries(st.sampled_from(["a", "local", "B", "é"]), sinks, min_size=1, max_size=3))
def test_any_sink_is_read_or_refused(tmp_path: Path, found: dict[str, Any]) -> None:
    tried(tmp_path / "panorama.yaml", json.dumps({"sinks": found}, ensure_ascii=False))


@SETTING
@given(text=st.text(st.sampled_from([*":-#[]{}'\"\n ,&*!|>%@`\\", *"sinkab03", "\t", "\x00", "\ud800", "é"])))
def test_any_text_is_read_or_refused(tmp_path: Path, text: str) -> None:
    tried(tmp_path / "panorama.yaml", text)


@pytest.mark.parametrize("text", ["sinks: {a: {type: console}}", "fold: true", "ring_buffer: 1MiB"])
def test_the_tests_above_can_find_a_configuration(tmp_path: Path, text: str) -> None:
    assert tried(tmp_path / "panorama.yaml", text)
