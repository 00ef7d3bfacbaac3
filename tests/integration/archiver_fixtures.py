"""The fixtures of the archiver's tests: a log and a database of its own for each."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from archiver_servers import administer
from nats.aio.client import Client

from parley_mesh import topology
from parley_testkit.nats_server import NatsServer
from parley_testkit.postgres import Postgres


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def archive_cluster() -> AsyncIterator[Postgres]:
    """A PostgreSQL server that stays up; tests make databases of their own in it."""
    async with Postgres() as server:
        yield server


@pytest.fixture
async def archive_database(archive_cluster: Postgres) -> AsyncIterator[str]:
    """The address of an empty database, as its superuser."""
    name = f"archive_{uuid.uuid4().hex}"
    await administer(archive_cluster.url(), f"CREATE DATABASE {name}")
    yield archive_cluster.url().replace("/parley", f"/{name}")
    await administer(archive_cluster.url(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def archive_own_cluster() -> AsyncIterator[Postgres]:
    """A PostgreSQL server that this test alone may kill, or give roles of its own."""
    async with Postgres(["archiver"]) as server:
        yield server


@pytest.fixture
async def archive_log(nats_server: NatsServer) -> NatsServer:
    """A log with the mesh's own users, streams and consumers."""
    await topology.apply(await nats_server.connect(), ["billing"], shards=4)
    return nats_server


@pytest.fixture
async def archive_operator(archive_log: NatsServer) -> Client:
    return await archive_log.connect()
