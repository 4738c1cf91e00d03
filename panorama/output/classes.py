# SPDX-License-Identifier: Apache-2.0
"""What kind of thing a line says was done, in the words of ECS (event.category, event.type) and OCSF (class, activity).

The verb decides if it is one of the shipped behaviors' and fits the completing event; a verb of one's own is filed by
that event. Panorama's own notices have no event and are of no kind.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..event import Event

__all__ = ["DEEDS", "OCSF_CLASSES", "Deed", "deed_of"]

OCSF_CLASSES = {"file": 1001, "process": 1007, "network": 4001}


@dataclass(frozen=True, slots=True)
class Deed:
    """`category` and `types` are ECS's; `activity` is OCSF's activity_id in the class of the category."""

    category: str
    types: tuple[str, ...]
    activity: int


DEEDS = {
    "open": Deed("file", ("access",), 14),
    "read": Deed("file", ("access",), 2),
    "write": Deed("file", ("change",), 3),
    "create": Deed("file", ("creation",), 1),
    "cover": Deed("file", ("change",), 3),
    "remove": Deed("file", ("deletion",), 4),
    "rename": Deed("file", ("change",), 5),
    "link": Deed("file", ("creation",), 1),
    "mkdir": Deed("file", ("creation",), 1),
    "rmdir": Deed("file", ("deletion",), 4),
    "chmod": Deed("file", ("change",), 7),
    "chown": Deed("file", ("change",), 7),
    "connect": Deed("network", ("connection", "start"), 1),
    "accept": Deed("network", ("connection", "start"), 1),
    "listen": Deed("network", ("info",), 7),
    "transfer": Deed("network", ("connection",), 6),
    "exec": Deed("process", ("start",), 1),
    "fork": Deed("process", ("start",), 1),
    "exit": Deed("process", ("end",), 2),
}

_POINTS = {"unlink": "remove", "symlink": "link", "truncate": "write", "bind": "listen"}  # triggers that are no verbs
_POINTS |= {word: word for word in ("rename", "link", "mkdir", "rmdir", "chmod", "chown")}
_POINTS |= {word: word for word in ("connect", "accept", "listen", "exec", "fork", "exit")}


def deed_of(verb: str, event: Event) -> Deed:
    """What a line with this verb and completing event says."""
    by_event = DEEDS[_word(event)]
    by_verb = DEEDS.get(verb)
    return by_verb if by_verb and by_verb.category == by_event.category else by_event


def _word(event: Event) -> str:
    for trigger in event.triggers:
        if trigger in _POINTS:
            return _POINTS[trigger]
    if event.remote is not None or event.local is not None:
        return "transfer"
    if event.created:
        return "create"
    if event.truncated:
        return "cover"
    return "write" if event.bytes_written else "read" if event.bytes_read else "open"
