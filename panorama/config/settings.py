# SPDX-License-Identifier: Apache-2.0
"""Every key of panorama.yaml with its kind, default and a sentence; those of the single sinks are in their modules.

A dot stands for a level: `limits.process` is `process` under `limits`. The reader, `--show` and the manual walk these
tables, so that a key added here is in all three.
"""

from __future__ import annotations

from pathlib import Path

from ..machines.spec import IGNORE_RULES
from ..output.formats import FORMATS
from ..output.line import SEVERITIES
from ..paths import BEHAVIORS
from ..reading.keys import Key
from ..sinks import SINKS
from ..vocabulary import LAYERS

__all__ = ["CONFIG", "DEFAULT_SINK", "FILTER", "SETTINGS", "SINK", "SITE_BEHAVIORS"]

CONFIG = Path("/etc/panorama/panorama.yaml")
SITE_BEHAVIORS = Path("/etc/panorama/behaviors")

SETTINGS = {
    "behaviors.folders": Key(
        "paths",
        "Where behaviors are. A behavior in a later folder replaces the one of the same name in an earlier folder.",
        (str(BEHAVIORS), str(SITE_BEHAVIORS)),
    ),
    "behaviors.enable": Key("texts", "Behaviors to switch on that are off by themselves, by name, such as exec.", ()),
    "behaviors.disable": Key("texts", "Behaviors to switch off, by name.", ()),
    "ignore": Key(
        "paths",
        "Files that say what is left out. A rule in a later file replaces the one of the same name in an earlier file,"
        " or switches it off with `enabled: false`. Left out, it is ignore.yaml of each of the folders above.",
        (str(BEHAVIORS / IGNORE_RULES), str(SITE_BEHAVIORS / IGNORE_RULES)),
    ),
    "log": Key(
        "word",
        "Which lines are written. operations: one for each thing done, no activities. activities: what those come to,"
        " each with its operations as evidence; an operation that belongs to none is written too, some of them late."
        " all: both.",
        "all",
        choices=("operations", "activities", "all"),
    ),
    "long_open": Key(
        "time", "A file that stays open and in use is reported after so long.", 30.0, least=0.1, most=86400.0
    ),
    "ring_buffer": Key(
        "size",
        "Memory between kernel and Panorama, a power of two. More of it rides out longer floods.",
        16 << 20,
        least=256 << 10,
        most=1 << 30,
    ),
    "limits.process": Key(
        "count", "Records a second that the kernel takes of one process; 0 is no limit.", 20000, most=10**9
    ),
    "limits.global": Key(
        "count", "Records a second that the kernel takes of all processes together; 0 is no limit.", 0, most=10**9
    ),
    "fold": Key("flag", "Write what a process repeats as one line, and `... repeated N times`.", True),
    "chain": Key(
        "flag",
        "Give each line a hash over itself and the lines before it, so that `panorama verify` finds what was altered.",
        False,
    ),
    "spool.folder": Key(
        "path", "Where lines wait on disk for their receivers, with the number of the last line.", "/var/lib/panorama"
    ),
    "spool.limit": Key(
        "size", "How much may wait on disk for a sink that sets no limit of its own.", 256 << 20, least=1 << 20
    ),
}

# of every sink; `sinks` itself maps names to these
SINK = {
    "type": Key("word", "What kind of sink it is.", choices=tuple(SINKS), needed=True),
    "format": Key(
        "word",
        "How its lines are written. The default is the first of those that the type can carry.",
        choices=tuple(FORMATS),
    ),
    "policy": Key(
        "word",
        "Whether lines wait on disk until the receiver has them (full), or in memory, and some go when there is no more"
        " room (drop). The default is full where lines leave this machine, else drop.",
        choices=("full", "drop"),
    ),
    "limit": Key(
        "size",
        "How much may wait for it. The default is that of the spool, or 4MiB with policy drop.",
        least=64 << 10,
    ),
}

# of a sink's `filter`; what Panorama says of itself passes every filter
FILTER = {
    "layer": Key("words", "Only lines of these layers.", LAYERS, choices=LAYERS),
    "severity": Key("word", "Only lines that are at least so severe.", "debug", choices=SEVERITIES),
    "behavior": Key("texts", "Only lines of these behaviors; * stands for any characters, as in [file, net*].", ("*",)),
}

DEFAULT_SINK = {"local": "syslog"}  # name, type: what holds where there is no `sinks`
