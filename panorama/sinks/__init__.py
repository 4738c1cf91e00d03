# SPDX-License-Identifier: Apache-2.0
"""Where lines go. A sink is added by writing a module here and one line in SINKS.

Such a module declares its settings (`KEYS`) and opens the sink from what was set. What it needs beyond the standard
library it imports when it is opened, so that nobody pays for a sink he does not use.
"""

from __future__ import annotations

import os

from ..errors import SinkError
from ..output.formats import FORMATS
from ..reading.fields import suggestion
from . import console, elasticsearch, file, journal, kafka, remote_syslog, splunk, syslog
from .console import Console
from .file import File
from .setup import Setup, Sink, SinkType, Style
from .syslog import Syslog

__all__ = ["SINKS", "Console", "File", "Setup", "Sink", "SinkType", "Style", "Syslog", "open_sink"]

SINKS: dict[str, SinkType] = {
    "console": SinkType(console.KEYS, console.opened, keeps=False),
    "elasticsearch": SinkType(elasticsearch.KEYS, elasticsearch.opened, remote=True, formats=elasticsearch.FORMATS),
    "file": SinkType(file.KEYS, file.opened),
    "journal": SinkType(journal.KEYS, journal.opened, structured=True),
    "kafka": SinkType(kafka.KEYS, kafka.opened, remote=True, formats=kafka.FORMATS),
    "remote-syslog": SinkType(remote_syslog.KEYS, remote_syslog.opened, remote=True, structured=True),
    "splunk": SinkType(splunk.KEYS, splunk.opened, remote=True, formats=splunk.FORMATS),
    "syslog": SinkType(syslog.KEYS, syslog.opened),
}

# the setting that may follow the type on the command line, as in file:/path
_ON_COMMAND_LINE = {"console": "", "file": "path", "journal": "path", "syslog": "path"}


def open_sink(spec: str, style: Style | None = None) -> Sink:
    """The sink `spec` names: `console`, `file:/path`, `journal`, `syslog`, `syslog:/path/to/socket`."""
    style = style or Style()
    name, _, target = spec.partition(":")
    if name not in _ON_COMMAND_LINE:
        raise SinkError(f"unknown sink '{name}'; {suggestion(name, _ON_COMMAND_LINE)}")
    if style.format not in FORMATS:
        raise SinkError(f"unknown format '{style.format}'; {suggestion(style.format, FORMATS)}")
    values = {key: setting.default for key, setting in SINKS[name].keys.items()}
    setting = _ON_COMMAND_LINE[name]
    if target and not setting:
        raise SinkError(f"sink '{name}' takes no '{target}'")
    if target:
        values[setting] = os.path.abspath(target)
    elif setting and SINKS[name].keys[setting].needed:
        raise SinkError(f"sink '{name}' needs a {setting}: {name}:/var/log/panorama.log")
    return SINKS[name].open(Setup(name, values, style))
