"""Parley's own consumers on either server: a work queue with its middleware, and the shards of two instances."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from nats.aio.msg import Msg
from places import Place, delivered, durable, place, until

from parley_mesh import topology
from parley_mesh.bus import Stored
from parley_mesh.jetstream import NatsBus
from parley_mesh.middleware import compose
from parley_mesh.middleware.acknowledge import acknowledge
from parley_mesh.pull import PullLoop
from parley_mesh.shards import Shards
from parley_mesh.wire import Wire
from parley_mesh.work import Delivery, WorkQueue
from parley_proto import subjects
from parley_proto.errors import TransientError

SHARDS = 2
MANY = 300


@pytest.fixture(params=["memory by itself", "nats"])
async def where(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with place(request.param) as found:
        yield found


class Book:
    """A keeper that acknowledges at once and notes what it was told."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def deliver(self, message: Msg) -> None:
        self.seen.append(message.data.decode())

    def recover(self, stored: Stored) -> None:
        self.seen.append(stored.data.decode())

    def forget(self, shard: int) -> None:
        self.seen.append("forget")


async def test_work_that_fails_in_passing_is_done_by_whoever_has_a_slot(where: Place) -> None:
    await topology.apply(where.wire, ["billing"], shards=SHARDS)
    tried: list[tuple[str, int]] = []

    async def handle(delivery: Delivery) -> None:
        tried.append((delivery.data.decode(), delivery.attempt))
        if delivery.attempt == 1 and delivery.data == b"b":
            raise TransientError("not now")

    durable = topology.turn_consumer("billing", subjects.TRACK, "normal")
    queues = [
        WorkQueue(await where.connect(), subjects.STREAM, durable, compose(handle, [acknowledge()]), slots=lambda: 1)
        for _ in range(2)
    ]
    for queue in queues:
        await queue.start()
    for text in "abc":
        await where.bus.append(subjects.turn("billing"), text.encode())
    await until(where, lambda: len(tried) == 4)
    assert sorted(tried) == [("a", 1), ("b", 1), ("b", 2), ("c", 1)]
    for queue in queues:
        await queue.drain(1)


async def test_a_queue_knows_how_much_waits_behind_what_it_works_on(where: Place) -> None:
    await topology.apply(where.wire, ["billing"], shards=SHARDS)
    waiting: dict[str, int] = {}

    async def handle(delivery: Delivery) -> None:
        waiting[delivery.data.decode()] = queue.waiting

    durable = topology.turn_consumer("billing", subjects.TRACK, "normal")
    for text in "abc":
        await where.bus.append(subjects.turn("billing"), text.encode())
    handler = compose(handle, [acknowledge()])
    queue = WorkQueue(await where.connect(), subjects.STREAM, durable, handler, slots=lambda: 1)
    await queue.start()
    await until(where, lambda: len(waiting) == 3)
    assert waiting == {"a": 2, "b": 1, "c": 0}
    await where.bus.append(subjects.turn("billing"), b"d")
    await until(where, lambda: len(waiting) == 4 and not queue.in_flight)
    assert queue.waiting == 0
    await queue.drain(1)


async def test_whoever_stops_in_the_midst_has_handled_all_that_it_was_given(where: Place, cid: str) -> None:
    await durable(where, "work", "out.*", ack_wait=30_000_000_000)
    for number in range(MANY):
        await where.bus.append(subjects.out(cid), str(number).encode())
    heard: list[Msg] = []
    loop = PullLoop(await where.connect(), subjects.STREAM, "work", heard.append, room=lambda: MANY, expires_s=30)
    await loop.start()
    await until(where, lambda: len(heard) > 0)
    await loop.stop()
    handled = len(heard)
    # What comes now was given to nobody.
    await where.bus.append(subjects.out(cid), b"late")
    await where.pass_time(0.5)
    assert await delivered(where, "work") == handled == len(heard)


async def test_shards_move_to_who_is_left(where: Place, cid: str) -> None:
    await topology.apply(where.wire, [], shards=SHARDS)
    books = [Book(), Book()]
    instances = [_instance(await where.connect(), book, f"i-{n}") for n, book in enumerate(books)]
    for instance in instances:
        await instance.start()
    await until(where, lambda: [len(instance.owned) for instance in instances] == [1, 1], within_s=10)
    await where.bus.append(subjects.conv(cid, SHARDS), b"first")
    await until(where, lambda: sum("first" in book.seen for book in books) == 1)
    owner = 0 if "first" in books[0].seen else 1
    await instances[owner].stop()
    await until(where, lambda: "first" in books[1 - owner].seen, within_s=10)
    assert len(instances[1 - owner].owned) == SHARDS
    await instances[1 - owner].stop()


def _instance(wire: Wire, book: Book, name: str) -> Shards:
    bus = NatsBus(wire)  # type: ignore[arg-type]
    return Shards(wire, bus, book, name, shards=SHARDS, heartbeat_s=0.1, timeout_s=0.5)
