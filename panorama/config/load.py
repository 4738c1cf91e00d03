# SPDX-License-Identifier: Apache-2.0
"""panorama.yaml as a Config, or everything that is wrong with it. Opens no sink and loads no behavior by itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..errors import InputError, Problem
from ..machines.spec import IGNORE_RULES
from ..reading import nodes
from ..reading.fields import Reading
from ..reading.nodes import Node
from ..reading.trust import distrust
from .behaviors import loaded
from .model import Config, Origin, SinkConfig
from .section import Section
from .settings import CONFIG, SETTINGS
from .sinks import default_sinks, formats_of, holds_chain, read_sink

__all__ = ["defaults", "load_config"]


def load_config(path: Path | None = None, changed: Callable[[Config], Config] = lambda config: config) -> Config:
    """The configuration in a file; without `path` that of the machine, which need not have one.

    `changed` is what the command line makes of it. InputError has all that is wrong; with a file that is wrong, what is
    wrong with the behaviors and ignore rules that it names is told as well.
    """
    problems: list[Problem] = []
    config = _read(path, problems)
    _contradictions(config, problems)
    config = changed(config)
    if not problems:
        return config
    try:
        loaded(config)
    except InputError as error:
        problems += error.problems
    raise InputError(sorted(problems, key=lambda problem: (problem.path, problem.line, problem.column)))


def defaults() -> Config:
    """What holds without a file."""
    return _config(Reading("", []), Node({}, 1, 1))


def _read(path: Path | None, problems: list[Problem]) -> Config:
    if path is None and _absent(CONFIG):
        return defaults()
    path = path or CONFIG
    answer = nodes.read(path, problems, may_be_empty=True)
    if answer is None:
        return defaults()
    node, status = answer
    folder = os.path.dirname(os.path.realpath(path))
    for name, its_status in ((str(path), status), (folder, os.stat(folder))):
        if wrong := distrust(name, its_status, os.geteuid(), os.environ):
            what = wrong[0] if name == str(path) else f"its folder is not safe: {wrong[0]}"
            problems.append(Problem(str(path), 1, 1, what, wrong[1]))
    if node.value is None:
        node = Node({}, 1, 1)
    reading = Reading(str(path), problems)
    if not isinstance(node.value, dict):
        reading.wrong(node, f"the configuration is a mapping, not {node.kind}")
        return defaults()
    return _config(reading, node)


def _absent(path: Path) -> bool:
    """Whether it is certain that there is no such file."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _config(reading: Reading, node: Node) -> Config:
    section = Section(reading, node, SETTINGS, others=("sinks",))
    values = section.complete()
    origins = section.origins
    if "ignore" not in section.values:
        values["ignore"] = tuple(os.path.join(folder, IGNORE_RULES) for folder in values["behaviors.folders"])
        if "behaviors.folders" in origins:
            origins["ignore"] = origins["behaviors.folders"]
    sinks = _sinks(reading, node, values["spool.limit"], origins)
    named = {key.replace(".", "_"): value for key, value in values.items()}
    return Config(path=reading.path, **named, sinks=sinks, origins=origins)


def _sinks(reading: Reading, node: Node, spool_limit: int, origins: dict[str, Origin]) -> tuple[SinkConfig, ...]:
    given = node.value.get("sinks")
    if given is None or given.value is None:
        return default_sinks(spool_limit)
    if given.value == {}:
        reading.wrong(given, "without sinks all lines are lost", "leave 'sinks' out for the local syslog")
    found = []
    for name, entry in reading.entries(node, "sinks"):
        if sink := read_sink(reading, name, entry, spool_limit, origins):
            origins[f"sinks.{sink.name}"] = Origin(reading.path, name.line, name.column)
            found.append(sink)
    return tuple(found) or default_sinks(spool_limit)


def _contradictions(config: Config, problems: list[Problem]) -> None:
    """What no single key can know, and what is wrong with the spool's folder."""

    def wrong(key: str, what: str, hint: str = "") -> None:
        place = config.origin(key)
        place = place if place.line else Origin(config.path or str(CONFIG), 1, 1)  # a default that is wrong here
        problems.append(Problem(place.path, place.line, place.column, what, hint))

    size = config.ring_buffer
    if size & (size - 1):
        wrong("ring_buffer", "'ring_buffer' is no power of two", "try 8MiB, 16MiB, 32MiB ...")
    for number, name in enumerate(config.behaviors_disable):
        if name in config.behaviors_enable:
            wrong(f"behaviors.disable[{number}]", f"'{name}' is both in 'enable' and in 'disable'")
    folder = config.spool_folder
    if os.path.exists(folder):
        unsafe = distrust(folder, os.stat(folder), os.geteuid(), os.environ)
        if not os.path.isdir(folder):
            unsafe = "is no folder", ""
        if unsafe:
            wrong("spool.folder", f"'spool.folder', {folder}: {unsafe[0]}", unsafe[1])
    for sink in config.sinks if config.chain else ():
        if not holds_chain(sink.kind, sink.format):
            places = (f"sinks.{sink.name}.format", f"sinks.{sink.name}", "chain")
            fit = [format for format in formats_of(sink.kind) if holds_chain(sink.kind, format)]
            what = f"with chain: true the format of '{sink.name}' needs a place for the hash, '{sink.format}' has none"
            wrong(next(key for key in places if key in config.origins), what, f"try format: {fit[0]}" if fit else "")
