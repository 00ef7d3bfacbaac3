"""The gateway as `build` makes it, under its own NATS user on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from gateway_fixtures import SHARDS, House

from parley_gateway.app import build
from parley_gateway.settings import Settings
from parley_mesh import topology
from parley_mesh.bus import Bus
from parley_mesh.health import HealthServer
from parley_mesh.jetstream import NatsBus
from parley_mesh.runner import Mesh
from parley_mesh.settings import MeshSettings
from parley_testkit.nats_server import NatsServer


@pytest.fixture
async def server() -> AsyncIterator[NatsServer]:
    async with NatsServer() as server:
        await topology.apply(await server.connect(), ["billing"], shards=SHARDS)
        yield server


@asynccontextmanager
async def gateway(
    server: NatsServer, settings: Settings | None = None, *, shards: int = SHARDS, owner: Bus | None = None
) -> AsyncIterator[House]:
    """A gateway under its own user; the conversations answer through `owner`, else a scripted one writes."""
    client = await server.connect("gateway")
    mesh_settings = MeshSettings(nats_url=server.url, shards=shards, drain_s=4)
    mesh = Mesh("gateway", mesh_settings, NatsBus(client), client, "gateway-1")
    service = await build(settings or Settings(), mesh)
    http = HealthServer("127.0.0.1", 0, service.ready, service.http, service.notes)
    await http.start()
    await service.start()
    house = House(http, owner or NatsBus(await server.connect("operator")))
    await house.listening()
    try:
        yield house
    finally:
        await service.drain()
        await house.close()
        await service.close()
