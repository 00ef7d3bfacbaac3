"""The fixtures of the archiver's tests: a log and a database of its own for each."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from archiver_servers import Postgres
from nats.aio.client import Client

from parley_mesh import topology
from parley_testkit.nats_server import NatsServer


@pytest.fixture(scope="session")
def archive_server() -> Iterator[Postgres]:
    """A PostgreSQL server that stays up; tests make databases of their own in it."""
    postgres = Postgres()
    yield postgres
    postgres.end()


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL server that this test alone may kill."""
    postgres = Postgres()
    yield postgres
    postgres.end()


@pytest.fixture
async def database(archive_server: Postgres) -> AsyncIterator[str]:
    """The address of an empty database, as its superuser."""
    name = f"archive_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(archive_server.url())
    await connection.execute(f"CREATE DATABASE {name}")
    yield archive_server.url(name)
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


@pytest.fixture
async def nats_server() -> AsyncIterator[NatsServer]:
    """A log with the mesh's own users, streams and consumers."""
    async with NatsServer() as server:
        await topology.apply(await server.connect(), ["billing"], shards=4)
        yield server


@pytest.fixture
async def operator(nats_server: NatsServer) -> Client:
    return await nats_server.connect()
