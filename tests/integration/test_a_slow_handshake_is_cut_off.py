"""Who takes its time over a request's head or body, or sends one without an end, is cut off; nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from gateway_fixtures import WAIT_S, House, house

from parley_gateway import http
from parley_mesh import head

__all__ = ["house"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "HEAD_S", 0.5)
    monkeypatch.setattr(http, "BODY_S", 0.5)


class Peer:
    """A TCP connection that sends what it is told, as slowly as it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def drip(self, pieces: AsyncIterator[bytes]) -> None:
        async for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def answer(self) -> bytes:
        """All that comes until the other side closes."""
        async with asyncio.timeout(WAIT_S):
            return await self.reader.read()


async def peer(house: House) -> Peer:
    return Peer(*await asyncio.open_connection("127.0.0.1", house.server.port))


async def bytes_of(text: bytes, every_s: float) -> AsyncIterator[bytes]:
    for byte in text:
        yield bytes([byte])
        await asyncio.sleep(every_s)


async def test_a_handshake_byte_by_byte_is_cut_off(house: House) -> None:
    slow = await peer(house)
    dripping = asyncio.create_task(
        slow.drip(bytes_of(b"GET /v1/ws HTTP/1.1\r\nHost: a\r\nUpgrade: " + b"x" * 500, 0.02))
    )
    assert b" 408 " in await slow.answer()
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    async with house.client() as client:
        assert (await client.say("Hello"))["type"] == "ack"


async def test_a_connection_that_says_nothing_is_cut_off(house: House) -> None:
    assert b" 408 " in await (await peer(house)).answer()


async def test_a_second_request_of_a_connection_has_no_more_time_than_the_first(house: House) -> None:
    twice = await peer(house)
    twice.writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b" 200 " in await twice.reader.readuntil(b"\r\n\r\n")
    twice.writer.write(b"GET /livez HTT")
    assert b" 408 " in await twice.answer()


async def test_headers_without_an_end_are_refused_before_they_fill_the_memory(house: House) -> None:
    endless = await peer(house)
    endless.writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X-Filler: 1234567890\r\n" * 4000)
    assert b" 431 " in await endless.answer()


async def test_a_body_that_does_not_come_is_refused(house: House) -> None:
    lazy = await peer(house)
    lazy.writer.write(b"POST /v1/agui HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{")
    assert b" 408 " in await lazy.answer()


async def test_a_socket_that_has_shaken_hands_in_time_stays(house: House) -> None:
    async with house.client() as client:
        await asyncio.sleep(1.0)
        assert (await client.say("Hello"))["type"] == "ack"
