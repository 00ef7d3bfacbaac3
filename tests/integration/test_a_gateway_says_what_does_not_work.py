"""Degraded mode on a real server: who falls silent is named in readiness, `welcome` and an event until it is back."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gateway_fixtures import WAIT_S, Client, House, Run, user
from gateway_on_nats import gateway, server
from nats.aio.msg import Msg

from parley_gateway.domain import thread_conversation
from parley_gateway.settings import Settings
from parley_mesh.pulse import Heart, Pulse
from parley_proto.envelope import decode
from parley_testkit.nats_server import PASSWORD, NatsServer
from parley_testkit.ports import free_port

__all__ = ["server"]
ONLY_RAG = Settings(expects="rag")


@asynccontextmanager
async def heart(server: NatsServer, service: str, said: list[str]) -> AsyncIterator[Heart]:
    """An instance of `service` that says what stands in `said`."""
    found = Heart(await server.connect(service), service, f"{service}-1", lambda: said[0])
    found.start()
    try:
        yield found
    finally:
        await found.stop()


async def ready(house: House) -> tuple[int, dict[str, Any]]:
    async with house.session.get(f"{house.http}/readyz") as reply:
        return reply.status, await reply.json()


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(2 * WAIT_S):
        while not await look():
            await asyncio.sleep(0.05)


async def told(client: Client, parts: Sequence[str]) -> None:
    """The next change that the client hears of names these parts."""
    async with asyncio.timeout(2 * WAIT_S):
        while (await client.until("CUSTOM"))["ev"] != custom(parts):
            continue


def custom(parts: Sequence[str]) -> dict[str, Any]:
    return {"type": "CUSTOM", "name": "parley.degraded", "value": {"parts": list(parts)}}


async def test_a_service_that_falls_silent_is_named_and_forgotten_when_it_is_back(server: NatsServer) -> None:
    said = [""]
    async with gateway(server, ONLY_RAG) as house, heart(server, "rag", said) as rag, house.client() as client:
        assert client.frames[0]["degraded"] == []
        assert await ready(house) == (200, {"status": "ready"})
        await rag.stop()
        await told(client, ["rag"])
        status, body = await ready(house)
        assert status == 200 and body["status"] == "ready"
        assert "has not been heard of" in body["degraded"]["rag"]
        async with house.client() as late:
            assert late.frames[0]["degraded"] == ["rag"]
        # Whoever chats goes on.
        assert (await client.say("Hello"))["type"] == "ack"
        rag.start()
        await told(client, [])
        assert await ready(house) == (200, {"status": "ready"})


async def test_a_reason_that_lasts_is_told_to_operators_and_its_part_to_customers(server: NatsServer) -> None:
    said = [""]
    async with gateway(server, ONLY_RAG) as house, heart(server, "rag", said), house.client() as client:
        said[0] = "The table can't be opened."
        await told(client, ["rag"])
        assert (await ready(house))[1]["degraded"] == {"rag": "The table can't be opened."}
        assert "table" not in str(client.frames)
        said[0] = ""
        await told(client, [])


async def test_a_specialty_is_named_once_it_was_heard_of(server: NatsServer) -> None:
    async with gateway(server, Settings(expects="")) as house, house.client() as client:
        async with heart(server, "billing", ["billing is starting."]):
            await told(client, ["billing"])
        assert (await ready(house))[1]["degraded"]["billing"]


async def test_a_stock_client_is_told_within_its_run(server: NatsServer) -> None:
    async with gateway(server, ONLY_RAG) as house:
        await until(lambda: degraded(house))
        posting = asyncio.create_task(Run(house, [user("Hello")]).post())
        owner = house.owner(thread_conversation("default", "anonymous", "thread-1"))
        await owner.echo()
        async with heart(server, "rag", [""]):
            await until(lambda: well(house))
            await owner.answer("Hello.")
            answer = await posting
        assert [event for event in answer.events if event["type"] == "CUSTOM"] == [custom(["rag"]), custom([])]
        assert answer.events[1] == custom(["rag"])
        assert list(answer.screen.texts().values()) == ["Hello."]


async def degraded(house: House) -> bool:
    return "degraded" in (await ready(house))[1]


async def well(house: House) -> bool:
    return not await degraded(house)


async def test_without_nats_sockets_stay_and_what_is_said_is_refused_soon_and_taken_later(server: NatsServer) -> None:
    async with gateway(server, Settings(expects="")) as house, house.client() as client:
        assert (await client.say("Before", "1"))["type"] == "ack"
        server.kill()
        await told(client, ["nats"])
        refused = await client.say("During", "2")
        assert refused["code"] == "unavailable" and 750 <= refused["retryAfterMs"] <= 1500
        began = asyncio.get_running_loop().time()
        refused = await client.say("During", "2")
        assert refused["code"] == "unavailable"
        assert asyncio.get_running_loop().time() - began < 2, "once it is known, nobody is kept waiting"
        server.start()
        await told(client, [])
        async with asyncio.timeout(3 * WAIT_S):
            while (await client.say("During", "2"))["type"] != "ack":
                await asyncio.sleep(0.1)
        owner = house.owner(client.thread)
        assert [entry.text for _, entry in await owner.wait_for(2)] == ["Before", "During"]
        await owner.echo(1)
        await owner.answer("Welcome back.")
        while "Welcome back." not in client.screen.texts().values():
            await client.next()


async def test_a_process_says_that_it_is_ready_and_at_once_that_it_drains(server: NatsServer) -> None:
    pulses: asyncio.Queue[Pulse] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        pulses.put_nowait(decode(message.data, Pulse))

    operator = await server.connect()
    await operator.subscribe("mesh.health.gateway", cb=hear)
    environment = os.environ | {
        "PARLEY_MESH_NATS_URL": server.url,
        "PARLEY_MESH_NATS_USER": "gateway",
        "PARLEY_MESH_NATS_PASSWORD": PASSWORD,
        "PARLEY_MESH_INSTANCE": "gateway-7",
        "PARLEY_GATEWAY_PORT": str(free_port()),
        "PARLEY_CONFIG": "/nonexistent",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "parley_gateway", env=environment)
    try:
        async with asyncio.timeout(3 * WAIT_S):
            while await pulses.get() != Pulse("gateway-7"):
                continue
            process.terminate()
            while await pulses.get() != Pulse("gateway-7", "gateway is draining."):
                continue
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("user_name", ["billing", "rag"])
async def test_a_service_speaks_only_for_itself(server: NatsServer, user_name: str) -> None:
    client = await server.connect(user_name)
    await client.publish("mesh.health.archiver", b'{"instance": "forged"}')
    await until(lambda: denied(server, user_name))


async def denied(server: NatsServer, user_name: str) -> bool:
    return 'Publish Violation - Subject "mesh.health.archiver"' in server.log() and f"user:{user_name}" in server.log()
