# SPDX-License-Identifier: Apache-2.0
"""What loaded behaviors and ignore rules ask of the sensor."""

from __future__ import annotations

from .ignore import FILESYSTEMS, KINDS, IgnoreRules
from .machines.compiler import Program
from .sensor.kernel import Demand, PrefixRule

__all__ = ["demand_of"]


def demand_of(program: Program, rules: IgnoreRules) -> Demand:
    """The tracepoints, tables and filters that this program and these rules need, and no more."""
    prefixes, filesystems, kinds = [], [], []
    for number, rule in enumerate(rules.rules):
        prefixes += [PrefixRule(path, number, rule.only_read) for path in rule.kernel_paths]
        filesystems += [(FILESYSTEMS[name], number, rule.only_read) for name in rule.filesystems]
        kinds += [(KINDS[name], number) for name in rule.kinds]
    return Demand(
        triggers=program.triggers,
        eager=program.eager,
        untouched=program.keeps_untouched,
        own_changes=program.keeps_own_changes,
        connections=program.connections,
        prefixes=tuple(prefixes),
        filesystems=tuple(filesystems),
        kinds=tuple(kinds),
    )
