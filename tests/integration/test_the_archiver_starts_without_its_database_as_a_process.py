from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from archiver_log import CANARY, all_settled, publish, talk
from archiver_servers import MASTER, archived, crash, until
from nats.aio.client import Client

from parley_testkit.nats_server import NatsServer
from parley_testkit.postgres import Postgres

pytest_plugins = ("archiver_fixtures",)


class Process:
    """The archiver as the supervisor starts it; `port` is where it answers for its health."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []
        self.port = 0
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stderr
        while line := (await self._process.stderr.readline()).decode():
            self.lines.append(line)
            if '"event":"serving"' in line:
                self.port = json.loads(line)["port"]

    async def health(self) -> tuple[int, str]:
        if not self.port:
            return 0, ""
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{self.port}/readyz") as reply:
            return reply.status, (await reply.json()).get("reason", "")

    async def metrics(self) -> str:
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{self.port}/metrics") as reply:
            return await reply.text()

    async def end(self) -> int:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        await self._reading
        return await self._process.wait()


@asynccontextmanager
async def started(environ: dict[str, str]) -> AsyncIterator[Process]:
    command = [sys.executable, "-m", "parley_archiver"]
    env = os.environ | environ
    child = await asyncio.create_subprocess_exec(*command, env=env, stderr=asyncio.subprocess.PIPE)
    process = Process(child)
    try:
        yield process
    finally:
        await process.end()


def environ(archive_log: NatsServer, database_url: str) -> dict[str, str]:
    return {
        "PARLEY_MESH_NATS_URL": archive_log.url,
        "PARLEY_MESH_NATS_USER": "archiver",
        "PARLEY_MESH_NATS_PASSWORD": archive_log.settings().nats_password,
        "PARLEY_ARCHIVER_DATABASE_URL": database_url,
        "PARLEY_ARCHIVER_MASTER_KEY": MASTER,
    }


async def test_it_lives_without_postgres_says_why_and_catches_up(
    archive_log: NatsServer, archive_operator: Client, archive_own_cluster: Postgres
) -> None:
    url = archive_own_cluster.url()
    await asyncio.to_thread(crash, archive_own_cluster)
    await publish(archive_operator, talk(1))
    async with started(environ(archive_log, url)) as process:

        async def explains() -> bool:
            status, reason = await process.health()
            return status == 503 and "PostgreSQL can't be reached" in reason

        await until(explains)
        await archive_own_cluster.start()
        await until(lambda: all_settled(archive_operator))

        async def is_ready() -> bool:
            return (await process.health())[0] == 200

        await until(is_ready)
        assert "parley_archiver_rows_total 10.0" in await process.metrics()
        assert await process.end() == 0
        assert CANARY not in "".join(process.lines)
    assert await archived(url) == 10


async def test_without_a_master_key_it_ends_with_a_sentence(archive_log: NatsServer) -> None:
    without = environ(archive_log, "postgresql://postgres@127.0.0.1:1/nothing") | {"PARLEY_ARCHIVER_MASTER_KEY": ""}
    async with started(without) as process:
        assert await process.ended() == 2
    assert "The archiver has no master key: set PARLEY_ARCHIVER_MASTER_KEY_FILE" in process.lines[-1]
