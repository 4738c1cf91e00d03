# SPDX-License-Identifier: Apache-2.0
"""Nodes as the values that Keys ask for, and values as they are written. Knows kinds, not what a setting is about.

What does not fit its Key is a Problem at its place and comes back as None. Files are looked at, none is opened.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from .fields import Reading
from .keys import Key
from .nodes import Node
from .trust import distrust

__all__ = ["spelled", "value_of"]

_SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,15}) ?(KiB|MiB|GiB|TiB|B)\Z", re.ASCII)
_ALMOST_SIZE = re.compile(r"([0-9]{1,15}) ?([KMGTkmgt])i?[Bb]?\Z", re.ASCII)
_TIMES = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIME = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(ms|s|m|h|d)\Z", re.ASCII)
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([^\s:\[\]/@]+)):([0-9]{1,5})\Z", re.ASCII)


class _Wrong(Exception):
    """What is wrong with a text, to go behind `'key' `; and a hint."""

    def __init__(self, what: str, hint: str = "") -> None:
        self.what, self.hint = what, hint


def value_of(reading: Reading, name: str, node: Node, key: Key) -> Any:
    """The value of the setting `name`; None after a Problem."""
    if key.kind in _LISTS:
        return _several(reading, name, node, key)
    if isinstance(node.value, dict | list) or node.value is None:
        reading.wrong(node, f"'{name}' cannot be {node.kind}", _takes(key.kind))
        return None
    return _one(reading, name, node, key, key.kind)


def _several(reading: Reading, name: str, node: Node, key: Key) -> tuple[Any, ...] | None:
    nodes = node.value if isinstance(node.value, list) else [node]
    values: list[Any] = []
    for item in nodes:
        if isinstance(item.value, dict | list) or item.value is None:
            reading.wrong(item, f"'{name}' cannot hold {item.kind}", _takes(_LISTS[key.kind]))
            values.append(None)
        else:
            values.append(_one(reading, name, item, key, _LISTS[key.kind]))
    if not nodes and key.default != ():
        reading.wrong(node, f"'{name}' is an empty list", "leave it out for the default")
        return None
    return None if None in values else tuple(values)


def _one(reading: Reading, name: str, node: Node, key: Key, kind: str) -> Any:
    if kind == "word":
        if node.text not in key.choices:
            reading.unknown(node, name, key.choices)
            return None
        return node.text
    try:
        if not node.text or not node.text.isprintable():
            raise _Wrong("is empty" if not node.text else f"has a character that cannot be printed: {node.kind}")
        value = _READERS[kind](node)
        _within(value, key)
    except _Wrong as wrong:
        reading.wrong(node, f"'{name}' {wrong.what}", wrong.hint)
        return None
    return value


def _within(value: Any, key: Key) -> None:
    if key.least is not None and value < key.least:
        raise _Wrong(f"is {_written(key.kind, value)}", f"it can be {_written(key.kind, key.least)} at least")
    if key.most is not None and value > key.most:
        raise _Wrong(f"is {_written(key.kind, value)}", f"it can be {_written(key.kind, key.most)} at most")


def _takes(kind: str) -> str:
    return f"it takes {_WANTED[kind]}"


def _text(node: Node) -> str:
    return node.text


def _flag(node: Node) -> bool:
    if not isinstance(node.value, bool):
        raise _Wrong(f"cannot be {node.kind}", _takes("flag"))
    return node.value


def _count(node: Node) -> int:
    if node.quoted or not isinstance(node.value, int) or isinstance(node.value, bool) or node.value < 0:
        raise _Wrong(f"cannot be {node.kind}", _takes("count"))
    return node.value


def _size(node: Node) -> int:
    if found := _SIZE.match(node.text):
        return int(found[1]) * _SIZES[found[2]]
    if node.text.isdecimal():
        raise _Wrong(f"has no unit: {node.kind}", f"write {node.text}MiB, or another of KiB, MiB, GiB")
    almost = _ALMOST_SIZE.match(node.text)
    raise _Wrong(f"cannot be {node.kind}", f"write {almost[1]}{almost[2].upper()}iB" if almost else _takes("size"))


def _time(node: Node) -> float:
    if found := _TIME.match(node.text):
        return round(float(found[1]) * _TIMES[found[2]], 6)
    if _TIME.match(f"{node.text}s"):
        raise _Wrong(f"has no unit: {node.kind}", f"write {node.text}s, or another of ms, s, m, h, d")
    raise _Wrong(f"cannot be {node.kind}", _takes("time"))


def _path(node: Node) -> str:
    if not node.text.startswith("/"):
        raise _Wrong(f"is no absolute path: {node.kind}", "begin it with /")
    return node.text


def _created(node: Node) -> str:
    path = _path(node)
    if not os.path.isdir(os.path.dirname(path)) or os.path.isdir(path):
        what = "is a folder" if os.path.isdir(path) else f"cannot be made, there is no folder {os.path.dirname(path)}"
        raise _Wrong(what)
    return path


def _status(path: str) -> os.stat_result:
    try:
        status = os.stat(path)
    except OSError as error:
        raise _Wrong(f"cannot be used: {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise _Wrong(f"is no file: '{path}'")
    return status


def _file(node: Node) -> str:
    path = _path(node)
    if wrong := distrust(path, _status(path), os.geteuid(), os.environ):
        raise _Wrong(f"is not safe: {wrong[0]}", wrong[1])
    return path


def _secret(node: Node) -> str:
    path = _file(node)
    status = _status(path)
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise _Wrong(f"is no secret: others than root can read {path}, mode {mode:04o}", f"chmod 0600 {path}")
    return path


def _address(node: Node) -> tuple[str, int]:
    found = _ADDRESS.match(node.text)
    if not found or not 0 < int(found[3]) < 65536:
        raise _Wrong(f"cannot be {node.kind}", _takes("address"))
    return found[1] or found[2], int(found[3])


def _url(node: Node) -> str:
    try:
        parts = urlsplit(node.text)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and " " not in node.text
    except ValueError:
        good = False
    if not good:
        raise _Wrong(f"cannot be {node.kind}", _takes("url"))
    if "@" in parts.netloc:
        raise _Wrong("has a user or password in it", "secrets belong in files that only root can read")
    return node.text


_READERS: Mapping[str, Callable[[Node], Any]] = {
    "text": _text,
    "path": _path,
    "file": _file,
    "secret": _secret,
    "created": _created,
    "address": _address,
    "url": _url,
    "flag": _flag,
    "count": _count,
    "size": _size,
    "time": _time,
}
_LISTS = {"texts": "text", "words": "word", "paths": "path", "addresses": "address"}
_WANTED = {
    "text": "text",
    "word": "one word",
    "path": "an absolute path",
    "file": "the absolute path of a file",
    "secret": "the absolute path of a file",
    "created": "the absolute path of a file",
    "address": "host:port, or [v6]:port",
    "url": "http://host or https://host, with a port and a path if need be",
    "flag": "true or false",
    "count": "a whole number, 0 or more",
    "size": "a number and KiB, MiB or GiB, like 16MiB",
    "time": "a number and ms, s, m, h or d, like 30s",
}


def spelled(kind: str, value: Any) -> Any:
    """The value as it would be written in YAML: text, a list of it, a bool, an int, or None for no value."""
    if value is None or kind in ("flag", "count"):
        return value
    if kind in _LISTS:
        return [_written(_LISTS[kind], item) for item in value]
    return _written(kind, value)


def _written(kind: str, value: Any) -> str:
    if kind == "size":
        unit = next((unit for unit in ("TiB", "GiB", "MiB", "KiB") if value and value % _SIZES[unit] == 0), "B")
        return f"{int(value) // _SIZES[unit]}{unit}"
    if kind == "time":
        units = [unit for unit in ("d", "h", "m", "s") if value % _TIMES[unit] == 0] or ["s" if value > 1 else "ms"]
        return f"{value / _TIMES[units[0]]:.3f}".rstrip("0").rstrip(".") + units[0]
    if kind == "address":
        host, port = value
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(value)
