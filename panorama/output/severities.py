# SPDX-License-Identifier: Apache-2.0
"""The severities of behaviors on the scale of each format. The names are syslog's; the order is that of SEVERITIES.

CEF calls 0 to 3 low, 4 to 6 medium, 7 and 8 high, 9 and 10 very high. ECS leaves the scale to the source; ours is the
one on which Elastic's rules have low at 21, medium at 47, high at 73 and critical at 99. OCSF: 1 informational, 2 low,
3 medium, 4 high, 5 critical, 6 fatal.
"""

from __future__ import annotations

from dataclasses import dataclass

from .line import SEVERITIES

__all__ = ["ALERTS", "SCALES", "Scale"]


@dataclass(frozen=True, slots=True)
class Scale:
    """One severity in numbers."""

    syslog: int
    ecs: int
    cef: int
    ocsf: int


_SCALES = ((99, 10, 6), (99, 9, 5), (99, 8, 5), (73, 7, 4), (47, 5, 3), (21, 3, 2), (0, 1, 1), (0, 0, 1))

SCALES = {name: Scale(level, *_SCALES[level]) for level, name in enumerate(SEVERITIES)}

ALERTS = frozenset(SEVERITIES[: SEVERITIES.index("warning") + 1])  # what somebody should look at
