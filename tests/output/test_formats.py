# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from output_samples import ALICE, TIME, UTC_CONTEXT, connect_line, event, read_line, rename_line
from readers import fields_of_text

from panorama.event import Address, File
from panorama.output.context import Context, live_context, stamp
from panorama.output.formats import FORMATS, formatter
from panorama.output.line import Line, Part
from panorama.output.notice import notice
from panorama.output.text import HEADER, wants_colour


def text(line: Line, context: Context = UTC_CONTEXT) -> str:
    [result] = FORMATS["text"](line, context)
    return result


def loaded(line: Line, context: Context = UTC_CONTEXT) -> dict:  # type: ignore[type-arg]
    [result] = FORMATS["json"](line, context)
    assert result.isascii()
    return json.loads(result)  # type: ignore[no-any-return]


def test_a_line_of_text_is_the_one_of_the_readme() -> None:
    assert text(read_line()) == "2026-04-02 16:52:27.276747 2682 3760 alice scp read f2.txt:3015807"


@pytest.mark.parametrize("name", ["plain", "a:5", "a b:5", "(unreachable)", "x(unreachable)", ":1"])
@pytest.mark.parametrize("inode", [0, 5])
@pytest.mark.parametrize("mark", ["", "unreachable"])
def test_what_follows_a_name_can_be_told_from_it(name: str, inode: int, mark: str) -> None:
    field = text(read_line(object=(Part("file", File(f"/d/{name}", inode, mark=mark)),))).split(" read ")[1]
    match = re.fullmatch(r'(?:"([^"]*)"|(.*?))(?::(\d+))?(\(unreachable\))?', field)
    assert match
    assert (match[1] or match[2], int(match[3] or 0), bool(match[4])) == (name, inode, bool(mark))


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("/d/a", "/d/b", "a:9 -> b"),
        ("/d/a", "/e/b c", 'a:9 -> "/e/b c"'),
        ("/a", "/b", "a:9 -> b"),
        ("/d/a", "/b", "a:9 -> /b"),
        ("/d/a", "/d/b:7", 'a:9 -> "b:7"'),
    ],
)
def test_a_new_name_has_a_directory_only_if_it_changed(old: str, new: str, shown: str) -> None:
    assert text(rename_line(old, new)).split(" rename ")[1] == shown


def test_a_new_path_that_lost_its_beginning_shows_it() -> None:
    parts = (Part("file", File("/d/a", 9)), " -> ", Part("to", File(".../deep/b", mark="cut")))
    assert text(read_line(object=parts, events=[])).endswith("a:9 -> .../deep/b")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Address("inet", "172.17.0.2", 22), "172.17.0.2:22"),
        (Address("inet6", "::1", 22), "[::1]:22"),
        (Address("unix", "/run/a b"), '"/run/a b"'),
        (Address("unix", "@abstract"), "@abstract"),
        (Address("unix", ""), "unnamed"),
        (Address("unix", "unnamed"), '"unnamed"'),
        (Address("unix", "1.2.3.4:22"), '"1.2.3.4:22"'),
        ("/usr/bin/scp", "/usr/bin/scp"),
        (0, "0"),
        (True, "true"),
        (None, "-"),
    ],
)
def test_other_values_in_an_object(value: Address | str | int | None, shown: str) -> None:
    assert text(read_line(object=(Part("x", value),))).split(" read ")[1] == shown


def test_doubt_debug_and_colour_stand_around_the_same_text() -> None:
    plain = text(read_line())
    assert text(read_line(certainty="partial")) == f"{plain} ?"
    debug = replace(UTC_CONTEXT, debug=True)
    assert text(read_line(), debug) == f"{plain} fd=3 read=4096 written=0 states=new>opened>read>"
    nothing = read_line(object=(), events=[], states=(), certainty="partial")
    assert text(nothing, debug).endswith(' scp read ? fd=- read=0 written=0 states=""')
    colour = replace(UTC_CONTEXT, colour=True)
    assert text(read_line(), colour) == plain
    painted = text(read_line(severity="error"), colour)
    assert painted == plain.replace(" read ", " \x1b[1;31mread\x1b[0m ")


def test_a_line_that_stands_for_repeated_ones_says_how_many() -> None:
    plain = text(read_line())
    assert text(read_line(repeated=3)) == f"{plain} ... repeated 3 times"
    assert text(read_line(repeated=3, certainty="partial")) == f"{plain} ... repeated 3 times ?"
    assert text(read_line("x" * 900, repeated=3), replace(UTC_CONTEXT, limit=200)).endswith(
        "...[cut] ... repeated 3 times"
    )
    for old in ("v6", "v7"):
        assert FORMATS[old](read_line(repeated=3), UTC_CONTEXT) == FORMATS[old](read_line(), UTC_CONTEXT)


