"""A log and a database of our own for the archiver's tests, and the archiver as the runner would hold it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import psutil
from nats.aio.client import Client

from parley_archiver.app import build
from parley_archiver.settings import Settings
from parley_mesh.connection import connect
from parley_mesh.endpoints import announce
from parley_mesh.jetstream import NatsBus
from parley_mesh.runner import Mesh, Service
from parley_testkit.nats_server import NatsServer
from parley_testkit.postgres import Postgres
from parley_testkit.processes import kill_family

MASTER = base64.b64encode(b"for tests only, 32 bytes exactly").decode()


@asynccontextmanager
async def client_of(server: NatsServer, user: str) -> AsyncIterator[Client]:
    client = await connect(server.settings(user), user)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def archiving(server: NatsServer, database_url: str, **different: Any) -> AsyncIterator[Service]:
    """The archiver with its own identity on NATS, from start to drained and closed."""
    values = {"database_url": database_url, "master_key": MASTER} | different
    async with client_of(server, "archiver") as client:
        mesh = Mesh("archiver", server.settings("archiver"), NatsBus(client), client, "archiver-test")
        service = await build(Settings(**values), mesh)
        micro = await announce(mesh, service, 0)
        # A request on another connection must not overtake the subscription that answers it.
        await client.flush()
        await service.start()
        try:
            yield service
        finally:
            await micro.stop()
            await service.drain()
            await service.close()


def crash(server: Postgres) -> None:
    """SIGKILL for all of its processes."""
    postmaster = psutil.Process(int((server.cluster.folder / "postmaster.pid").read_text().split()[0]))
    kill_family(postmaster)
    server.stop()


async def rows(url: str, query: str, *values: object) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query, *values))
    finally:
        await connection.close()


async def administer(url: str, *statements: str) -> None:
    """Run the statements of an administrator, in one session."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def archived(url: str) -> int:
    """How many messages the archive holds; 0 while there is no archive or no database."""
    try:
        return int((await rows(url, "SELECT count(*) FROM archive.messages"))[0][0])
    except (asyncpg.PostgresError, OSError):
        return 0


async def says(service: Service, part: str) -> None:
    """Wait until the service is not ready for a reason with `part` in it; '' for ready."""

    async def told() -> bool:
        reason = service.ready()
        return part in reason if part else not reason

    await until(told)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 150) -> None:
    """Wait for a condition; fails where it does not come true in time."""
    async with asyncio.timeout(seconds):
        true = await condition()
        while not true:
            await asyncio.sleep(0.02)
            true = await condition()
