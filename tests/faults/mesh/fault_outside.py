"""Faults of what the mesh needs from outside: the model provider, knowledge, disks, and readers that do not read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from fault_strikes import AWAY_S
from fault_world import World
from scripted_model import reply

from parley_cli.client import door
from parley_cli.supervise import nodes
from parley_proto.conversation import MAX_TEXT_BYTES
from parley_testkit import fake_provider
from parley_testkit.fake_provider import MODEL, FakeProvider, Script

SLOW_READERS = 20
_LONG_MESSAGES = 60
# A receive buffer so small that what is not read soon waits in the gateway.
_SMALL_BUFFER = 4096
_FULL_NODE = "nats-2"
_DISK = "256m"
_PROVIDER_PACE = {"FIRST_DELTA_S": "4", "INTER_DELTA_S": "4", "TOTAL_S": "30", "MODEL": MODEL}
MISBEHAVIOURS: dict[str, Callable[[], Script]] = {
    "hangs": fake_provider.hang_headers,
    "answers 500": fake_provider.failing,
    "drips": lambda: fake_provider.drip("This takes its time.", 1.0),
    "sends garbage": fake_provider.garbage,
    "cuts its streams": lambda: fake_provider.cut_after("I was about to"),
}


@asynccontextmanager
async def scripted_model(world: World) -> AsyncIterator[None]:
    """The mesh talks to a provider of ours, which can be told to misbehave."""
    async with FakeProvider() as provider:
        provider.play_by(reply)
        named = _PROVIDER_PACE | {"BASE_URL": provider.url}
        world.mesh.environ |= {f"PARLEY_LLM_GATEWAY_{name}": value for name, value in named.items()}
        world.provider = provider
        yield


async def misbehave(does: str, world: World) -> None:
    """Every new request meets it; the mesh says what it can't do, and goes on when the provider is well."""
    if world.provider is None:
        raise AssertionError("this row needs a scripted model")
    world.provider.play_by(lambda _request: MISBEHAVIOURS[does]())
    try:
        await asyncio.sleep(AWAY_S)
    finally:
        world.provider.play_by(reply)


async def remove_table(world: World) -> None:
    """Answers go on without knowledge; the table is put back unless rag has made it anew by then."""
    table = _table(world)
    away = table.with_name("lance-away")
    table.rename(away)
    await asyncio.sleep(AWAY_S)
    if table.exists():
        shutil.rmtree(away)
    else:
        away.rename(table)


async def garble_table(world: World) -> None:
    """Every file of the table is overwritten under rag's hands, and later what it was before."""
    table = _table(world)
    kept = table.with_name("lance-kept")
    shutil.copytree(table, kept)
    for file in (path for path in table.rglob("*") if path.is_file()):
        _garble(file, world)
    await asyncio.sleep(AWAY_S)
    shutil.rmtree(table)
    kept.rename(table)


async def never_read(world: World) -> None:
    """Clients of one conversation that is talked to a lot, and of which no device reads a word."""
    connector = aiohttp.TCPConnector(limit=0, socket_factory=_small_socket)
    url = world.mesh.url
    async with door(url) as through, aiohttp.ClientSession(connector=connector) as session:

        async def deaf(thread: str) -> aiohttp.ClientWebSocketResponse:
            device = await session.ws_connect(f"{url}/v1/ws", compress=0)
            hello = {"type": "hello", "ticket": await through.ticket(), "since": 0}
            await device.send_json(hello | ({"threadId": thread} if thread else {}))
            return device

        first = await deaf("")
        thread: str = (await first.receive_json())["threadId"]
        await _talk(first, 1)
        # Only what is in the log can be followed by others.
        await _until(first, "ack")
        for _ in range(SLOW_READERS - 1):
            await deaf(thread)
        await _talk(first, _LONG_MESSAGES)
        await asyncio.sleep(AWAY_S)
        # The session goes, and the connections with it, without a goodbye: who does not read answers none.


@asynccontextmanager
async def own_disk(world: World) -> AsyncIterator[None]:
    """One node's store on a small disk of its own: needs root and Linux."""
    place = nodes.store_of(world.mesh.home, _FULL_NODE, 3)
    place.mkdir(parents=True)
    with _mounted(place):
        yield


async def fill_disk(world: World) -> None:
    """Full to the last byte; when there is room again, the operator starts the node anew."""
    ballast = nodes.store_of(world.mesh.home, _FULL_NODE, 3) / "ballast"
    try:
        await asyncio.to_thread(_fill, ballast)
        await asyncio.sleep(AWAY_S)
    finally:
        ballast.unlink(missing_ok=True)
    # nats-server switches its log off where a write has failed, and on again only when it starts.
    await world.kill(_FULL_NODE)


def can_mount(folder: Path) -> bool:
    """Whether this machine lets us have small disks."""
    if os.name != "posix" or os.geteuid():
        return False
    with contextlib.suppress(OSError, subprocess.CalledProcessError), _mounted(folder):
        return True
    return False


@contextmanager
def _mounted(place: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(1 << 16)):
            pass


def _table(world: World) -> Path:
    return world.mesh.home.root / "rag" / "lance"


def _garble(file: Path, world: World) -> None:
    # A file that rag has just replaced needs no garbling.
    with contextlib.suppress(FileNotFoundError):
        file.write_bytes(world.random.randbytes(file.stat().st_size))


def _small_socket(address: Any) -> socket.socket:
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
    return made


async def _until(device: aiohttp.ClientWebSocketResponse, kind: str) -> None:
    async with asyncio.timeout(AWAY_S):
        while (await device.receive_json())["type"] != kind:
            pass


async def _talk(device: aiohttp.ClientWebSocketResponse, count: int) -> None:
    for _ in range(count):
        text = f"{os.urandom(8).hex()} " + "word " * (MAX_TEXT_BYTES // 5 - 10)
        try:
            async with asyncio.timeout(1.0):
                await device.send_json({"type": "message.send", "id": os.urandom(16).hex(), "content": text})
        except (TimeoutError, ConnectionError, aiohttp.ClientError):
            # It was cut off, as it should be.
            return
