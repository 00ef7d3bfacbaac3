"""Between the end of a connection and its being noticed, nats-py lets uvloop's complaint about the socket out."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from parley_mesh import topology
from parley_mesh.pull import PullLoop
from parley_proto import subjects
from parley_testkit.nats_server import NatsServer


def closed(*_: object) -> NoReturn:
    raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")


async def lose_the_socket(client: Client, patch: pytest.MonkeyPatch) -> None:
    """As nats-py sees it: its flusher has ended with the socket, its reader has not noticed yet."""
    flusher: asyncio.Task[None] = client._flusher_task  # type: ignore[assignment]
    flusher.cancel()
    await asyncio.wait([flusher])
    patch.setattr(client._transport, "writelines", closed)


async def test_a_message_goes_out_with_the_next_connection(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        heard.put_nowait(message.data)

    listener, speaker = await nats_server.connect(), await nats_server.connect()
    await listener.subscribe("said", cb=hear)
    await listener.flush()
    with monkeypatch.context() as patch:
        await lose_the_socket(speaker, patch)
        await speaker.publish("said", b"in between")
    await speaker.force_reconnect()
    assert await asyncio.wait_for(heard.get(), 10) == b"in between"


async def test_whoever_pulls_goes_on_pulling_after_any_failure(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await nats_server.connect()
    await topology.apply(client, ["billing"], shards=1)
    delivered: asyncio.Queue[bytes] = asyncio.Queue()
    failed = asyncio.Event()

    async def fail(*_: Any, **__: Any) -> NoReturn:
        failed.set()
        raise RuntimeError("nobody expects this")

    loop = PullLoop(
        client,
        subjects.STREAM,
        "archiver",
        lambda message: delivered.put_nowait(message.data),
        room=lambda: 10,
        expires_s=0.5,
    )
    with monkeypatch.context() as patch:
        patch.setattr(client, "publish", fail)
        await loop.start()
        await asyncio.wait_for(failed.wait(), 10)
    await client.jetstream().publish("out.c1", b"answer")
    assert await asyncio.wait_for(delivered.get(), 10) == b"answer"
    await loop.stop()
