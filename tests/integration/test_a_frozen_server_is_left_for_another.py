"""A server that takes nothing more and closes nothing, while its client has much to send."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import psutil
import pytest
from nats.aio.client import Client

from parley_mesh.connection import connect
from parley_mesh.settings import MeshSettings
from parley_testkit.nats_server import PASSWORD, NatsServer

needs_linux = pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux ends such a connection")


@pytest.fixture
async def pair() -> AsyncIterator[tuple[NatsServer, NatsServer]]:
    async with NatsServer() as first, NatsServer() as second:
        await asyncio.gather(first.connect(), second.connect())
        yield first, second


def server_at(port: int) -> psutil.Process:
    listening = (c for c in psutil.net_connections("tcp") if c.laddr.port == port and c.status == psutil.CONN_LISTEN)
    return psutil.Process(next(listening).pid)


def port_of(client: Client) -> int:
    """Where the client is connected; 0 while it is not."""
    url = client.connected_url if client.is_connected else None
    return url.port or 0 if url else 0


async def send(client: Client, kilobytes: int) -> None:
    for _ in range(kilobytes):
        await client.publish("anything", bytes(1024))


@needs_linux
@pytest.mark.parametrize("megabytes", [0, 24])
async def test_its_client_goes_to_another_server(pair: tuple[NatsServer, NatsServer], megabytes: int) -> None:
    both = MeshSettings(nats_url=",".join(s.url for s in pair), nats_user="operator", nats_password=PASSWORD)
    client = await connect(both, "operator")
    first = port_of(client)
    frozen = server_at(first)
    frozen.suspend()
    sending = asyncio.create_task(send(client, megabytes * 1024))
    try:
        async with asyncio.timeout(30):
            while port_of(client) in (0, first):
                await asyncio.sleep(0.05)
    finally:
        sending.cancel()
        frozen.resume()
        await asyncio.gather(sending, client.close(), return_exceptions=True)