@pytest.mark.parametrize("limit", [0, 1000])
def test_json_tells_how_a_line_stands_to_the_ones_before_it(limit: int) -> None:
    data = loaded(read_line("x" * 255, repeated=3, previous=4, chain="c0de"), replace(UTC_CONTEXT, limit=limit))
    assert (data["boot_id"], data["sequence"], data["repeated"], data["previous"], data["chain"]) == (
        "b1",
        7,
        3,
        4,
        "c0de",
    )
    assert not {"repeated", "previous", "chain"} & loaded(read_line()).keys()


def test_the_header_has_the_columns_of_a_line() -> None:
    assert HEADER.index("PPID") == text(read_line()).index("2682")
    assert HEADER.split() == ["TIME", "PPID", "PID", "USER", "COMMAND", "VERB", "OBJECT"]


def test_colours_need_a_terminal_and_nobody_against() -> None:
    assert not wants_colour(io.StringIO(), {})
    leader, follower = os.openpty()
    with open(follower, "w") as terminal:
        assert wants_colour(terminal, {"TERM": "xterm"})
        assert not wants_colour(terminal, {"NO_COLOR": "1"})
        assert wants_colour(terminal, {"NO_COLOR": ""})
        assert not wants_colour(terminal, {"TERM": "dumb"})
    os.close(leader)


def test_json_has_everything() -> None:
    more = {"created": True, "mode": 0o644, "owner": 0, "size": 3, "target": "t", "to": File("/b", 2)}
    line = read_line(attack=("T1560.001",), events=[event(**more)])  # type: ignore[arg-type]
    assert loaded(line) == {
        "schema": "panorama/1",
        "time": "2026-04-02T16:52:27.276747Z",
        "start": "2026-04-02T16:52:27.274747Z",
        "duration_s": 0.002,
        "host": "ep1",
        "boot_id": "b1",
        "sequence": 7,
        "behavior": "file",
        "layer": "operation",
        "severity": "info",
        "verb": "read",
        "object": "f2.txt:3015807",
        "process": {
            "pid": 3760,
            "ppid": 2682,
            "start_ns": 86400_000000001,
            "parent_start_ns": 17,
            "user": "alice",
            "uid": 1000,
            "euid": 1000,
            "login_uid": 1000,
            "command": "scp",
            "exe": "/usr/bin/scp",
            "argv": ["scp", "f2.txt", "h:"],
        },
        "file": {
            "path": "/home/alice/f2.txt",
            "name": "f2.txt",
            "inode": 3015807,
            "device": 2049,
            "kind": "file",
        },
        "to": {"path": "/b", "name": "b", "inode": 2},
        "target": "t",
        "created": True,
        "mode": "0644",
        "fd": 3,
        "owner": 0,
        "size": 3,
        "bytes_read": 4096,
        "bytes_written": 0,
        "attack": ["T1560.001"],
        "states": ["new", "opened", "read"],
        "certainty": "certain",
        "event_count": 1,
        "events": [{"cpu": 1, "sequence": 41}],
    }


def test_json_of_an_activity_names_files_of_earlier_events_and_sums_the_bytes_once() -> None:
    read, remove = event("g"), event("g", triggers=("unlink",), bytes_read=0, bytes_written=0)
    packed = File("/home/alice/g.gz", 11)
    parts = (Part("plain", read.file), " -> ", Part("packed", packed))
    data = loaded(read_line(layer="activity", object=parts, events=[read, read, remove]))
    assert data["object"] == "g:3015807 -> g.gz:11"
    assert data["fields"] == [{"field": "packed", "file": {"path": packed.path, "name": "g.gz", "inode": 11}}]
    assert (data["bytes_read"], data["event_count"]) == (4096, 2)


def test_json_of_connections() -> None:
    data = loaded(connect_line())
    assert data["remote"] == {"family": "inet", "host": "172.17.0.2", "port": 22}
    assert data["local"] == {"family": "inet", "host": "172.17.0.1", "port": 43716}
    assert (data["protocol"], data["socket_inode"]) == ("tcp", 77)
    assert loaded(connect_line(family="unix"))["remote"] == {"family": "unix", "host": "/run/a b"}


@pytest.mark.parametrize("limit", [1000, 2000, 4000, 8000])
def test_json_that_must_be_short_is_still_json(limit: int) -> None:
    huge = b"\xff".decode("utf-8", "surrogateescape") * 4000
    line = read_line(huge, process=replace(ALICE, argv=("x" * 9000, huge), exe="/" + huge), events=[event(huge)] * 3)
    data = loaded(line, replace(UTC_CONTEXT, limit=limit))
    assert len(FORMATS["json"](line, replace(UTC_CONTEXT, limit=limit))[0]) <= limit
    assert data["cut"] is True
    assert (data["process"]["pid"], data["verb"]) == (3760, "read")


