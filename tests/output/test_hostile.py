# SPDX-License-Identifier: Apache-2.0
"""Names that an attacker chooses, in every place where one can, through every format, and read back.

A line stays one line of printable characters, its other fields stay what they are, and every byte of the name can be
had again from it.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from output_samples import ALICE, HOSTILE_NAMES, LONGEST_PATH, UTC_CONTEXT, event, read_line
from readers import cef_parsed, fields_of_text, hex_or_text, unescaped

from panorama.event import Address, File
from panorama.output.formats import FORMATS
from panorama.output.identity import Identity, identity
from panorama.output.journal import journal_fields
from panorama.output.line import Line, Part

PLACES = ("old", "new", "target", "command", "user", "exe", "parent", "container", "socket", "argument")
PATHS = ("old", "new", "exe", "parent")
Told = dict[str, bytes]


def hostile_line(name: str) -> tuple[Line, Told]:
    """A line that has the name everywhere, and what each place should be read back as."""
    told = {place: f"/d/{name}" if place in PATHS else name for place in PLACES}
    if name == LONGEST_PATH:
        told |= dict.fromkeys(PATHS, name)
    process = replace(
        ALICE,
        user=told["user"],
        command=told["command"],
        exe=told["exe"],
        argv=("run", told["argument"]),
        container=told["container"],
        parent_exe=told["parent"],
        parent_argv=(told["argument"],),
    )
    old, new = File(told["old"], 5, 0, "file"), File(told["new"], 6, 0, "file")
    end = Address("unix", told["socket"])
    taken = event(
        file=old, to=new, target=told["target"], remote=end, local=Address("unix", ""), protocol="unix-stream"
    )
    taken.triggers = ("rename",)
    parts = (Part("file", old), " -> ", Part("to", new))
    line = read_line(verb="rename", object=parts, process=process, events=[taken])
    return line, {place: os.fsencode(text) for place, text in told.items()}


def from_json(text: str) -> Told:
    data = json.loads(text)
    process = data["process"]
    assert (process["pid"], data["sequence"], data["verb"]) == (3760, 7, "rename")
    return {
        "old": hex_or_text(data["file"], "path"),
        "new": hex_or_text(data["to"], "path"),
        "target": hex_or_text(data, "target"),
        "command": hex_or_text(process, "command"),
        "user": hex_or_text(process, "user"),
        "exe": hex_or_text(process, "exe"),
        "parent": hex_or_text(process, "parent_exe"),
        "container": hex_or_text(process, "container"),
        "socket": hex_or_text(data["remote"], "host"),
        "argument": hex_or_text(process, "argv")[1],
    }


def from_ecs(text: str) -> Told:
    data = json.loads(text)
    process, ours = data["process"], data["panorama"]
    assert (process["pid"], data["event"]["sequence"], data["event"]["action"]) == (3760, 7, "rename")
    return {
        "old": hex_or_text(ours, "original_path", "panorama_original_path_bytes"),
        "new": hex_or_text(data["file"], "path", "file_path_bytes", ours),
        "target": hex_or_text(data["file"], "target_path", "file_target_path_bytes", ours),
        "command": hex_or_text(process, "name", "process_name_bytes", ours),
        "user": hex_or_text(data["user"], "name", "user_name_bytes", ours),
        "exe": hex_or_text(process, "executable", "process_executable_bytes", ours),
        "parent": hex_or_text(process["parent"], "executable", "process_parent_executable_bytes", ours),
        "container": hex_or_text(data["container"], "id", "container_id_bytes", ours),
        "socket": hex_or_text(data["destination"], "address", "destination_address_bytes", ours),
        "argument": hex_or_text(process, "args", "process_args_bytes", ours)[1],
    }


def from_ocsf(text: str) -> Told:
    data = json.loads(text)
    process, ours = data["actor"]["process"], data["unmapped"]
    assert (process["pid"], data["metadata"]["sequence"], data["activity_id"]) == (3760, 7, 5)
    return {
        "old": hex_or_text(data["file"], "path", "file_path_bytes", ours),
        "new": hex_or_text(data["file_result"], "path", "file_result_path_bytes", ours),
        "target": hex_or_text(ours, "target", "unmapped_target_bytes"),
        "command": hex_or_text(process, "name", "actor_process_name_bytes", ours),
        "user": hex_or_text(data["actor"]["user"], "name", "actor_user_name_bytes", ours),
        "exe": hex_or_text(process["file"], "path", "actor_process_file_path_bytes", ours),
        "parent": hex_or_text(
            process["parent_process"]["file"], "path", "actor_process_parent_process_file_path_bytes", ours
        ),
        "container": hex_or_text(process["container"], "uid", "actor_process_container_uid_bytes", ours),
        "socket": hex_or_text(data["dst_endpoint"], "name", "dst_endpoint_name_bytes", ours),
        "argument": hex_or_text(process, "cmd_line", "actor_process_cmd_line_bytes", ours).removeprefix(b"run "),
    }


def from_cef(text: str) -> Told:
    header, found = cef_parsed(text)
    assert header[3:] == ["file:rename", "rename", "1"]
    assert (found["spid"], found["externalId"], found["act"]) == ("3760", "7", "rename")
    keys = {"old": "oldFilePath", "new": "filePath", "target": "PanoramaTarget", "command": "sproc", "user": "suser"}
    keys |= {"exe": "PanoramaExe", "parent": "PanoramaParentExe", "container": "PanoramaContainer"}
    keys |= {"socket": "PanoramaDestination"}
    told = {place: os.fsencode(unescaped(found[key])) for place, key in keys.items()}
    told["argument"] = os.fsencode(unescaped(found["PanoramaCommandLine"])).removeprefix(b"run ")
    command, _, old, _, new = fields_of_text(found["msg"])
    names = {"name": old.removesuffix(":5"), "new name": new}
    assert os.fsencode(command) == told["command"]
    return told | {key: os.fsencode(name) for key, name in names.items()}


def from_text(text: str) -> Told:
    *_, ppid, pid, user, command, verb, old, arrow, new = fields_of_text(text)
    assert (ppid, pid, verb, arrow) == ("2682", "3760", "rename", "->")
    return {"user": os.fsencode(user), "command": os.fsencode(command)} | {
        "name": os.fsencode(old.removesuffix(":5")),
        "new name": os.fsencode(new),
    }


READERS: dict[str, Callable[[str], Told]] = {
    "text": from_text,
    "json": from_json,
    "ecs": from_ecs,
    "cef": from_cef,
    "ocsf": from_ocsf,
}


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_name_comes_back_from_every_format_and_changes_nothing_else(format_name: str) -> None:
    """The longest path and all tricks at once are names too."""
    wrong = []
    for name in (*HOSTILE_NAMES, "".join(HOSTILE_NAMES), LONGEST_PATH):
        line, told = hostile_line(name)
        told |= {"name": os.path.basename(told["old"]), "new name": os.path.basename(told["new"])}
        lines = FORMATS[format_name](line, UTC_CONTEXT)
        for text in lines:
            assert text.isprintable(), name
            assert not any(unicodedata.category(character) in ("Cf", "Cc", "Zl", "Zp") for character in text), name
        if format_name in READERS:
            [text] = lines
            wrong += [(name, place) for place, value in READERS[format_name](text).items() if value != told[place]]
        else:
            words = [text.split(" ") for text in lines]
            assert [len(each) for each in words] == ([8, 8] if format_name == "v6" else [10, 10]), name
            at = 7 if format_name == "v6" else 8
            shown = [os.fsencode(unescaped(each[at])) for each in words]
            wrong += [] if shown == [told["name"] + b":5", told["new name"] + b":6"] else [(name, "object")]
    assert wrong == []


def test_a_name_reaches_the_journal_byte_for_byte_and_adds_no_field() -> None:
    plain, _ = hostile_line("plain")
    for name in (*HOSTILE_NAMES, LONGEST_PATH):
        line, told = hostile_line(name)
        fields = journal_fields(line, UTC_CONTEXT)
        assert fields.keys() == journal_fields(plain, UTC_CONTEXT).keys()

        def raw(key: str, fields: dict[str, str | bytes] = fields) -> bytes:
            value = fields[f"PANORAMA_{key}"]
            return value.encode() if isinstance(value, str) else value

        found = {"old": raw("FILE_PATH"), "new": raw("TO_PATH"), "target": raw("TARGET"), "socket": raw("REMOTE_HOST")}
        found |= {"command": raw("PROCESS_COMMAND"), "user": raw("PROCESS_USER"), "exe": raw("PROCESS_EXE")}
        found |= {"parent": raw("PROCESS_PARENT_EXE"), "container": raw("PROCESS_CONTAINER")}
        found["argument"] = raw("PROCESS_ARGV").removeprefix(b"run ")
        assert found == told


@pytest.mark.parametrize("format_name", ["json", "ecs", "cef", "ocsf"])
def test_a_name_cannot_pass_for_an_identity(format_name: str) -> None:
    """Nor in a text line, which has none, behind whatever header."""
    for name in (*HOSTILE_NAMES, "".join(HOSTILE_NAMES)):
        line, _ = hostile_line(name)
        [text] = FORMATS[format_name](line, UTC_CONTEXT)
        assert identity(text) == Identity("ep1", "b1", 7)
        [text] = FORMATS["text"](line, UTC_CONTEXT)
        for header in ("", "panorama: ", "<30>1 - ep1 panorama 1 - - ", "Nov  1 08:00:00 ep1 panorama[1]: "):
            assert identity(header + text) is None


@pytest.mark.parametrize("format_name", ["json", "ecs", "cef", "ocsf"])
@pytest.mark.parametrize("limit", [700, 1000, 2000, 4000, 8000])
def test_what_must_be_short_is_whole_and_keeps_its_identity(format_name: str, limit: int) -> None:
    for name in (*HOSTILE_NAMES, "".join(HOSTILE_NAMES), LONGEST_PATH, "\udcff" * 4000):
        line, _ = hostile_line(name)
        line = replace(line, repeated=3, previous=4, chain="c0de" * 16)
        [whole] = FORMATS[format_name](line, UTC_CONTEXT)
        [text] = FORMATS[format_name](line, replace(UTC_CONTEXT, limit=limit))
        assert len(text.encode()) <= limit
        assert identity(text) == Identity("ep1", "b1", 7, 4, "c0de" * 16)
        assert (text == whole) is (len(whole.encode()) <= limit)
        assert is_cut(format_name, text) is (text != whole)


def is_cut(format_name: str, text: str) -> bool:
    if format_name == "cef":
        return cef_parsed(text)[1].get("PanoramaCut") == "true"
    data: dict[str, Any] = json.loads(text)
    ours = {"json": data, "ecs": data.get("panorama", {}), "ocsf": data.get("unmapped", {})}[format_name]
    return bool(ours.get("cut"))
