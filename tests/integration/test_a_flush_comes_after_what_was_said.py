"""A flush is the word that what was said before it has arrived; nats-py's own overtakes what waits in its buffer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.msg import Msg

from parley_mesh.connection import connect
from parley_mesh.settings import MeshSettings

INFO = b'INFO {"server_id":"S","version":"2.15.1","proto":1,"headers":true,"max_payload":1048576}\r\n'


@asynccontextmanager
async def server_that_writes_down(heard: list[bytes]) -> AsyncIterator[str]:
    """Its address; `heard` are the first words of the lines that it was sent, in their order."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        while line := await reader.readline():
            heard.append(line.split()[0])
            if heard[-1] == b"PING":
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def ignore(_message: Msg) -> None:
    """Nothing is ever sent to it."""


async def test_a_subscription_is_there_when_the_flush_after_it_returns() -> None:
    heard: list[bytes] = []
    async with server_that_writes_down(heard) as url:
        client = await connect(MeshSettings(nats_url=url, nats_user="x", nats_password="x"), "x")
        connected = len(heard)
        await client.subscribe("a", cb=ignore)
        await client.subscribe("b", cb=ignore)
        await client.flush()
        assert heard[connected:] == [b"SUB", b"SUB", b"PING"]
        await client.close()
