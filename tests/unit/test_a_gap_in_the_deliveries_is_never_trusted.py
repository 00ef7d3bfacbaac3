"""Deliveries of a shard are counted: whatever is missing makes the owner read the log again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from nats.aio.client import Client
from nats.aio.msg import Msg

from parley_mesh.memory import MemoryBus
from parley_mesh.shards import Keeper, Shards


class Book:
    """Notes what a keeper is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def deliver(self, message: Any) -> None:
        self.told.append(f"deliver {message.metadata.sequence.consumer}")

    def recover(self, stored: Any) -> None:
        self.told.append("recover")

    def forget(self, shard: int) -> None:
        self.told.append("forget")


class AwayClient:
    async def request(self, *_: Any, **__: Any) -> Any:
        raise TimeoutError


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
