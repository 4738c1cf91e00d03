# SPDX-License-Identifier: Apache-2.0
"""One entry of `sinks` as a SinkConfig, or Problems. A type is known by what SINKS says of it, never by its name."""

from __future__ import annotations

from ..output.formats import FORMATS
from ..reading.fields import WORD, Reading
from ..reading.keys import Key
from ..reading.nodes import Node, shortened
from ..sinks import SINKS
from ..sinks.setup import MEMORY_BYTES, SinkType
from .model import Filter, Origin, SinkConfig
from .section import Section
from .settings import DEFAULT_SINK, FILTER, SINK

__all__ = ["default_sinks", "formats_of", "holds_chain", "read_sink", "sink_table"]

_TEXT = "text"
_UNNUMBERED = (_TEXT, "v6", "v7")  # formats without a place for sequence, previous and chain


def sink_table(kind: SinkType) -> dict[str, Key]:
    """All keys of a sink of this type."""
    return {**SINK, **{f"filter.{name}": key for name, key in FILTER.items()}, **kind.keys}


def formats_of(kind: SinkType) -> tuple[str, ...]:
    """The formats that the type can carry, its default first."""
    return tuple(name for name in kind.formats if name in FORMATS)


def holds_chain(kind: SinkType, format: str) -> bool:
    """Whether a line's hash reaches the receiver: in the format, or beside the text."""
    return format not in _UNNUMBERED or (format == _TEXT and kind.structured)


def default_sinks(spool_limit: int) -> tuple[SinkConfig, ...]:
    """The sinks where none are configured."""
    sinks = []
    for name, type in DEFAULT_SINK.items():
        section = Section(Reading("", []), Node({}, 0, 0), sink_table(SINKS[type]))
        sinks.append(_sink(name, type, section, spool_limit))
    return tuple(sinks)


def read_sink(
    reading: Reading, name: Node, node: Node, spool_limit: int, origins: dict[str, Origin]
) -> SinkConfig | None:
    """The sink as far as it can be read; whether it can be used is told by the problems. None if it has no type."""
    shown, prefix = shortened(name.text), f"sinks.{name.text}."
    if not WORD.match(name.text):
        reading.wrong(name, f"a sink cannot be called '{shown}'", "it takes a word of a-z 0-9 _ -")
    if not isinstance(node.value, dict):
        reading.wrong(node, f"the sink '{shown}' is a mapping, not {node.kind}", "it takes {type: syslog}")
        return None
    type = reading.text(node, "type")
    if type not in SINKS:
        if type:
            reading.unknown(node.value["type"], "type of sink", SINKS)
        elif "type" not in node.keys:
            reading.wrong(name, f"the sink '{shown}' has no type", "add one, like type: syslog")
        return None
    kind = SINKS[type]
    section = Section(reading, node, sink_table(kind), prefix)
    section.check(name)
    sink = _sink(name.text, type, section, spool_limit)
    if sink.format not in formats_of(kind):
        hint = f"it takes {', '.join(formats_of(kind))}"
        reading.wrong(section.given["format"], f"a sink of type '{type}' cannot carry '{sink.format}'", hint)
    if sink.policy == "full" and not kind.keeps:
        reading.wrong(section.given["policy"], f"lines for '{type}' cannot wait on disk", "it takes policy: drop")
    if sink.policy == "full" and "spool.limit" in origins:
        origins[f"{prefix}limit"] = origins["spool.limit"]
    origins |= section.origins
    return sink


def _sink(name: str, type: str, section: Section, spool_limit: int) -> SinkConfig:
    kind = SINKS[type]
    values = section.complete()
    policy = values["policy"] or ("full" if kind.remote and kind.keeps else "drop")
    return SinkConfig(
        name=name,
        type=type,
        format=values["format"] or formats_of(kind)[0],
        policy=policy,
        limit=values["limit"] or (spool_limit if policy == "full" else MEMORY_BYTES),
        filter=Filter(**{key: values[f"filter.{key}"] for key in FILTER}),
        values={key: values[key] for key in kind.keys},
    )
