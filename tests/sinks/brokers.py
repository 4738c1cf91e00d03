# SPDX-License-Identifier: Apache-2.0
"""The mock cluster that is part of librdkafka: brokers on loopback that can go away, come back, and give errors."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_char_p, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

PRODUCE = 0  # the number of the request in Kafka's protocol


@dataclass
class Message:
    partition: int
    key: bytes
    headers: dict[str, bytes]
    value: bytes


class Cluster:
    """`bootstrap` is where the brokers listen, `last_topic` the topic that was made last."""

    def __init__(self, brokers: int = 1) -> None:
        self._library = library = ctypes.CDLL("librdkafka.so.1")
        self._new = _function(library.rd_kafka_new, c_void_p, c_int, c_void_p, c_char_p, c_size_t)
        self._handle = self._new(0, None, None, 0)
        self._cluster = _function(library.rd_kafka_mock_cluster_new, c_void_p, c_void_p, c_int)(self._handle, brokers)
        self._ids = range(1, brokers + 1)
        self.bootstrap = self._call("bootstraps", c_char_p).decode()

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        pairs = (address.rsplit(":", 1) for address in self.bootstrap.split(","))
        return tuple((host, int(port)) for host, port in pairs)

    def topic(self, name: str, partitions: int) -> None:
        self.last_topic = name
        create = _function(self._library.rd_kafka_mock_topic_create, c_int, c_void_p, c_char_p, c_int, c_int)
        assert create(self._cluster, name.encode(), partitions, len(self._ids)) == 0

    def down(self) -> None:
        """Connections end, and new ones are refused."""
        for broker in self._ids:
            _function(self._library.rd_kafka_mock_broker_set_down, c_int, c_void_p, c_int)(self._cluster, broker)

    def up(self) -> None:
        for broker in self._ids:
            _function(self._library.rd_kafka_mock_broker_set_up, c_int, c_void_p, c_int)(self._cluster, broker)

    def fail(self, *errors: int) -> None:
        """The next requests to produce are answered with these errors."""
        push = _function(
            self._library.rd_kafka_mock_push_request_errors_array, None, c_void_p, ctypes.c_int16, c_size_t, c_void_p
        )
        push(self._cluster, PRODUCE, len(errors), (c_int * len(errors))(*errors))

    def read(self, count: int, partitions: int = 1, seconds: float = 20) -> list[Message]:
        """The messages of the last topic: `count` of them and what else comes within a moment."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "test", "log_level": 0})
        consumer.assign([TopicPartition(self.last_topic, number, 0) for number in range(partitions)])
        messages: list[Message] = []
        while message := consumer.poll(0.2 if len(messages) >= count else seconds):
            if message.error() is None:
                headers = dict(message.headers() or [])
                messages.append(Message(message.partition(), message.key(), headers, message.value()))
        consumer.close()
        return messages

    def close(self) -> None:
        _function(self._library.rd_kafka_mock_cluster_destroy, None, c_void_p)(self._cluster)
        _function(self._library.rd_kafka_destroy, None, c_void_p)(self._handle)

    def _call(self, name: str, result: Any) -> Any:
        return _function(getattr(self._library, f"rd_kafka_mock_cluster_{name}"), result, c_void_p)(self._cluster)


def _function(symbol: Any, result: Any, *arguments: Any) -> Callable[..., Any]:
    symbol.restype, symbol.argtypes = result, arguments
    return symbol  # type: ignore[no-any-return]
