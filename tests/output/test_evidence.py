# SPDX-License-Identifier: Apache-2.0
"""What an activity carries beside its own line: its operations, what it gathered, and the login that it was done in."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import pytest
from output_samples import HOSTILE_NAMES, UTC_CONTEXT, connect_line, event, read_line, removed, tree_removed
from readers import cef_parsed, fields_of_text, hex_or_text

from panorama.event import Address, File, Login
from panorama.output.formats import FORMATS
from panorama.output.journal import journal_fields
from panorama.output.line import Gathered, Line, Part
from panorama.output.objects import gathered_text

DEBUG = replace(UTC_CONTEXT, debug=True)
STAMP = "2026-04-02T16:52:27.276747Z"
NAMES = [f"f{number}" for number in range(300)]
FORMS = ("json", "ecs", "ocsf", "cef")


def told(format_name: str, line: Line, limit: int = 0) -> dict[str, Any]:
    [text] = FORMATS[format_name](line, replace(UTC_CONTEXT, limit=limit))
    if limit:
        assert len(text.encode()) <= limit
    return dict(cef_parsed(text)[1] if format_name == "cef" else json.loads(text))


def operations(format_name: str, line: Line, limit: int = 0) -> list[Any]:
    """Where each format has them."""
    data = told(format_name, line, limit)
    if format_name == "cef":
        return fields_of_text(data["PanoramaOperations"]) if "PanoramaOperations" in data else []
    if format_name == "ocsf":
        [evidence] = data.get("evidences", [{}])
        return list(evidence.get("data", {}).get("operations", []))
    return list((data["panorama"] if format_name == "ecs" else data).get("operations", []))


def test_an_operation_in_json_has_what_its_own_line_would_have_said_of_it() -> None:
    read = read_line(events=[event(), event(sequence=42)], certainty="partial")
    assert operations("json", tree_removed(["a"], operations=[removed("a", 12), read])) == [
        {
            "time": STAMP,
            "pid": 3760,
            "start_ns": 86400_000000001,
            "command": "scp",
            "verb": "remove",
            "object": "a:12",
            "fields": [
                {
                    "field": "file",
                    "file": {"path": "/home/alice/a", "name": "a", "inode": 12, "device": 2049, "kind": "file"},
                }
            ],
            "events": [{"cpu": 1, "sequence": 112}],
        },
        {
            "time": STAMP,
            "pid": 3760,
            "start_ns": 86400_000000001,
            "command": "scp",
            "verb": "read",
            "object": "f2.txt:3015807",
            "fields": [
                {
                    "field": "file",
                    "file": {
                        "path": "/home/alice/f2.txt",
                        "name": "f2.txt",
                        "inode": 3015807,
                        "device": 2049,
                        "kind": "file",
                    },
                }
            ],
            "bytes_read": 8192,
            "certainty": "partial",
            "events": [{"cpu": 1, "sequence": 41}, {"cpu": 1, "sequence": 42}],
        },
    ]


@pytest.mark.parametrize("format_name", ["ecs", "ocsf", "cef"])
def test_an_operation_is_one_text_where_values_are_text(format_name: str) -> None:
    line = tree_removed(["a"], operations=[removed("a", 12), read_line(certainty="partial")])
    assert operations(format_name, line) == [
        f"{STAMP} 3760 scp remove a:12 1:112",
        f"{STAMP} 3760 scp read f2.txt:3015807 ? 1:41",
    ]


def test_the_journal_has_a_line_for_each_operation() -> None:
    fields = journal_fields(tree_removed(["a", "b c"]), UTC_CONTEXT)
    assert fields["PANORAMA_OPERATIONS"] == f'{STAMP} 3760 scp remove a:1 1:101\n{STAMP} 3760 scp remove "b c":2 1:102'
    assert fields["PANORAMA_OPERATION_COUNT"] == "2"
    assert not [name for name in journal_fields(read_line(), UTC_CONTEXT) if "OPERATION" in name]


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "".join(HOSTILE_NAMES)])
def test_a_name_in_the_evidence_stays_one_field_of_one_text(name: str) -> None:
    line = tree_removed([name, "plain"])
    raw = os.fsencode(name)
    for format_name in ("ecs", "ocsf", "cef"):
        hostile, plain = operations(format_name, line)
        *head, shown, ids = fields_of_text(hostile)
        assert (head, ids) == ([STAMP, "3760", "scp", "remove"], "1:101")
        assert os.fsencode(shown) == raw + b":1"
        assert plain == f"{STAMP} 3760 scp remove plain:2 1:102"
    [hostile, _] = operations("json", line)
    file = hostile["fields"][0]["file"]
    assert hex_or_text(file, "name") == raw
    first, below, _ = FORMATS["text"](line, DEBUG)
    assert first.isprintable()
    assert below.isprintable()
    *head, shown, fd, ids = fields_of_text(below.strip(" "))
    assert head == ["2026-04-02", "16:52:27.276747", "3760", "scp", "remove"]
    assert (os.fsencode(shown), fd, ids) == (raw + b":1", "fd=-", "1:101")


def test_the_latest_operations_stand_below_the_line_where_states_are_shown() -> None:
    line = tree_removed(NAMES)
    first, more, *below = FORMATS["text"](line, DEBUG)
    assert FORMATS["text"](line, UTC_CONTEXT) == [first.partition(" fd=")[0]]
    assert more == "  ... and 280 more before these"
    assert len(below) == 20
    assert below[-1] == "  2026-04-02 16:52:27.276747 3760 scp remove f299:300 fd=- 1:400"
    _, *all_of_them = FORMATS["text"](tree_removed(NAMES[:20]), DEBUG)
    assert [each.split()[5] for each in all_of_them] == [f"f{number}:{number + 1}" for number in range(20)]
    for text in FORMATS["text"](tree_removed(["x" * 900]), replace(DEBUG, limit=200)):
        assert len(text.encode()) <= 200


@pytest.mark.parametrize("format_name", FORMS)
def test_a_record_keeps_as_many_operations_as_the_sink_has_room_for(format_name: str) -> None:
    """All that the line has, or the last sixteen, or none; how many there were it says in any case."""
    line = tree_removed(NAMES)
    whole = operations(format_name, line)
    assert len(whole) == 256
    assert operations(format_name, line, limit=8192) == whole[-16:]
    assert operations(format_name, line, limit=1500) == []
    for limit in (0, 8192):
        data = told(format_name, line, limit)
        ours = {"ecs": "panorama", "ocsf": "unmapped"}.get(format_name)
        count = (data[ours] if ours else data)["PanoramaOperationCount" if format_name == "cef" else "operation_count"]
        assert int(count) == 300


GATHERED = [File(f"/d/{name}", 5) for name in ("a", "b c", "d:7", "e", "f")]


@pytest.mark.parametrize(
    ("gathered", "shown"),
    [
        (Gathered((GATHERED[0],), 1), "a:5"),
        (Gathered((File("/d/and", 5),), 1), "and:5"),
        (Gathered((Address("inet", "10.0.0.1", 22),), 1), "10.0.0.1:22"),
        (Gathered(tuple(GATHERED[:2]), 2), 'a "b c"'),
        (Gathered(tuple(GATHERED[:3]), 3), 'a "b c" "d:7"'),
        (Gathered(tuple(GATHERED), 5), 'a "b c" "d:7" and 2 more'),
        (Gathered(tuple(GATHERED), 50), 'a "b c" "d:7" and 47 more'),
        (Gathered((File("/and"), File("/5"), File("/more")), 3), '"and" 5 more'),
        (Gathered(("and", 5, "more"), 3), '"and" 5 more'),
        (Gathered((File("/d/x", 5, mark="unreachable"), "-"), 2), 'x(unreachable) "-"'),
        (Gathered((), 0), "-"),
    ],
)
def test_what_was_gathered_is_the_first_three_and_how_many_more(gathered: Gathered, shown: str) -> None:
    """A name can neither pass for the number nor for two names."""
    assert gathered_text(gathered) == shown
    [line] = FORMATS["text"](read_line(object=(Part("members", gathered),)), UTC_CONTEXT)
    assert line.endswith(f" read {shown}")


def test_records_have_what_was_gathered_value_by_value() -> None:
    raw = os.fsdecode(b"/d/\xff")
    gathered = Gathered((File("/d/a b", 5), File(raw), Address("inet6", "::1", 22), 7), 90)
    line = read_line(object=(Part("members", gathered),))
    assert told("json", line)["fields"] == [
        {
            "field": "members",
            "values": [
                {"file": {"path": "/d/a b", "name": "a b", "inode": 5}},
                {"file": {"path": "/d/\ufffd", "path_bytes": "2f642fff", "name": "\ufffd", "name_bytes": "ff"}},
                {"address": {"family": "inet6", "host": "::1", "port": 22}},
                {"value": 7},
            ],
            "count": 90,
        }
    ]
    for format_name, ours in (("ecs", "panorama"), ("ocsf", "unmapped")):
        named = told(format_name, line)[ours]["named"]
        assert named["members"] == ["/d/a b", "/d/\ufffd", "[::1]:22", "7"]
        assert [bytes.fromhex(each) for each in named["members_bytes"]] == [b"/d/a b", b"/d/\xff", b"[::1]:22", b"7"]
    [key, *values] = fields_of_text(told("cef", line)["PanoramaNamed"].replace('members="', 'members "'))
    assert (key, values) == ("members", ['"/d/a b" "/d/\\xff" [::1]:22 7'])


def at(data: Any, path: str) -> Any:
    for key in path.split("."):
        data = data.get(key) if isinstance(data, dict) else None
    return data


@pytest.mark.parametrize("limit", [0, 1200])
@pytest.mark.parametrize(
    ("format_name", "keys"),
    [
        ("json", ("session.remote.host", "session.remote.port", "session.user")),
        (
            "ecs",
            ("process.entry_leader.entry_meta.source.ip", "panorama.session_port", "process.entry_leader.user.name"),
        ),
        ("ocsf", ("unmapped.session_address", "unmapped.session_port", "unmapped.session_user")),
        ("cef", ("PanoramaSessionAddress", "PanoramaSessionPort", "PanoramaSessionUser")),
    ],
)
def test_every_record_has_the_login_it_was_done_in(format_name: str, keys: tuple[str, ...], limit: int) -> None:
    """Also one that had to be cut, and one of a connection, whose own ends stay what they are."""
    login = Login(Address("inet6", "fe80::5", 43716), "bob")
    for line in (read_line("x" * 900), connect_line(), tree_removed(NAMES)):
        line = replace(line, login=login)
        data = told(format_name, line, limit)
        assert [str(at(data, key)) for key in keys] == ["fe80::5", "43716", "bob"]
        without = told(format_name, replace(line, login=None), limit)
        assert [at(without, key) for key in keys] == [None] * 3
    ends = told(format_name, replace(connect_line("accept"), login=login))
    host = {"json": "remote.host", "ecs": "source.ip", "ocsf": "src_endpoint.ip", "cef": "src"}[format_name]
    assert at(ends, host) == "172.17.0.2"


def test_ocsf_says_that_the_session_is_remote() -> None:
    line = replace(read_line(), login=Login(Address("inet", "10.0.0.1", 5), ""))
    assert told("ocsf", line)["actor"]["session"] == {"is_remote": True}
    assert "session_user" not in told("ocsf", line)["unmapped"]
    assert "session" not in told("ocsf", read_line())["actor"]
