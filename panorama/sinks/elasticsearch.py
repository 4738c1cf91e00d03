# SPDX-License-Identifier: Apache-2.0
"""Lines to Elasticsearch or OpenSearch, in batches through the bulk API, into a data stream or an index.

Each line is a document whose `_id` says which line it is: host, boot id, sequence and time. It is only ever created, so
a batch that is sent twice makes no second document (in a data stream: as long as that has not rolled over in between).
What the cluster is too busy for comes again; a document that it cannot index is refused, counted, and the reason said.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from ..errors import SinkError
from ..output.context import utc_stamp
from ..output.formats import formatter
from ..output.line import Line
from ..reading.keys import Key
from .http import HTTP_KEYS, Answer, Server, shown
from .posting import Posts
from .secrets import secret
from .setup import Setup
from .shipping import Shipped, Unreachable

__all__ = ["FORMATS", "KEYS", "Bulk", "opened"]

FORMATS = ("ecs", "json", "ocsf")

KEYS = {
    "url": Key("url", "the cluster", needed=True, example="https://elastic.example:9200"),
    "index": Key("text", "the data stream or index; it has to exist, or a template for it", "logs-panorama-default"),
    "api_key_file": Key("secret", "a file with an API key, encoded", example="/etc/panorama/elastic.key"),
    "user": Key("text", "the user, where there is no API key"),
    "password_file": Key("secret", "a file with the user's password", only=("user",)),
    **HTTP_KEYS,
}

# of the answer, only what is read
_PATH = (
    "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"
)


class Bulk:
    """The bulk API of one index."""

    def __init__(self, index: str) -> None:
        self.headers = {"Content-Type": "application/x-ndjson"}
        self.path = f"/{quote(index, safe='')}{_PATH}"

    def refused(self, answer: Answer, lines: int) -> list[str]:
        if answer.status != 200:
            raise answer.problem()
        try:
            items = [item["create"] for item in json.loads(answer.data)["items"]]
            results = [(int(item["status"]), _told(item)) for item in items]
        except (ValueError, TypeError, KeyError, RecursionError):
            results = []
        if len(results) != lines:
            raise Unreachable("the server's answer is not that of a bulk request; is url right?")
        # 409: it was there already
        waiting = [f"{status} {told}" for status, told in results if status >= 300 and status not in (400, 409)]
        if waiting:
            raise Unreachable(f"{len(waiting)} of {lines} lines have to wait: {waiting[0]}")
        return [told for status, told in results if status == 400]


def opened(setup: Setup) -> Shipped:
    """The cluster, there or not. SinkError if the settings cannot work."""
    values = setup.values
    if values["api_key_file"] and values["user"]:
        raise SinkError("user: there is an api_key_file as well; take one of them away")
    if bool(values["user"]) != bool(values["password_file"]):
        raise SinkError("user and password_file: each needs the other")
    server = Server(setup, lambda: _authorization(values))
    return Shipped(setup.name, _encoder(setup), setup.queue, Posts(server, Bulk(values["index"])))


def _authorization(values: Mapping[str, Any]) -> str:
    if values["api_key_file"]:
        return f"ApiKey {secret('api_key_file', values['api_key_file'])}"
    if values["user"]:
        both = f"{values['user']}:{secret('password_file', values['password_file'])}"
        return f"Basic {base64.b64encode(both.encode()).decode()}"
    return ""


def _encoder(setup: Setup) -> Callable[[Line], list[bytes]]:
    """A line becomes the two lines of a bulk request."""
    context = setup.style.context
    document = formatter(setup.style.format, context)
    formatted = setup.wrap(document if setup.style.format == "ecs" else lambda line: [_dated(line, *document(line))])
    host = json.dumps(f"{context.host}-{context.boot_id}-")[:-1]

    def encode(line: Line) -> list[bytes]:
        (text,) = formatted(line)
        # a line without a number has no id: one too many is better than one too few
        action = f'{{"create":{{"_id":{host}{line.sequence}-{line.time:x}"}}}}' if line.sequence else '{"create":{}}'
        return [f"{action}\n{text}\n".encode()]

    return encode


def _dated(line: Line, text: str) -> str:
    """A record with its time under the name that a data stream asks for."""
    return f'{{"@timestamp":"{utc_stamp(line.time)}",{text[1:]}'


def _told(item: Mapping[str, Any]) -> str:
    """An item's error, for people."""
    error = item.get("error", "")
    if not isinstance(error, dict):
        return shown(str(error))
    cause = error.get("caused_by", {})
    reasons = (error.get("type"), error.get("reason"), cause.get("reason") if isinstance(cause, dict) else cause)
    return shown(": ".join(str(reason) for reason in reasons if reason))
