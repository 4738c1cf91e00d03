# SPDX-License-Identifier: Apache-2.0
"""What a running service says of itself, as data for scripts and as text for people.

Times are seconds since 1970, durations seconds, sizes bytes, counts since the start. Syscalls are counted by trigger;
what is seen and nowhere else is under way, see tally.py. Keys are added, never changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..sinks import Sink
from ..sinks.shipping import Shipped
from ..tally import Tally
from .delivery import Stream

if TYPE_CHECKING:
    from ..commands.loop import Loop

__all__ = ["SCHEMA", "Facts", "rendered", "status"]

SCHEMA = "panorama-status/1"

Facts = dict[str, Any]


def status(started: float, loop: Loop) -> Facts:
    """The facts, ready for JSON; `started` in s since 1970."""
    program, delivery, tally, engine = loop.loaded.program, loop.delivery, loop.sums(), loop.pipeline.engine
    return {
        "schema": SCHEMA,
        "version": __version__,
        "pid": os.getpid(),
        "started": round(started, 3),
        "uptime": round(time.time() - started, 3),
        "behaviors": {
            "digest": program.digest,
            "loaded": [each.name for each in program.behaviors if each.enabled],
            "off": [each.name for each in program.behaviors if not each.enabled],
        },
        "tracepoints": len(loop.sensor.kernel.tracepoints),
        "events": {
            "seen": tally.seen,
            "in_lines": tally.in_lines,
            "ignored": tally.ignored,
            "unexplained": tally.unexplained,
            "in_machines": tally.waiting,
        },
        "machines": len(engine),
        "operations": {"held": len(engine.holding), "early": tally.early},
        "lines": tally.lines,
        "sequence": delivery.sequence,
        "losses": {
            "lost": tally.lost,
            "held_back": tally.held,
            "undecodable": tally.skipped,
            "machines_evicted": engine.evicted,
            "lines_dropped": sum(sink.dropped for sink in delivery.sinks),
        },
        "sinks": [_sink(stream, stream.sink) for stream in delivery.streams if stream.sink],
        "store": delivery.trouble,
    }


def _sink(stream: Stream, sink: Sink) -> Facts:
    facts: Facts = {"name": stream.name, "lines": stream.lines, "last_sequence": stream.last}
    if stream.chain:
        facts["chain"] = stream.chain
    facts |= {"waiting": sink.waiting, "dropped": sink.dropped, "trouble": sink.trouble}
    oldest = sink.queue.oldest
    facts["lag"] = round(max(0.0, time.time() - oldest), 3) if oldest else 0.0
    facts["spool"] = {"bytes": sink.queue.size, "limit": sink.queue.limit, "on_disk": stream.on_disk}
    if isinstance(sink, Shipped):
        facts["refused"] = sink.transport.refused
        facts["refusal"] = sink.transport.refusal
    return facts


def rendered(facts: Mapping[str, Any]) -> str:
    """The same for people."""
    behaviors, losses, operations = facts["behaviors"], facts["losses"], facts["operations"]
    off = f"; off: {', '.join(behaviors['off'])}" if behaviors["off"] else ""
    sums = _sums(facts)
    told = [
        ("", f"panorama {facts['version']}, process {facts['pid']}, running for {_duration(facts['uptime'])}"),
        ("behaviors", f"{', '.join(behaviors['loaded'])}{off}"),
        ("digest", behaviors["digest"]),
        ("tracepoints", str(facts["tracepoints"])),
        ("lines", f"{facts['lines']}, the last one has sequence {facts['sequence']}"),
        ("machines", f"{facts['machines']} alive, holding {operations['held']} operations back"),
        ("events", sums.equation()),
        *sums.rows(),
    ]
    told += [
        (name.replace("_", " "), str(losses[name])) for name in ("machines_evicted", "lines_dropped") if losses[name]
    ]
    told += [("sink", _sink_text(sink)) for sink in facts["sinks"]]
    if facts["store"]:
        told.append(("state", facts["store"]))
    return "\n".join(f"{name:12} {text}".strip() if name else text for name, text in told)


def _sums(facts: Mapping[str, Any]) -> Tally:
    events, losses = facts["events"], facts["losses"]
    return Tally(
        seen=events["seen"],
        in_lines=events["in_lines"],
        ignored=events["ignored"],
        unexplained=events["unexplained"],
        held=losses["held_back"],
        lost=losses["lost"],
        waiting=events["in_machines"],
        so_far=True,
        early=facts["operations"]["early"],
        skipped=losses["undecodable"],
    )


def _sink_text(sink: Mapping[str, Any]) -> str:
    text = f"{sink['name']}: {sink['lines']} lines, {sink['waiting']} waiting"
    if sink["waiting"]:
        spool = sink["spool"]
        where = "on disk" if spool["on_disk"] else "in memory"
        text += f" {where} for {_duration(sink['lag'])}, {_size(spool['bytes'])} of {_size(spool['limit'])}"
    if sink["dropped"]:
        text += f", {sink['dropped']} dropped"
    if sink.get("refused"):
        text += f" ({sink['refused']} of them refused: {sink['refusal']})"
    return text + (f"; {sink['trouble']}" if sink["trouble"] else "")


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