@pytest.mark.parametrize("name", ["x" * 9000, '"' * 9000, " \n" * 5000, "日" * 3000])
def test_text_that_must_be_short_says_so_and_keeps_what_follows(name: str) -> None:
    result = text(read_line(name, certainty="partial"), replace(UTC_CONTEXT, limit=500))
    assert 480 <= len(result.encode()) <= 500
    assert result.endswith("...[cut] ?")
    *head, shortened, doubt = fields_of_text(result)
    assert head == ["2026-04-02", "16:52:27.276747", "2682", "3760", "alice", "scp", "read"]
    assert doubt == "?"
    assert name.startswith(shortened.removesuffix("...[cut]"))


V6 = "2026-04-02 16:52:27.276747 2682 3760 alice scp "


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        (read_line(), ["read f2.txt:3015807"]),
        (read_line(inode=0), ["read f2.txt:0"]),
        (read_line(verb="mkdir"), ["mkdir f2.txt:3015807"]),
        (read_line(verb="chmod"), ["other f2.txt:3015807"]),
        (read_line(verb="exec", object=(Part("exe", "/bin/ls"),), events=[event(file=None)]), []),
        (read_line(layer="activity"), []),
        (rename_line("/d/a", "/e/b"), ["remove a:9", "create b:9"]),
        (connect_line(), ["connect-by 172.17.0.1:43716", "connect 172.17.0.2:22"]),
        (connect_line("accept"), ["accept-by 172.17.0.2:22", "accept 172.17.0.1:43716"]),
        (connect_line(family="inet6"), ["connect-by [::1]:43716", "connect [fe80::2]:22"]),
        (connect_line(family="unix"), []),
        (notice(TIME, "dropped", "3 lines", process=ALICE), ["other 3\\x20lines:0"]),
    ],
)
def test_v6_lines(line: Line, lines: list[str]) -> None:
    assert FORMATS["v6"](line, UTC_CONTEXT) == [V6 + rest for rest in lines]


V7_BEGAN, V7_TIME = "2026-04-02 16:52:27.274 2682 3760 alice scp", "2026-04-02 16:52:27.276 2682 3760 alice scp"


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        (read_line(), [f"{V7_BEGAN} read regular f2.txt:3015807 4096/0"]),
        (read_line(events=[event(bytes_written=5)]), [f"{V7_BEGAN} rd&wr regular f2.txt:3015807 4096/5"]),
        (read_line(verb="cover"), [f"{V7_BEGAN} covered regular f2.txt:3015807 4096/0"]),
        (read_line(verb="chown"), [f"{V7_BEGAN} unkown regular f2.txt:3015807 4096/0"]),
        (
            read_line(layer="activity", behavior="gzip", verb="compress", events=[event(triggers=("unlink",))]),
            [f"{V7_BEGAN}(gzip) removed regular f2.txt:3015807 4096/0"],
        ),
        (
            rename_line("/d/a", "/e/b"),
            [f"{V7_TIME} renamed regular a:9 0/0", f"{V7_TIME} rename-to regular b:9 0/0"],
        ),
        (connect_line(), [f"{V7_BEGAN} open socket 172.17.0.1:43716->172.17.0.2:22 0/0"]),
        (connect_line(read=1), [f"{V7_BEGAN} receive socket 172.17.0.1:43716->172.17.0.2:22 1/0"]),
        (connect_line(written=2), [f"{V7_BEGAN} transmit socket 172.17.0.1:43716->172.17.0.2:22 0/2"]),
        (connect_line("accept", read=1, written=2), [f"{V7_BEGAN} rx&tx socket 172.17.0.1:43716->172.17.0.2:22 1/2"]),
        (connect_line(family="unix"), []),
        (notice(TIME, "dropped", "3 lines", process=ALICE), [f"{V7_TIME} unkown unkown 3\\x20lines:0 0/0"]),
    ],
)
def test_v7_lines(line: Line, lines: list[str]) -> None:
    assert FORMATS["v7"](line, UTC_CONTEXT) == lines


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("time", [-1, 0, 2**63, 10**40])
def test_a_damaged_time_still_gives_a_line(name: str, time: int) -> None:
    [result] = formatter(name, UTC_CONTEXT)(read_line(time=time, events=[event(time=time, began=time)]))
    assert "f2.txt" in result


def test_times_are_rounded_down_in_the_local_zone_by_default() -> None:
    assert stamp(999_999_999).endswith(".999999")


def test_the_live_context_is_of_this_machine(tmp_path: Path) -> None:
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("0b0e\n")
    assert live_context(str(boot_id)) == Context(host=os.uname().nodename, boot_id="0b0e")
    assert live_context(str(tmp_path / "none")).boot_id == ""
