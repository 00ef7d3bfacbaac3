"""The customer cancels on the socket, and the provider's own socket is closed."""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec
import websockets

from parley_testkit import fake_provider as play
from parley_testkit.fake_provider import MODEL, FakeProvider
from parley_testkit.mesh import RunningMesh


async def test_a_cancelled_run_stops_the_provider() -> None:
    async with FakeProvider() as provider:
        provider.play(play.stalled_after("Once upon a time"))
        environ = {"PARLEY_LLM_GATEWAY_BASE_URL": provider.url, "PARLEY_LLM_GATEWAY_MODEL": MODEL}
        mesh = RunningMesh(environ=environ)
        try:
            await asyncio.to_thread(mesh.start)
            await _cancel_once_it_runs(mesh.url, provider)
        finally:
            await asyncio.to_thread(mesh.end)


async def _cancel_once_it_runs(url: str, provider: FakeProvider) -> None:
    async with aiohttp.ClientSession() as session, session.post(f"{url}/v1/tickets") as reply:
        ticket = (await reply.json())["ticket"]
    async with websockets.connect(url.replace("http", "ws") + "/v1/ws") as socket:
        await _send(socket, {"type": "hello", "ticket": ticket, "since": 0})
        await _send(socket, {"type": "message.send", "id": "m-1", "content": "I was charged twice for my last order"})
        await provider.until(lambda: provider.opened == 1, 30)
        loop = asyncio.get_running_loop()
        start = loop.time()
        await _send(socket, {"type": "run.cancel"})
        await provider.until(lambda: provider.cancelled == 1, 5)
        print(f"from the customer's cancel to the provider's closed socket: {1000 * (loop.time() - start):.0f} ms")
        await _until_ended(socket)
        assert provider.opened == 1


async def _until_ended(socket: websockets.ClientConnection) -> None:
    async with asyncio.timeout(10):
        async for frame in socket:
            body = msgspec.json.decode(frame)
            if body.get("ev", {}).get("type") == "RUN_FINISHED":
                return


async def _send(socket: websockets.ClientConnection, body: dict[str, object]) -> None:
    await socket.send(msgspec.json.encode(body).decode())
