"""Broadcasts on a real server: late joiners, restarts of the server, expiry, nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from parley_mesh import topology
from parley_mesh.notices import NoticeBoard
from parley_proto.broadcast import Notice
from parley_testkit.nats_server import NatsServer


@pytest.fixture
async def server() -> AsyncIterator[NatsServer]:
    async with NatsServer() as server:
        await topology.apply(await server.connect(), ["billing"], shards=2)
        yield server


async def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


async def publish(server: NatsServer, body: bytes, topic: str = "outage") -> None:
    client = await server.connect()
    await client.jetstream().publish(f"broadcast.{topic}", body)


def texts(board: NoticeBoard, specialty: str = "") -> list[str]:
    return [notice.text for notice in board.in_force(specialty)]


async def test_who_joins_late_sees_what_was_said_before_and_who_is_there_hears_it_at_once(server: NatsServer) -> None:
    heard: list[Notice] = []
    early = NoticeBoard(await server.connect("billing"), heard.append)
    await early.open()
    await publish(server, b"Card payments are down")
    await until(lambda: bool(heard))
    late = NoticeBoard(await server.connect("technical"))
    await late.open()
    await until(lambda: texts(late) == ["Card payments are down"])
    await early.close()
    await late.close()


async def test_a_notice_expires_and_keeps_to_its_scope(server: NatsServer) -> None:
    board = NoticeBoard(await server.connect("billing"))
    await board.open()
    await publish(server, b'{"text": "for billing", "scope": "billing", "severity": "critical"}')
    await publish(server, b'{"text": "soon over", "ttl_s": 5}')
    await until(lambda: texts(board, "billing") == ["for billing", "soon over"])
    assert texts(board, "returns") in (["soon over"], [])
    await until(lambda: texts(board, "billing") == ["for billing"])
    await board.close()


ENDLESS = b'{"text": "x", "ttl_s": 1' + b"0" * 4000 + b"}"


@pytest.mark.parametrize("body", [b"", b"   ", b"\xff\xfe", b'{"txt": 1}', ENDLESS, b"x" * 3000])
async def test_nonsense_is_refused_and_the_next_notice_still_arrives(server: NatsServer, body: bytes) -> None:
    board = NoticeBoard(await server.connect("billing"))
    await board.open()
    await publish(server, body)
    await publish(server, b"fine")
    await until(lambda: bool(texts(board)))
    assert texts(board) == ["fine"]
    await board.close()


async def test_a_server_that_is_killed_costs_no_notice(server: NatsServer) -> None:
    board = NoticeBoard(await server.connect("billing"))
    await board.open()
    await publish(server, b"before")
    await until(lambda: texts(board) == ["before"])
    server.kill()
    server.start()
    await publish(server, b"after")
    await until(lambda: texts(board) == ["before", "after"], 20)
    await board.close()
