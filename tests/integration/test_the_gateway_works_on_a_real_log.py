"""The gateway as it is built for a deployment: its own NATS user, a real log, faults of the server, a real process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from gateway_fixtures import SHARDS, WAIT_S, Client, Owner, Run, user
from gateway_on_nats import gateway, server
from websockets.asyncio.client import connect

from parley_gateway.domain import thread_conversation
from parley_gateway.settings import Settings
from parley_mesh.jetstream import NatsBus
from parley_testkit.nats_server import PASSWORD, NatsServer
from parley_testkit.ports import free_port

__all__ = ["server"]


async def test_a_message_and_its_answer_go_through_a_real_log(server: NatsServer) -> None:
    async with gateway(server) as house, house.client() as client:
        first = await client.say("I was charged twice")
        again = await client.say("I was charged twice")
        assert (again["duplicate"], again["seq"]) == (True, first["seq"])
        assert (await client.say("Something else"))["code"] == "id_reused"
        owner = house.owner(client.thread)
        await owner.echo()
        turn = "t" + "1" * 32
        await client.until("STATE_DELTA")
        await owner.stream(turn, "It was ", "charged ")
        await client.until("TEXT_MESSAGE_CONTENT")
        await owner.answer("It was charged twice.", turn)
        await client.until("RUN_FINISHED")
        assert list(client.screen.texts().values()) == ["It was charged twice."]
        async with house.client(client.thread) as again_here:
            await again_here.until("RUN_FINISHED")
            assert again_here.screen.texts() == client.screen.texts()


async def test_a_stock_client_is_answered_from_a_real_log(server: NatsServer) -> None:
    async with gateway(server) as house:
        posting = asyncio.create_task(Run(house, [user("Hello")]).post())
        owner = house.owner(thread_conversation("default", "anonymous", "thread-1"))
        await owner.echo()
        await owner.answer("Hello.")
        assert list((await posting).screen.texts().values()) == ["Hello."]


async def test_another_instance_takes_the_conversation_up(server: NatsServer) -> None:
    shared = Settings(ticket_secret="one secret for all instances, long enough")
    async with gateway(server, shared) as one, gateway(server, shared) as two, one.client() as client:
        await client.say("Hello")
        owner = one.owner(client.thread)
        await owner.echo()
        ticket = await one.ticket()
        async with connect(two.ws, proxy=None) as socket:
            elsewhere = Client(socket)
            await elsewhere.hello(ticket, client.thread)
            await owner.answer("Hello.")
            for reader in (client, elsewhere):
                await reader.until("RUN_FINISHED")
            assert client.screen.messages == elsewhere.screen.messages


async def test_a_broadcast_reaches_open_conversations(server: NatsServer) -> None:
    async with gateway(server) as house, house.client() as client:
        operator = await server.connect()
        await operator.jetstream().publish("broadcast.outage", b'{"text": "Card payments are down."}')
        shown = await client.until("ACTIVITY_SNAPSHOT")
        assert shown["ev"]["content"]["text"] == "Card payments are down."
        async with house.client() as late:
            await late.until("ACTIVITY_SNAPSHOT")


async def test_a_message_is_taken_as_soon_as_the_server_is_back(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_gateway.adapters.LOST_S", 30.0)
    async with gateway(server) as house, house.client() as client:
        await client.say("Before", "1")
        server.kill()
        await client.send({"type": "message.send", "id": "2", "content": "During"})
        await client.send({"type": "ping"})
        assert (await client.until("pong"))["type"] == "pong"
        server.start()
        async with asyncio.timeout(3 * WAIT_S):
            while (ack := json.loads(await client.socket.recv()))["type"] != "ack":
                continue
        assert ack["id"] == "2"
        owner = Owner(NatsBus(await server.connect()), client.thread)
        assert [entry.text for _, entry in await owner.wait_for(2)] == ["Before", "During"]
        await owner.echo(1)
        await owner.answer("Welcome back.")
        await client.until("RUN_FINISHED")
        assert list(client.screen.texts().values()) == ["Welcome back."]


async def test_the_process_serves_and_leaves_in_order(server: NatsServer) -> None:
    port = free_port()
    environment = os.environ | {
        "PARLEY_MESH_NATS_URL": server.url,
        "PARLEY_MESH_NATS_USER": "gateway",
        "PARLEY_MESH_NATS_PASSWORD": PASSWORD,
        "PARLEY_MESH_SHARDS": str(SHARDS),
        "PARLEY_MESH_DRAIN_S": "4",
        "PARLEY_GATEWAY_PORT": str(port),
        "PARLEY_CONFIG": "/nonexistent",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "parley_gateway", env=environment)
    try:
        async with connected(f"ws://127.0.0.1:{port}/v1/ws", port) as client:
            assert (await client.say("Hello"))["type"] == "ack"
            process.send_signal(signal.SIGTERM)
            await client.until("going_away")
            assert await client.closed() == 1012
        assert await asyncio.wait_for(process.wait(), 3 * WAIT_S) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_wrong_settings_are_said_in_one_sentence() -> None:
    environment = os.environ | {"PARLEY_GATEWAY_AUTH": "jwt", "PARLEY_MESH_NATS_URL": "nats://127.0.0.1:1"}
    environment |= {"PARLEY_GATEWAY_PORT": "http", "PARLEY_CONFIG": "/nonexistent"}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "parley_gateway"], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"PARLEY_GATEWAY_PORT" in done.stderr
    assert b"Traceback" not in done.stderr


@asynccontextmanager
async def connected(url: str, port: int) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session, asyncio.timeout(3 * WAIT_S):
        while True:
            try:
                async with session.post(f"http://127.0.0.1:{port}/v1/tickets") as reply:
                    ticket = (await reply.json())["ticket"]
                    break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
    async with connect(url, proxy=None) as socket:
        client = Client(socket)
        await client.hello(ticket)
        yield client
