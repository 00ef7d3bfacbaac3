from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import asyncpg
import pytest
from backoffice_company import TOKEN, Clock, Company, until

from parley_testkit.ports import free_port

pytest_plugins = ("backoffice_fixtures",)


async def started(**environ: str) -> asyncio.subprocess.Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "parley_backoffice", env=inherited | environ, stderr=asyncio.subprocess.PIPE
    )  # fmt: skip


@asynccontextmanager
async def running(url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Company]]:
    port = free_port()
    process = await started(
        PARLEY_DATABASE_URL=url,
        PARLEY_BACKOFFICE_PORT=str(port),
        PARLEY_BACKOFFICE_TOKEN=TOKEN,
        PARLEY_BACKOFFICE_LOCK_WAIT="60",
        PARLEY_BACKOFFICE_REQUEST_TIMEOUT="60",
        PARLEY_BACKOFFICE_STATEMENT_TIMEOUT="60",
        PARLEY_BACKOFFICE_DRAIN="60",
    )
    try:
        async with aiohttp.ClientSession() as http:
            company = Company(f"http://127.0.0.1:{port}", url, Clock(), http)
            await until(lambda: listening(port))
            yield process, company
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        # Refused, or reset in the moment in which it closes.
        return False
    writer.close()
    return True


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, "PARLEY_DATABASE_URL"),
        ({"PARLEY_DATABASE_URL": "postgresql://x"}, "PARLEY_BACKOFFICE_TOKEN"),
        (
            {"PARLEY_DATABASE_URL": "postgresql://x", "PARLEY_BACKOFFICE_TOKEN": TOKEN, "PARLEY_BACKOFFICE_PORT": "x"},
            "PARLEY_BACKOFFICE_PORT",
        ),
    ],
)
async def test_a_wrong_setting_is_one_sentence_and_exit_code_2(environ: dict[str, str], named: str) -> None:
    process = await started(**environ)
    _, told = await process.communicate()
    assert process.returncode == 2
    assert told.decode().startswith(f"{named} must be ")
    assert told.decode().count("\n") == 1


async def test_a_port_in_use_is_one_sentence_and_exit_code_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await started(
            PARLEY_DATABASE_URL="postgresql://x", PARLEY_BACKOFFICE_TOKEN=TOKEN, PARLEY_BACKOFFICE_PORT=str(port)
        )
        _, told = await process.communicate()
    assert process.returncode == 2
    assert told.decode().startswith(f"The back office can't listen on 127.0.0.1:{port} (Address already in use); ")
    assert told.decode().count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_on_a_signal_with_exit_code_0(backoffice_database: str, number: signal.Signals) -> None:
    async with running(backoffice_database) as (process, company):
        await company.ready()
        process.send_signal(number)
        _, told = await process.communicate()
        assert process.returncode == 0
        assert "Traceback" not in told.decode()


async def test_what_is_running_at_sigterm_is_finished(backoffice_database: str) -> None:
    async with running(backoffice_database) as (process, company):
        await company.ready()
        order = (await company.get("cus_0003/orders")).body["items"][0]["order_id"]
        connection = await asyncpg.connect(backoffice_database)
        lock = connection.transaction()
        await lock.start()
        await connection.execute("SELECT 1 FROM backoffice.orders WHERE order_id = $1 FOR UPDATE", order)
        call = asyncio.create_task(company.post(f"cus_0003/orders/{order}/cancel"))

        async def waiting() -> bool:
            return bool(await company.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))

        async def closed() -> bool:
            return not await listening(int(company.address.rpartition(":")[2]))

        await until(waiting)
        process.send_signal(signal.SIGTERM)
        await until(closed)
        assert not call.done()
        await lock.rollback()
        assert (await call).status == 200
        await connection.close()
        await process.communicate()
        assert process.returncode == 0


async def test_without_a_database_sigterm_still_ends_it() -> None:
    async with running("postgresql://postgres@127.0.0.1:1/nothing") as (process, company):
        assert (await company.get("/livez")).status == 200
        process.send_signal(signal.SIGTERM)
        await process.communicate()
        assert process.returncode == 0
