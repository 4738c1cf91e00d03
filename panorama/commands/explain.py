# SPDX-License-Identifier: Apache-2.0
"""`panorama explain TRACE`: which transitions led to the lines of a trace, or kept a behavior from writing one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from ..errors import UsageError
from ..event import Event, Item, Process
from ..machines.compiler import Program, Table
from ..machines.ways import Ways
from ..output.context import Context
from ..output.formats import formatter
from ..output.line import Line
from ..output.quoting import quote
from ..pipeline import Pipeline
from ..plain import nearest
from ..trace import Trace, read_trace
from .explained import Facts, beginning_facts, beginning_text, way_facts, way_text
from .options import add_behavior_options, add_log_option, configured, loaded
from .replay import judged, say

__all__ = ["add", "run"]


def add(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--line", metavar="N", type=_number, help="explain the Nth line that panorama replay prints")
    which.add_argument(
        "--behavior", metavar="NAME", help="how far its machines came that wrote no line, and what stopped them"
    )
    parser.add_argument("--format", choices=["text", "json"], default="text", help="json for scripts (default: text)")
    add_behavior_options(parser)
    add_log_option(parser)
    parser.add_argument("trace", metavar="TRACE", help="what panorama record wrote; - is standard input")


def run(arguments: argparse.Namespace) -> int:
    config = configured(arguments)
    behaviors = loaded(config)
    table = _table(behaviors.program, arguments.behavior) if arguments.behavior else None
    trace = read_trace(sys.stdin.buffer if arguments.trace == "-" else arguments.trace, say, arguments.trace)
    context = Context(host=trace.header.host, boot_id=trace.header.boot_id)
    told = _Lines(context, arguments.format == "json", [] if table else [arguments.line] if arguments.line else None)
    pipeline = Pipeline(behaviors.program, behaviors.rules, told.take, trace.header.recorder, config.log, told.ways)
    processes: dict[Process, None] = {}
    pipeline.take(_noted(trace, processes))
    if isinstance(time := (trace.end or {}).get("time"), int):
        pipeline.advance(time)
    pipeline.finish()
    if table:
        told.behavior(table, processes)
    elif arguments.line and arguments.line > told.count:
        raise UsageError(f"--line {arguments.line}: the lines of {arguments.trace} are only {told.count}")
    return judged(trace, arguments.trace)


class _Lines:
    """Counts the lines and explains them as they come: all, or those with these numbers."""

    def __init__(self, context: Context, as_json: bool, numbers: list[int] | None) -> None:
        self.ways = Ways()
        self.count = 0
        self._by_behavior: dict[str, int] = {}
        self._make = formatter("text", context)
        self._json = as_json
        self._numbers = numbers

    def take(self, line: Line) -> None:
        self.count += 1
        self._by_behavior[line.behavior] = self._by_behavior.get(line.behavior, 0) + 1
        way = self.ways.to(line)
        if self._numbers is not None and self.count not in self._numbers:
            return
        said = self._make(line)[0]
        facts = {"line": self.count, "said": said} | (way_facts(way) if way else {"behavior": line.behavior})
        below = way_text(facts) if way else ["  Panorama says this of itself"]
        self._show(facts, f"{self.count}  {said}", below)

    def behavior(self, table: Table, processes: dict[Process, None]) -> None:
        """What came of the machines of a behavior that wrote no line, or why there was none."""
        name, written = table.behavior.name, self._by_behavior.get(table.behavior.name, 0)
        ways = self.ways.unsaid(name)
        matching = {process.key for process in processes if _matches(table, process)}
        everyone = {process.key for process in processes}
        facts = beginning_facts(table.behavior, len(everyone), len(matching), self.ways.beginnings(name))
        facts |= {"lines": written, "machines": len(ways)}
        head = f"{name}: {_counted(written, 'line')}, {_counted(len(ways), 'machine')} without one"
        why = [] if ways or written else beginning_text(facts)
        self._show(facts, f"{head}  ({table.behavior.path})", why)
        for way in ways:
            facts = way_facts(way)
            who, states = facts["process"], " -> ".join(facts["states"])
            self._show(facts, f"{quote(who['command'])}[{who['pid']}]  {states}", way_text(facts))

    def _show(self, facts: Facts, head: str, below: list[str]) -> None:
        if self._json:
            print(json.dumps(facts))
        else:
            print(head, *below, "", sep="\n")


def _noted(trace: Trace, processes: dict[Process, None]) -> Iterator[Item]:
    """Its items; the processes in them are noted."""
    for item in trace:
        if isinstance(item, Event):
            processes[item.process] = None
        yield item


def _table(program: Program, name: str) -> Table:
    tables = {
        table.behavior.name: table for layer in (program.operations, program.activities) for table in layer.tables
    }
    if name in tables:
        return tables[name]
    if any(behavior.name == name for behavior in program.behaviors):
        raise UsageError(f"the behavior '{name}' is off; switch it on with --enable {name}")
    known = [behavior.name for behavior in program.behaviors]
    near = nearest(name, known) or f"; there are {', '.join(known)}"
    raise UsageError(f"there is no behavior '{name}'{near}")


def _matches(table: Table, process: Process) -> bool:
    event = Event((), 0, process, {})
    return all(holds(event, {}) for holds in table.match)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _number(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not number:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of a line; they count from 1")
    return number
