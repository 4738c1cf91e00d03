# SPDX-License-Identifier: Apache-2.0
"""Random behaviors and random streams of events, small enough that they meet."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import strategies as st

from panorama.event import Address, Event, File, Process
from panorama.vocabulary import TRIGGERS

SECOND = 10**9


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_STATES = ("new", "one", "two", "three")
_TRIGGERS = {
    "file": ("open", "read", "write", "close", "unlink", "rename", "chmod"),
    "connection": ("connect", "send", "recv", "close"),
    "process": (
        *("exec", "fork", "exit", "open", "read", "write", "close", "unlink", "connect", "send"),
        *("child.exec", "child.read", "child.open", "child.unlink", "child.exit", "child.close", "child.connect"),
    ),
}
_VERBS = ("read", "make", "cut", "go")
_LIVES = ("exec", "exit", "child.exec", "child.exit")
_CONDITIONS: dict[str, list[Any]] = {
    "file": ["/a", "/d/", ["/a", "/d/x"], "/d/*", "/d/**", "**/*.gz", "/?", "/[a-c]", "kept", "other", "exe", "**/x"],
    "folder": ["/d", "kept"],
    "stem": ["/d/e/y", "kept"],
    "suffix": [".gz"],
    "exe": ["/bin/sh", "/bin/"],
    "executable": [True, False],
    "origin": ["10.0.0.0/8", "peer", "remote"],
    "peer": ["10.0.0.1:22", "remote"],
    "login_user": ["alice"],
    "kept": ["file", "/a", "other"],
    "count": [">3", "bytes_written"],
    "many": [">1", 2],
    "to": ["/b", "kept", "/d/"],
    "name": ["x", "*.gz", ["a", "y*"], "word"],
    "created": [True, False],
    "truncated": [True],
    "final": [False, True],
    "bytes_read": [">0", "<=5", 5, "!=5", [0, 7], "count"],
    "bytes_written": [">=5", "count"],
    "mode": ["0o755", "!=420"],
    "remote": [
        "10.0.0.0/8",
        "10.0.0.1",
        "10.0.0.1:22",
        "[::1]:80",
        "::/0",
        "end",
        "peer",
        ["192.168.0.1", "10.1.0.0/16"],
    ],
    "port": [22, ">1000"],
    "command": ["sh", "g*", ["sh", "gzip"], "word"],
    "uid": [0, ">0"],
}
_SAVES = {
    "kept": ("file", "to", "exe"),
    "word": ("name", "command"),
    "count": ("bytes_read", "pid"),
    "end": ("remote",),
}
_GATHERS = {"many": ("file", "remote", "bytes_read", "name")}
_NAMES = (*_SAVES, *_GATHERS)
_OBJECTS = ("", " {file}", " {file} -> {to}", " {remote}", " to {{{port}}} {command}", " {bytes_read}")


@st.composite
def _transition(
    draw: st.DrawFn, triggers: tuple[str, ...], saved: tuple[str, ...], verbs: tuple[str, ...]
) -> dict[str, Any]:
    result: dict[str, Any] = {"trigger": draw(st.lists(st.sampled_from(triggers), min_size=1, max_size=2, unique=True))}
    result["source"] = draw(
        st.one_of(st.lists(st.sampled_from(_STATES), min_size=1, max_size=2, unique=True), st.just("*"))
    )
    if draw(st.booleans()):
        result["dest"] = draw(st.sampled_from(_STATES))
    if draw(st.integers(0, 2)) == 0:
        known = sorted(name for name in _CONDITIONS if name in saved or name not in _NAMES)
        fields = draw(st.lists(st.sampled_from(known), min_size=1, max_size=2, unique=True))
        result["conditions"] = {name: draw(st.sampled_from(_allowed(name, saved))) for name in fields}
    if saved and draw(st.booleans()):
        name = draw(st.sampled_from(saved))
        if name in _SAVES:
            result["save"] = {name: draw(st.sampled_from(_SAVES[name]))}
        else:
            result["gather"] = {name: draw(st.sampled_from(_GATHERS[name]))}
    if draw(st.integers(0, 3)) == 0:
        result["anew"] = True
    if draw(st.integers(0, 5)) == 0:
        result["login"] = draw(st.sampled_from(["remote", "local"]))
    if draw(st.booleans()):
        objects = (
            *_OBJECTS,
            *(f" {{{name}}}" for name in saved),
            *(f" {{{name}.count}}" for name in saved if name in _GATHERS),
        )
        result["emit"] = draw(st.sampled_from(verbs)) + draw(st.sampled_from(objects))
    return result


def _allowed(field: str, saved: tuple[str, ...]) -> list[Any]:
    """Without conditions on values that this behavior never saves."""
    return [value for value in _CONDITIONS[field] if value not in [*_SAVES, "other"] or value in saved]


@st.composite
def behavior(draw: st.DrawFn, name: str, layer: str, per: str, triggers: tuple[str, ...]) -> dict[str, Any]:
    """One behavior as plain data, every key drawn."""
    saved = tuple(draw(st.lists(st.sampled_from(sorted(_NAMES)), max_size=3, unique=True)))
    waiting = draw(st.lists(st.sampled_from(_STATES[1:]), max_size=2, unique=True))
    verbs = _VERBS if layer == "operation" else ("all", "most")
    first = {"trigger": draw(st.sampled_from(triggers)), "source": "new", "dest": draw(st.sampled_from(_STATES[1:]))}
    transitions = [first, *draw(st.lists(_transition(triggers, saved, verbs), min_size=1, max_size=6))]
    transitions[0]["save"] = {name: _SAVES[name][0] for name in saved if name in _SAVES}
    transitions[0]["gather"] = {name: _GATHERS[name][0] for name in saved if name in _GATHERS}
    if (layer, per) == ("activity", "process") and draw(st.booleans()):
        transitions.append({"trigger": "exit", "source": list(_STATES[1:]), "emit": f"{verbs[0]} at the end"})
    for state in waiting:
        timed = draw(_transition(("timeout",), saved, verbs))
        if draw(st.booleans()):
            timed["trigger"] = ["timeout", draw(st.sampled_from(triggers))]
        if timed.get("dest") in waiting[: waiting.index(state) + 1]:  # no way round in a circle
            del timed["dest"]
        transitions.append({**timed, "source": state})
    if not any("emit" in transition for transition in transitions):
        transitions[-1]["emit"] = draw(st.sampled_from(verbs))
    draw(st.randoms(use_true_random=False)).shuffle(transitions)
    result: dict[str, Any] = {"behavior": name, "summary": "Drawn.", "layer": layer, "per": per, "initial": "new"}
    times = draw(st.lists(st.sampled_from(["3s", "7s", "2500ms"]), min_size=2, max_size=2))
    result["states"] = {state: {} for state in _STATES[1:]} | {
        state: {"timeout": wait} for state, wait in zip(waiting, times, strict=False)
    }
    result["transitions"] = transitions
    if draw(st.integers(0, 2)) == 0:
        result["depth"] = draw(st.integers(1, 3))
    if draw(st.integers(0, 2)) == 0:
        result["match"] = draw(st.sampled_from([{"command": "sh"}, {"command": ["g*"]}, {"uid": ">0", "exe": "/bin/"}]))
    return result


def _of_file(behaviors: list[dict[str, Any]], verb: str) -> bool:
    """Whether a verb can come from a trigger that is about a file."""
    for data in behaviors:
        for transition in data["transitions"]:
            if transition.get("emit", "").partition(" ")[0] == verb:
                triggers = transition["trigger"]
                for trigger in [triggers] if isinstance(triggers, str) else triggers:
                    if trigger != "timeout" and TRIGGERS[trigger.removeprefix("child.")].file:
                        return True
    return False


@st.composite
def behavior_texts(draw: st.DrawFn) -> dict[str, str]:
    """Files of both layers."""
    found = []
    for number in range(draw(st.integers(1, 3))):
        per = draw(st.sampled_from(("file", "process", "connection", "file")))
        found.append(draw(behavior(f"op{number}", "operation", per, _TRIGGERS[per])))
    verbs = {t["emit"].partition(" ")[0] for b in found for t in b["transitions"] if "emit" in t}
    words = (*sorted(verbs), *_LIVES)
    for number in range(draw(st.integers(0, 2))):
        per = draw(st.sampled_from(("process", "process", "path")))
        about = (*(word for word in words if "." not in word), *sorted(f"child.{verb}" for verb in verbs), *_LIVES)
        if per == "path":
            about = (*sorted(verb for verb in verbs if _of_file(found, verb)), "exec")
        found.append(draw(behavior(f"act{number}", "activity", per, about)))
    return {f"{data['behavior']}.yaml": yaml.dump(data, Dumper=_Dumper, sort_keys=False) for data in found}


_IDS = ((1, 10, 0, 0), (2, 20, 1, 10), (3, 30, 2, 20), (4, 40, 99, 990), (2, 21, 1, 10))
_PROCESSES = [
    Process(pid, start, ppid, parent, uid=pid % 2 * 1000, command=command, exe=f"/bin/{command}")
    for pid, start, ppid, parent in _IDS
    for command in ("sh", "gzip")
]
_FILES = [File(path, inode) for inode, path in enumerate(["/a", "/b", "/d/x", "/d/e/y.gz"], 1)]
_ADDRESSES = [Address("inet", "10.0.0.1", 22), Address("inet", "10.1.0.1", 8080), Address("inet6", "::1", 80)]
_ADDRESSES += [Address("inet6", "::ffff:10.0.0.1", 22), Address("unix", "/run/x")]


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    """A stream; time mostly goes on, but records of several cpus come a little out of order."""
    now, stream = 1000 * SECOND, []
    for _ in range(draw(st.integers(1, 30))):
        now += draw(st.sampled_from((0, 0, 1, 2, 3, 9, -1))) * SECOND
        stream.append(draw(_event(now)))
    return stream


@st.composite
def _event(draw: st.DrawFn, now: int) -> Event:
    process = draw(st.sampled_from(_PROCESSES))
    form = draw(st.sampled_from(("session", "session", "eager", "point", "process", "connection", "socket")))
    event = Event((), now, process, {})
    if form in ("session", "eager", "point"):
        event.file = draw(st.sampled_from(_FILES))
    if form in ("connection", "socket"):
        event.session = draw(st.integers(0, 2))
        event.remote = draw(st.sampled_from(_ADDRESSES))
    if form in ("session", "socket"):
        inward, outward = ("read", "write") if form == "session" else ("recv", "send")
        moves = draw(st.permutations([inward, outward]))[: draw(st.integers(0, 2))]
        event.triggers = (*(["open"] if form == "session" else []), *moves, "close")
        event.created, event.truncated = draw(st.sampled_from([(False, False), (True, False), (False, True)]))
        event.final = draw(st.booleans())
        event.bytes_read = draw(st.sampled_from((0, 5, 7)))
        event.bytes_written = draw(st.sampled_from((0, 5)))
    elif form == "eager":
        event.triggers, event.eager = (draw(st.sampled_from(("open", "read", "write"))),), True
        return event
    elif form == "point":
        event.triggers = (draw(st.sampled_from(("unlink", "rename", "chmod"))),)
        event.to = draw(st.sampled_from([None, *_FILES]))
        event.mode = draw(st.sampled_from((-1, 0o755, 0o644)))
    elif form == "process":
        event.triggers = (draw(st.sampled_from(("exec", "fork", "exit"))),)
        event.child = draw(st.integers(1, 4)) if event.triggers == ("fork",) else 0
        event.file = draw(st.sampled_from([None, *_FILES])) if event.triggers == ("exec",) else None
    else:
        event.triggers = ("connect",)
    event.calls = {trigger: draw(st.integers(1, 3)) for trigger in event.triggers}
    return event
