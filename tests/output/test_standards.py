# SPDX-License-Identifier: Apache-2.0
"""What ECS, CEF and OCSF ask of a record as a whole, beyond the table of fields."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from output_samples import ALICE, TIME, UTC_CONTEXT, connect_line, event, read_line, rename_line
from readers import cef_parsed

from panorama import __version__
from panorama.event import File
from panorama.output.formats import FORMATS
from panorama.output.line import Line, Part
from panorama.output.notice import notice

BASH = replace(ALICE, command="bash", exe="/usr/bin/bash", parent_exe="/usr/sbin/sshd", parent_argv=("sshd", "-D"))
EXEC = read_line(
    verb="exec", object=(Part("exe", "/usr/bin/bash"),), process=BASH, events=[event(triggers=("exec",), file=None)]
)
SCRIPT = replace(  # at a connection
    EXEC, events=[replace(connect_line("exec").events[0], file=File("/tmp/run", kind="file"), fd=0)]
)
LOST = notice(TIME, "lost", "5 events", process=ALICE)


def ecs(line: Line) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(FORMATS["ecs"](line, UTC_CONTEXT)[0])
    return data


def ocsf(line: Line) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(FORMATS["ocsf"](line, UTC_CONTEXT)[0])
    return data


def test_ecs_of_a_file() -> None:
    assert ecs(read_line(certainty="partial")) == {
        "@timestamp": "2026-04-02T16:52:27.276747Z",
        "ecs": {"version": "8.11.0"},
        "agent": {"type": "panorama", "version": __version__},
        "event": {
            "kind": "event",
            "category": ["file"],
            "type": ["access"],
            "action": "read",
            "module": "panorama",
            "dataset": "panorama.operation",
            "id": "b1-7",
            "sequence": 7,
            "severity": 0,
            "created": "2026-04-02T16:52:27.276747Z",
            "start": "2026-04-02T16:52:27.274747Z",
            "end": "2026-04-02T16:52:27.276747Z",
            "duration": 2_000_000,
        },
        "log": {"level": "info", "syslog": {"severity": {"code": 6}}},
        "message": "scp read f2.txt:3015807",
        "rule": {"name": "file"},
        "host": {"name": "ep1", "hostname": "ep1", "boot": {"id": "b1"}, "os": {"type": "linux"}},
        "user": {"name": "alice", "id": "1000", "effective": {"id": "1000"}},
        "process": {
            "pid": 3760,
            "entity_id": "4e7ac36bafc76df2f95e1b7e3dea9191",
            "name": "scp",
            "executable": "/usr/bin/scp",
            "args": ["scp", "f2.txt", "h:"],
            "args_count": 3,
            "command_line": "scp f2.txt h:",
            "parent": {"pid": 2682, "entity_id": "13f8fdb7371eb48b6e7e7696832a217e"},
        },
        "file": {
            "path": "/home/alice/f2.txt",
            "name": "f2.txt",
            "directory": "/home/alice",
            "inode": "3015807",
            "type": "file",
        },
        "panorama": {
            "layer": "operation",
            "process_start_ns": 86400_000000001,
            "parent_start_ns": 17,
            "login_uid": 1000,
            "file_device": 2049,
            "fd": 3,
            "bytes_read": 4096,
            "bytes_written": 0,
            "states": ["new", "opened", "read"],
            "certainty": "partial",
            "event_count": 1,
        },
    }


def test_ecs_of_connections_has_who_asked_as_the_source() -> None:
    made, taken = ecs(connect_line(read=5, written=6)), ecs(connect_line("accept", read=5, written=6))
    local = {"address": "172.17.0.1", "ip": "172.17.0.1", "port": 43716}
    remote = {"address": "172.17.0.2", "ip": "172.17.0.2", "port": 22}
    assert (made["source"], made["destination"]) == (local | {"bytes": 6}, remote | {"bytes": 5})
    assert (taken["source"], taken["destination"]) == (remote | {"bytes": 5}, local | {"bytes": 6})
    assert made["network"] == {"type": "ipv4", "transport": "tcp", "iana_number": "6", "direction": "egress"}
    assert taken["network"]["direction"] == "ingress"
    assert made["event"]["category"] == ["network"]
    listening = ecs(connect_line("listen"))
    assert listening["destination"] == local
    assert "source" not in listening
    assert "direction" not in listening["network"]
    unix = ecs(connect_line(family="unix"))
    assert unix["destination"] == {"address": "/run/a b"}
    assert "type" not in unix["network"]


def test_ecs_of_a_new_name_has_it_as_the_file() -> None:
    data = ecs(rename_line("/d/a", "/e/b"))
    assert data["file"] == {"path": "/e/b", "name": "b", "directory": "/e", "inode": "9", "type": "file"}
    assert data["panorama"]["original_path"] == "/d/a"
    known = event(triggers=("rename",), file=File("/d/a", 9, kind="directory"), to=File("/b"))
    assert ecs(read_line(verb="rename", events=[known]))["file"] == {
        "path": "/b",
        "name": "b",
        "directory": "/",
        "inode": "9",
        "type": "dir",
    }


@pytest.mark.parametrize(
    ("line", "category", "types", "class_uid", "activity"),
    [
        (read_line(), "file", ["access"], 1001, 2),
        (read_line(verb="create", events=[event(created=True)]), "file", ["creation"], 1001, 1),
        (read_line(verb="cover"), "file", ["change"], 1001, 3),
        (read_line(verb="remove", events=[event(triggers=("unlink",))]), "file", ["deletion"], 1001, 4),
        (rename_line("/a", "/b"), "file", ["change"], 1001, 5),
        (read_line(verb="chmod", events=[event(triggers=("chmod",))]), "file", ["change"], 1001, 7),
        (connect_line(), "network", ["connection", "start"], 4001, 1),
        (connect_line("listen"), "network", ["info"], 4001, 7),
        (EXEC, "process", ["start"], 1007, 1),
        (read_line(verb="gone", events=[event(triggers=("exit",), file=None)]), "process", ["end"], 1007, 2),
        # verbs of one's own are filed by the event that completed the line
        (read_line(verb="hostkey"), "file", ["access"], 1001, 2),
        (read_line(verb="hostkey", events=[event(bytes_read=0)]), "file", ["access"], 1001, 14),
        (read_line(verb="hostkey", events=[event(bytes_written=1)]), "file", ["change"], 1001, 3),
        (read_line(verb="hostkey", events=[event(created=True)]), "file", ["creation"], 1001, 1),
        (read_line(verb="hostkey", events=[event(truncated=True)]), "file", ["change"], 1001, 3),
        (read_line(verb="hostkey", events=[event(triggers=("rmdir",))]), "file", ["deletion"], 1001, 4),
        (replace(connect_line(), verb="read"), "network", ["connection", "start"], 4001, 1),
        (replace(connect_line("recv"), verb="talk"), "network", ["connection"], 4001, 6),
        (replace(EXEC, verb="connect"), "process", ["start"], 1007, 1),
    ],
)  # fmt: skip
def test_lines_are_filed(line: Line, category: str, types: list[str], class_uid: int, activity: int) -> None:
    assert (ecs(line)["event"]["category"], ecs(line)["event"]["type"]) == ([category], types)
    data = ocsf(line)
    assert (data["class_uid"], data["category_uid"], data["activity_id"]) == (class_uid, class_uid // 1000, activity)
    assert data["type_uid"] == class_uid * 100 + activity


def test_what_somebody_should_look_at_is_an_alert() -> None:
    assert ecs(read_line(layer="activity", severity="notice"))["event"]["kind"] == "event"
    data = ecs(read_line(layer="activity", severity="warning", attack=("T1560.001",)))
    assert (data["event"]["kind"], data["event"]["severity"], data["event"]["category"]) == ("alert", 47, ["file"])
    assert data["threat"] == {"framework": "MITRE ATT&CK", "technique": {"id": ["T1560.001"]}}


def test_ecs_files_an_activity_under_all_that_was_done() -> None:
    operations = [read_line(), rename_line("/a", "/b"), connect_line(), read_line()]
    data = ecs(read_line(layer="activity", verb="upload", operations=operations, operation_count=4))
    assert data["event"]["category"] == ["file", "network"]
    assert data["event"]["type"] == ["access", "change", "connection", "start"]


def test_notices_are_of_no_category() -> None:
    data = ecs(LOST)
    assert data["message"] == "scp lost 5 events"
    assert {key: data["event"].get(key) for key in ("kind", "category", "type", "dataset")} == {
        "kind": "event",
        "category": None,
        "type": ["info"],
        "dataset": "panorama.panorama",
    }
    found = ocsf(LOST)
    assert (found["class_uid"], found["category_uid"], found["type_uid"]) == (0, 0, 99)
    assert (found["activity_id"], found["activity_name"]) == (99, "lost")


# what OCSF 1.5 requires of every event, of each class, and of each object
EVENT = {"activity_id": int, "category_uid": int, "class_uid": int, "metadata": dict, "severity_id": int, "time": int}
CLASSES = {
    0: {},
    1001: {"actor": dict, "device": dict, "file": dict},
    1007: {"actor": dict, "device": dict, "process": dict},
    2004: {"finding_info": dict, "evidences": list},
    4001: {"dst_endpoint": dict, "connection_info": dict},
}
OBJECTS = {
    "metadata": {"product": dict, "version": str},
    "product": {"vendor_name": str},
    "device": {"type_id": int},
    "os": {"name": str, "type_id": int},
    "file": {"name": str, "type_id": int},
    "file_result": {"name": str, "type_id": int},
    "process": {"pid": int},
    "parent_process": {"pid": int},
    "user": {"uid": str},
    "connection_info": {"direction_id": int},
    "finding_info": {"title": str, "uid": str},
    "analytic": {"type_id": int},
}


def missing(node: Any, name: str = "") -> list[str]:
    """What is required below and not there or of another type."""
    if isinstance(node, list):
        return [each for entry in node for each in missing(entry, name)]
    if not isinstance(node, dict):
        return []
    required = OBJECTS.get(name, {})
    wrong = [f"{name}.{key}" for key, kind in required.items() if type(node.get(key)) is not kind]
    return wrong + [each for key, value in node.items() if key != "unmapped" for each in missing(value, key)]


@pytest.mark.parametrize(
    "line",
    [
        read_line(),
        rename_line("/a", "/b"),
        EXEC,
        SCRIPT,
        read_line(verb="exit", events=[event(triggers=("exit",), file=None)]),
        connect_line(),
        connect_line("accept", "inet6"),
        connect_line("listen"),
        connect_line(family="unix"),
        read_line(layer="activity", attack=("T1",), sequence=0),
        replace(rename_line("/a", "/b"), layer="activity"),
        replace(connect_line(), layer="activity"),
        LOST,
    ],
)
def test_ocsf_has_what_is_required(line: Line) -> None:
    data = ocsf(line)
    for key, kind in (EVENT | CLASSES[data["class_uid"]]).items():
        assert type(data.get(key)) is kind, key
    assert missing(data) == []
    assert data["time"] == data["end_time"] == 1775148747276
    assert data["metadata"]["version"] == "1.5.0"


def test_ocsf_of_a_program_that_was_started_has_the_parent_as_the_actor() -> None:
    data = ocsf(EXEC)
    assert data["process"]["file"] == {"path": "/usr/bin/bash", "name": "bash", "type_id": 1}
    assert data["actor"]["process"] == data["process"]["parent_process"] == {
        "pid": 2682,
        "uid": "13f8fdb7371eb48b6e7e7696832a217e",
        "file": {"path": "/usr/sbin/sshd", "name": "sshd", "type_id": 1},
        "cmd_line": "sshd -D",
    }  # fmt: skip
    assert data["actor"]["user"] == {"name": "alice", "uid": "1000"}


def test_a_script_at_a_connection_has_both_and_nobody_knows_who_began() -> None:
    """OCSF's class of processes has no attributes for them, beside the process's own file."""
    data, mapped = ocsf(SCRIPT), ("file", "src_endpoint", "dst_endpoint", "connection_info")
    assert not data.keys() & set(mapped)
    file, source, destination, connection = (data["unmapped"][key] for key in mapped)
    assert (file["path"], data["process"]["file"]["path"]) == ("/tmp/run", "/usr/bin/bash")
    assert (source["port"], destination["port"], connection["direction_id"]) == (43716, 22, 0)
    record = ecs(SCRIPT)
    assert (record["file"]["path"], record["process"]["executable"]) == ("/tmp/run", "/usr/bin/bash")
    assert (record["source"]["port"], record["destination"]["port"]) == (43716, 22)
    assert "direction" not in record["network"]


def test_ocsf_of_an_activity_is_a_finding_with_its_last_operation_as_evidence() -> None:
    data = ocsf(
        replace(rename_line("/d/a", "/e/b"), layer="activity", behavior="gzip", severity="warning", attack=("T1",))
    )
    assert data["finding_info"] == {
        "title": "gzip: rename",
        "uid": "b1-7",
        "analytic": {"name": "gzip", "type": "Behavioral", "type_id": 2},
        "attacks": [{"technique": {"uid": "T1"}}],
    }
    assert data["evidences"] == [{"file": {"path": "/d/a", "name": "a", "uid": "9", "type_id": 1}}]
    assert data["unmapped"]["file_result"]["path"] == "/e/b"
    assert data["is_alert"] is True


def test_ocsf_of_connections() -> None:
    data = ocsf(connect_line("accept", "inet6", read=5, written=6))
    assert data["src_endpoint"] == {"name": "fe80::2", "ip": "fe80::2", "port": 22}
    assert data["dst_endpoint"] == {"name": "::1", "ip": "::1", "port": 43716}
    assert data["traffic"] == {"bytes_out": 5, "bytes_in": 6}  # seen from the source
    assert data["connection_info"] == {
        "direction_id": 1,
        "protocol_ver_id": 6,
        "protocol_num": 6,
        "protocol_name": "tcp",
        "uid": "77",
    }
    assert ocsf(connect_line("listen"))["connection_info"]["direction_id"] == 0


def test_cef_of_a_file_is_this_line() -> None:
    line = replace(rename_line("/d/a", "/e/b=c|d"), repeated=3, severity="warning")
    assert FORMATS["cef"](line, UTC_CONTEXT) == [
        f"CEF:0|Panorama|Panorama|{__version__}|file:rename|rename|5|"
        "rt=1775148747276 end=1775148747276 start=1775148747276 dvchost=ep1 PanoramaBootId=b1 externalId=7 cnt=3 "
        "PanoramaBehavior=file cat=operation act=rename msg=scp rename a:9 -> /e/b\\=c|d "
        "spid=3760 PanoramaParentPid=2682 PanoramaProcessStart=86400000000001 PanoramaParentStart=17 "
        "PanoramaProcess=4e7ac36bafc76df2f95e1b7e3dea9191 PanoramaParent=13f8fdb7371eb48b6e7e7696832a217e "
        "suser=alice suid=1000 PanoramaEuid=1000 PanoramaLoginUid=1000 sproc=scp PanoramaExe=/usr/bin/scp "
        "PanoramaCommandLine=scp f2.txt h: filePath=/e/b\\=c|d fname=b\\=c|d fileId=9 fileType=file "
        "PanoramaFileMark=given oldFilePath=/d/a oldFileName=a PanoramaBytesRead=0 PanoramaBytesWritten=0 "
        "PanoramaStates=new opened read PanoramaCertainty=certain PanoramaEventCount=1"
    ]


def test_cef_escapes_its_header() -> None:
    line = read_line(behavior="a|b\\c", verb="d=e|f\n")
    [text] = FORMATS["cef"](line, UTC_CONTEXT)
    header, _ = cef_parsed(text)
    assert header == ["Panorama", "Panorama", __version__, "a|b\\\\c:d=e|f\\n", "d=e|f\\n", "1"]


def test_cef_of_connections_has_its_own_keys_for_ipv6() -> None:
    _, made = cef_parsed(FORMATS["cef"](connect_line(read=5, written=6), UTC_CONTEXT)[0])
    assert {key: made.get(key) for key in ("src", "spt", "dst", "dpt", "proto", "deviceDirection", "in", "out")} == {
        "src": "172.17.0.1",
        "spt": "43716",
        "dst": "172.17.0.2",
        "dpt": "22",
        "proto": "tcp",
        "deviceDirection": "1",
        "in": "6",  # from source to destination, as the dictionary has it
        "out": "5",
    }
    _, taken = cef_parsed(FORMATS["cef"](connect_line("accept", "inet6"), UTC_CONTEXT)[0])
    assert {key: taken.get(key) for key in ("c6a2", "c6a2Label", "c6a3", "c6a3Label", "src", "deviceDirection")} == {
        "c6a2": "fe80::2",
        "c6a2Label": "Source IPv6 Address",
        "c6a3": "::1",
        "c6a3Label": "Destination IPv6 Address",
        "src": None,
        "deviceDirection": "0",
    }
