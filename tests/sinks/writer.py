# SPDX-License-Identifier: Apache-2.0
"""A program to be killed: numbers lines and ships them to Elasticsearch, and says which ones are on disk.

writer.py URL STORE DESCRIPTOR [end]: writes `sequence number` lines to the descriptor. With `end` it writes no lines of
its own, but waits until all that earlier ones left is shipped.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from output_samples import TIME, UTC_CONTEXT, read_line

from panorama.service.delivery import Delivery, Stream
from panorama.sinks import SINKS, Setup, Style
from panorama.sinks.spool import OnDisk, Store


def main(url: str, path: str, told: int, end: bool) -> None:
    store = Store(path)
    delivery = Delivery(store)
    values = {name: key.default for name, key in SINKS["elasticsearch"].keys.items()} | {"url": url}
    queue = OnDisk(store, "siem", 64 << 20)
    sink = SINKS["elasticsearch"].open(Setup("siem", values, Style("json", UTC_CONTEXT), queue))
    delivery.add(Stream("siem", sink))
    delivery.turn(0)
    while end and sink.waiting:
        time.sleep(0.05)
    number = 0
    while not end:
        lines = [read_line(f"file-{number + i}", 0, time=TIME + number + i) for i in range(20)]
        number += len(lines)
        for line in lines:
            delivery.take(line)
        delivery.turn(0)
        if store.commit():
            said = [f"{line.sequence} {line.time - TIME}\n" for line in lines]
            os.write(told, "".join(said).encode())
        time.sleep(0.01)
    delivery.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:] == ["end"])
