# SPDX-License-Identifier: Apache-2.0
"""What users read of the keys, made from their tables: packaging/panorama.yaml and the manual page panorama.yaml(5).

Both name the paths of an installed Panorama, wherever this one is. In the file a line `#key: value` is a default that
is commented out, a line `##key: value` part of an example, and a line `# text` prose.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from ..paths import BEHAVIORS
from ..reading.keys import Key
from ..reading.values import spelled
from ..sinks import SINKS, SinkType
from .load import defaults
from .section import condition
from .settings import CONFIG, FILTER, SETTINGS, SINK
from .show import scalar
from .sinks import formats_of

__all__ = ["example", "page", "template"]

_INSTALLED = "/usr/share/panorama"
_WIDTH = 110

_HEAD = f"""\
# The configuration of Panorama, {CONFIG}; see panorama.yaml(5). Every key is optional: what is
# commented out with a # at once before it is the default. Sizes are written 512KiB, 16MiB, 1GiB, times 500ms,
# 30s, 5m, 1h.
#
# `panorama config --check` says everything that is wrong, `panorama config --show` what holds and where it comes
# from. `systemctl restart panorama` has it followed.
"""

_EXAMPLES = """\
Examples, one for each type, none of which holds as it stands: take away the ## in front of one. With a sink of your
own the local one above is no more, unless you take away its # too. In an example a key with # has its default.
"""

_KINDS = {
    "text": "text",
    "word": "one word",
    "path": "absolute path",
    "file": "absolute path of a file that only root can write",
    "secret": "absolute path of a file that only root can read",
    "created": "absolute path of a file",
    "address": "host:port or [v6]:port",
    "url": "http:// or https://",
    "flag": "true or false",
    "count": "whole number",
    "size": "size",
    "time": "time",
    "texts": "one text or a list",
    "words": "one word or a list",
    "paths": "one absolute path or a list",
    "addresses": "one host:port or a list",
}

# where a key that has no default gives no example
_STAND_INS = {
    "text": "panorama",
    "path": "/srv/panorama",
    "created": "/var/log/panorama.log",
    "file": "/etc/panorama/NAME.pem",
    "secret": "/etc/panorama/NAME",
    "address": "siem.example:6514",
    "addresses": "[siem.example:6514]",
    "url": "https://siem.example",
    "texts": "[panorama]",
}


def template() -> str:
    """The file that users get."""
    lines = [_HEAD]
    section = ""
    for name, key in SETTINGS.items():
        *levels, last = name.split(".")
        if levels and levels[0] != section:
            lines.append(f"{levels[0]}:")
        section = levels[0] if levels else ""
        indent = "  " * len(levels)
        lines += [*_prose(key.summary, f"{indent}# "), f"{indent}#{last}: {scalar(spelled(key.kind, key.default))}", ""]
    lines += [*_prose("Where lines go: a name of your choice, and what is behind it.", "# "), "sinks:"]
    for sink in defaults().sinks:
        values = {
            **{"type": sink.type, "format": sink.format, "policy": sink.policy, "limit": sink.limit},
            **sink.values,
        }
        lines.append(f"  #{sink.name}:")
        lines += [f"  #{line}" for line in _keys({**SINK, **sink.kind.keys}, values)]
        lines.append("  #  filter:")
        lines += [f"  #  {line}" for line in _keys(FILTER, {name: key.default for name, key in FILTER.items()})]
    lines += ["", *_prose(_EXAMPLES, "  # ")]
    for type, kind in SINKS.items():
        lines += ["", *_prose(f"{type}: {_about(kind)}", "  # ")]
        lines += [f"  ##{line}" for line in example(type)]
    return _installed("\n".join(lines)) + "\n"


def example(type: str) -> list[str]:
    """A sink of this type in YAML, named after it: the keys it needs, and the others commented out."""
    kind = SINKS[type]
    lines = [f"{type}:", f"  type: {type}"]
    for name, key in kind.keys.items():
        lines += [f"  {line}" for line in _prose(_sentence(key), "# ")]
        lines.append(f"  {'' if key.needed else '#'}{name}: {_sample(name, key)}")
    return lines


def page() -> str:
    """The manual page, in the language of scdoc(5)."""
    parts = [
        'panorama.yaml(5) "" "Panorama"',
        "# NAME",
        "panorama.yaml - what panorama(1) watches, what it leaves out, and where its lines go",
        "# DESCRIPTION",
        f"Panorama reads _{_escaped(str(CONFIG))}_ when it starts, if it is there; *panorama run --config*"
        " names another file. Every key is optional. *panorama config --check* says everything that is wrong with the"
        " file, *panorama config --show* what holds and where each value comes from. Options of the command line go"
        " before the file.",
        "The file is YAML without anchors, aliases and tags. A dot in the names below stands for a level of it. Sizes"
        " are a number and B, KiB, MiB, GiB or TiB; times a number and ms, s, m, h or d. Only root may be able to write"
        " the file and its folder.",
        "# SETTINGS",
        *_entries(SETTINGS),
        "# SINKS",
        "*sinks* maps a name of your choice to where lines go and how. Without it there is one, the local syslog"
        " daemon. The name is what *panorama status* and messages call it, and what its lines wait under on disk: lines"
        " that wait stay there, unsent, until a sink has that name again.",
        *_entries(SINK),
        *_entries({f"filter.{name}": key for name, key in FILTER.items()}),
        "What Panorama says of itself, such as what it lost, passes every filter.",
    ]
    for type, kind in SINKS.items():
        carries = f"Formats: {', '.join(formats_of(kind))}."
        waits = "" if kind.keeps else " Its lines cannot wait on disk."
        parts += [f"## type: {type}", f"{_escaped(_about(kind))} {carries}{waits}", *_entries(kind.keys)]
        parts.append("\n".join(["```", *example(type), "```"]))
    parts += [
        "# FILES",
        f"_{_escaped(str(CONFIG))}_",
        "# SEE ALSO",
        "*panorama*(1), *panorama-behavior*(7), *panorama-fields*(7)",
    ]
    return _installed("\n\n".join(parts)) + "\n"


def _keys(table: Mapping[str, Key], values: Mapping[str, Any]) -> Iterator[str]:
    """The keys of a sink with these values, each behind its sentence."""
    for name, key in table.items():
        yield from _prose(_sentence(key), "  # ")
        yield f"  {name}: {scalar(spelled(key.kind, values[name]))}"


def _entries(table: Mapping[str, Key]) -> Iterator[str]:
    for name, key in table.items():
        notes = [_sentence(key)]
        if key.choices:
            notes.append(f"One of {', '.join(key.choices)}.")
        if key.least is not None:
            notes.append(f"At least {spelled(key.kind, key.least)}.")
        if key.most is not None:
            notes.append(f"At most {spelled(key.kind, key.most)}.")
        if key.only:
            notes.append(f"Only with {condition(key)}.")
        if key.default is not None:
            notes.append(f"Default: {scalar(spelled(key.kind, key.default))}.")
        needed = ", needed" if key.needed else ""
        yield f"*{_escaped(name)}* ({_KINDS[key.kind]}{needed})\n\t{_escaped(' '.join(notes))}"


def _sample(name: str, key: Key) -> str:
    if key.example or key.default is None:
        return key.example or _STAND_INS.get(key.kind, "").replace("NAME", name.removesuffix("_file"))
    return scalar(spelled(key.kind, key.default))


def _sentence(key: Key) -> str:
    """The summary as a sentence, however it was written."""
    return f"{key.summary[:1].upper()}{key.summary[1:].rstrip('.')}."


def _about(kind: SinkType) -> str:
    """The first sentence of the module that the sink is in."""
    paragraph = " ".join((sys.modules[kind.open.__module__].__doc__ or "").partition("\n\n")[0].split())
    return paragraph.partition(". ")[0].rstrip(".") + "."


def _prose(text: str, prefix: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_on_hyphens=False)


def _escaped(text: str) -> str:
    for character in "\\*_":
        text = text.replace(character, f"\\{character}")
    return text


def _installed(text: str) -> str:
    return text.replace(str(BEHAVIORS.parent), _INSTALLED)
