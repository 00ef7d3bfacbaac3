"""One queue and one task for all listeners of a connection: none of them costs the others anything."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from parley_mesh.jetstream import NatsBus
from parley_testkit.nats_server import NatsServer

COUNT = 500


async def test_each_of_many_hears_its_own_in_order_and_one_that_fails_hears_the_next() -> None:
    heard: dict[str, list[bytes]] = defaultdict(list)
    all_there = asyncio.Event()

    async def listen(subject: str, data: bytes, headers: dict[str, str]) -> None:
        heard[subject].append(data)
        if sum(map(len, heard.values())) == 2 * COUNT:
            all_there.set()
        if subject == "live.c0":
            raise RuntimeError("this one always fails")

    async with NatsServer() as server:
        client = await server.connect()
        bus, before = NatsBus(client), len(asyncio.all_tasks())
        for number in range(COUNT):
            await bus.listen(f"live.c{number}", listen)
        assert len(asyncio.all_tasks()) == before + 1
        for data in (b"first", b"second"):
            for number in range(COUNT):
                await bus.publish(f"live.c{number}", data)
        async with asyncio.timeout(20):
            await all_there.wait()
        assert set(map(tuple, heard.values())) == {(b"first", b"second")}
        # What was heard no longer counts as waiting: else the client would drop messages one day.
        assert not any(subscription.pending_bytes for subscription in client._subs.values())


async def test_who_has_closed_hears_nothing_more() -> None:
    heard: list[bytes] = []
    last = asyncio.Event()

    async def listen(subject: str, data: bytes, headers: dict[str, str]) -> None:
        heard.append(data)

    async def end(subject: str, data: bytes, headers: dict[str, str]) -> None:
        last.set()

    async with NatsServer() as server:
        client = await server.connect()
        bus = NatsBus(client)
        first = await bus.listen("live.c1", listen)
        await bus.listen("live.c2", end)
        await first.close()
        await first.close()
        await bus.publish("live.c1", b"late")
        await bus.publish("live.c2", b"end")
        async with asyncio.timeout(20):
            await last.wait()
        assert heard == []
