# SPDX-License-Identifier: Apache-2.0
"""Panorama: an endpoint behavior logger. Syscalls in, one line per behavior out.

The data goes one way, and the folders are named after its stations:

    sensor/    tracepoints and the ring buffer -> Event
    machines/  Event -> behaviors' finite state machines -> Line
    output/    Line -> a format -> sinks
"""

__version__ = "0.1.0"
