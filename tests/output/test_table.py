# SPDX-License-Identifier: Apache-2.0
"""The table of fields as a whole: no name stands for two things, no row is dead, and all formats say the same."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from output_samples import ALICE, UTC_CONTEXT, connect_line, event, read_line, rename_line, tree_removed
from readers import cef_parsed

from panorama.event import Address, File, Process
from panorama.output.context import Context
from panorama.output.formats import FORMATS
from panorama.output.journal import journal_fields
from panorama.output.line import SEVERITIES, Line, Part
from panorama.output.notice import notice
from panorama.output.severities import SCALES
from panorama.output.table import SECTIONS

ROWS = [field for section in SECTIONS for field in section.fields]
COLUMNS = ("json", "ecs", "cef", "ocsf")

BASH = {"parent_exe": "/usr/bin/bash", "parent_argv": ("bash", "-i"), "container": "c1"}
EVERYTHING = replace(ALICE, **BASH)

# between them they have something to say in every row
SAMPLES = [
    read_line(process=EVERYTHING, repeated=3, previous=4, chain="c0de", attack=("T1560.001",), layer="activity"),
    read_line(events=[event(file=File(".../f", 5, 1, "file", "cut"), created=True, truncated=True, inherited=True, final=False)]),
    rename_line("/d/a", "/e/b"),
    read_line(events=[event(triggers=("symlink",), target="t")]),
    read_line(events=[event(triggers=("chown",), owner=0, group=0, mode=0o644, size=3)]),
    read_line(events=[event(triggers=("exit",), file=None, status=256)]),
    read_line(events=[event(triggers=("fork",), file=None, child=7)]),
    read_line(object=(Part("plain", File("/g", 1)),)),
    connect_line(read=5, written=6),
    connect_line("accept", family="inet6"),
    connect_line(family="unix"),
    connect_line("accept", family="unix"),
    tree_removed(["a", "b", "c", "d"]),
    notice(1, "lost", "5 events"),
]  # fmt: skip


def flat(node: Any, path: str = "") -> dict[str, Any]:
    """Dotted keys of a JSON object; of a list of objects, those of its elements."""
    if isinstance(node, dict):
        result: dict[str, Any] = {}
        for key, value in node.items():
            result |= flat(value, f"{path}.{key}" if path else key)
        return result or {path: node}
    return {path: node}


def said(column: str, line: Line, context: Context = UTC_CONTEXT) -> dict[str, Any]:
    """Keys and values; what OCSF has elsewhere in some classes is where the table has it."""
    [text] = FORMATS[column](line, context)
    if column == "cef":
        return cef_parsed(text)[1]
    data = json.loads(text)
    if column == "ocsf":
        data |= data.get("evidences", [{}])[0]
        if "process" in data:
            data["actor"]["process"] = data["process"]
        if attacks := data.get("finding_info", {}).get("attacks"):
            data["unmapped"]["attack"] = [attack["technique"]["uid"] for attack in attacks]
    return flat(data)


@pytest.mark.parametrize("column", COLUMNS)
def test_no_key_is_given_twice(column: str) -> None:
    keys = [key for row in ROWS for key in row.column(column)]
    assert sorted(keys) == sorted(set(keys))
    parents = {key.rpartition(".")[0] for key in keys if "." in key}
    assert not parents & set(keys)  # a key is a value or has keys under it, not both


def test_every_row_is_named_once_in_its_section_and_explained() -> None:
    for section in SECTIONS:
        names = [row.name for row in section.fields]
        assert sorted(names) == sorted(set(names))
    for row in ROWS:
        assert row.about
        assert row.when
        assert any(row.column(column) for column in COLUMNS), row.name


@pytest.mark.parametrize("column", COLUMNS)
def test_every_row_can_be_seen(column: str) -> None:
    seen = {key for line in SAMPLES for key in said(column, line)}
    seen |= {key for key in said(column, SAMPLES[0], replace(UTC_CONTEXT, limit=600)) if key.lower().endswith("cut")}
    prefixes = {key[:end] for key in seen for end in range(len(key) + 1)}
    assert [key for row in ROWS for key in row.column(column) if key not in prefixes] == []


@pytest.mark.parametrize("column", ["json", "ecs", "ocsf"])
def test_numbers_are_numbers_and_the_rest_is_not(column: str) -> None:
    rows = {key: row for row in ROWS for key in row.column(column)}
    text = {"text"} | ({"id", "uid"} if column == "ecs" else {"id"} if column == "ocsf" else set())
    for line in SAMPLES:
        for key, value in said(column, line).items():
            if key in rows and rows[key].kind == "number":
                assert type(value) is int, key
            if key in rows and rows[key].kind in text:
                assert type(value) is str, key


@pytest.mark.parametrize("line", SAMPLES)
def test_all_formats_say_the_same(line: Line) -> None:
    """Where json has a value and the row has other columns, they have it too, as text or number."""
    told = {column: said(column, line) for column in COLUMNS}
    for row in ROWS:
        if row.kind in ("text", "number", "id", "uid") and row.json in told["json"]:
            found = {key: str(told[column].get(key)) for column in COLUMNS for key in row.column(column)}
            assert found == dict.fromkeys(found, str(told["json"][row.json]))


@pytest.mark.parametrize("line", SAMPLES)
def test_the_journal_has_what_json_has(line: Line) -> None:
    fields = journal_fields(line, UTC_CONTEXT)
    told = {key: value for key, value in said("json", line).items() if key not in ("fields", "events")}
    assert fields.keys() == {f"PANORAMA_{key.upper().replace('.', '_')}" for key in told}
    for name, value in fields.items():
        assert re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", name)  # systemd.journal-fields(7)
        assert isinstance(value, str)
    assert fields["PANORAMA_VERB"] == line.verb
    assert fields["PANORAMA_SEQUENCE"] == str(line.sequence)


def test_the_journal_has_lists_as_one_text_and_bytes_where_it_must() -> None:
    raw = b"\xff".decode("utf-8", "surrogateescape")
    fields = journal_fields(read_line(raw, attack=("T1", "T2")), UTC_CONTEXT)
    assert fields["PANORAMA_PROCESS_ARGV"] == "scp f2.txt h:"
    assert fields["PANORAMA_ATTACK"] == "T1 T2"
    assert fields["PANORAMA_STATES"] == "new opened read"
    assert fields["PANORAMA_FILE_PATH"] == b"/home/alice/\xff"
    assert fields["PANORAMA_DURATION_S"] == "0.002000000"


def test_a_process_has_one_id_in_all_its_lines_and_another_in_the_next_boot() -> None:
    child = replace(ALICE, pid=4000, start=5, ppid=ALICE.pid, parent_start=ALICE.start)
    first, second = said("ecs", read_line()), said("ecs", read_line(process=child))
    assert second["process.parent.entity_id"] == first["process.entity_id"] != second["process.entity_id"]
    assert (
        said("ecs", read_line(), replace(UTC_CONTEXT, boot_id="b2"))["process.entity_id"] != first["process.entity_id"]
    )
    assert said("ocsf", read_line())["actor.process.uid"] == first["process.entity_id"]
    assert "process.entity_id" not in said("ecs", read_line(), replace(UTC_CONTEXT, boot_id=""))


def test_severities_only_rise_on_every_scale() -> None:
    for scale in ("ecs", "cef", "ocsf"):
        values = [getattr(SCALES[name], scale) for name in reversed(SEVERITIES)]
        assert values == sorted(values)
    assert [SCALES[name].syslog for name in SEVERITIES] == list(range(8))
    assert all(0 <= SCALES[name].cef <= 10 and 1 <= SCALES[name].ocsf <= 6 for name in SEVERITIES)


def test_an_address_without_a_host_and_a_process_without_a_name_leave_their_keys_out() -> None:
    line = read_line(
        process=Process(1, 1), object=(Part("x", ""),), events=[event(file=None, remote=Address("unix", ""))]
    )
    data = said("json", line)
    assert {"remote.host", "process.user", "process.command", "process.exe", "file.path"} & data.keys() == set()
    assert data["remote.family"] == "unix"
    assert data["fields"] == [{"field": "x"}]
