"""Deliveries of a shard are counted: whatever is missing makes the owner read the log again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from parley_mesh.memory import MemoryBus
from parley_mesh.shards import Keeper, Shards
from parley_proto import subjects


class Book:
    """Notes what a keeper is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def deliver(self, message: Any) -> None:
        self.told.append(f"deliver {message.metadata.sequence.consumer}")

    def recover(self, stored: Any) -> None:
        self.told.append(f"recover {stored.seq}")

    def forget(self, shard: int) -> None:
        self.told.append("forget")


class AwayClient:
    async def request(self, *_: Any, **__: Any) -> Any:
        raise TimeoutError


class InfoClient:
    """Says of a consumer what the server says."""

    def __init__(self, ack_floor: int, delivered: int) -> None:
        self._info = {"ack_floor": {"stream_seq": ack_floor}, "delivered": {"stream_seq": delivered}}

    async def request(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(data=msgspec.json.encode(self._info))


def delivery(number: int) -> Msg:
    sequence = SimpleNamespace(consumer=number, stream=number)
    return cast(Msg, SimpleNamespace(metadata=SimpleNamespace(sequence=sequence)))


async def test_each_gap_forgets_the_shard_before_the_delivery_that_shows_it() -> None:
    book = Book()
    client = cast(Client, AwayClient())
    shards = Shards(client, MemoryBus(), cast(Keeper, book), "a-1", shards=1, heartbeat_s=1, timeout_s=1)
    for number in (1, 2, 4, 6, 7):
        shards._deliver(0, delivery(number))
    assert book.told == [
        "deliver 1",
        "deliver 2",
        "forget",
        "deliver 4",
        "forget",
        "deliver 6",
        "deliver 7",
    ]


@pytest.mark.parametrize(("floor", "delivered", "read"), [(2, 4, [3, 4]), (4, 4, []), (0, 0, []), (5, 9, [6, 7])])
async def test_what_nobody_was_given_yet_is_left_to_come_as_a_delivery(
    floor: int, delivered: int, read: list[int]
) -> None:
    """Deliveries are bounded by `max_ack_pending`; an outage may have left any number behind them."""
    book, bus = Book(), MemoryBus()
    conversation = next(name for name in (f"c{number:021}" for number in range(999)) if subjects.shard_of(name) == 0)
    for _ in range(7):
        await bus.append(subjects.conv(conversation), b"{}")
    client = cast(Client, InfoClient(floor, delivered))
    shards = Shards(client, bus, cast(Keeper, book), "a-1", shards=1, heartbeat_s=1, timeout_s=1)
    shards._loops[0] = cast(Any, None)
    await shards._recover(0)
    assert book.told == [f"recover {seq}" for seq in read]
