"""Where the contract suite runs: a server in memory whose clock it moves, and a real one. The code on top is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from parley_mesh import topology
from parley_mesh.jetstream import NatsBus
from parley_mesh.memory import MemoryClient, MemoryServer
from parley_mesh.topology import SECOND, TopologySettings
from parley_mesh.wire import Wire
from parley_proto import subjects
from parley_proto.envelope import now_ms
from parley_testkit.nats_server import NatsServer

STEP_S = 0.02
# Much longer than a slow machine takes from one step of a test to the next.
ACK_WAIT_S = 2.0
# Longer than that, and than a pin.
LONG_S = 2.5
GROUP = "owner"
TOPOLOGY = TopologySettings(duplicate_window_s=1)


class Place(Protocol):
    """`wire` is a connection with an administrator's rights, `bus` the log on it."""

    wire: Wire
    bus: NatsBus

    async def connect(self) -> Wire: ...

    def now(self) -> int:
        """The server's clock, milliseconds."""
        ...

    async def pass_time(self, seconds: float) -> None: ...


class InMemory:
    """Its clock stands still between two calls of `pass_time`."""

    def __init__(self) -> None:
        self._time = now_ms()
        self._begin(MemoryServer(self.now))

    def _begin(self, server: MemoryServer) -> None:
        self._server = server
        self.wire: Wire = MemoryClient(self._server)
        self.bus = NatsBus(cast(Client, self.wire))

    async def connect(self) -> Wire:
        return MemoryClient(self._server)

    def now(self) -> int:
        return self._time

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self._time += round(STEP_S * 1000)
            self._server.tick()
            await asyncio.sleep(0)


class InMemoryByItself(InMemory):
    """Its clock goes as all clocks do: for code that waits for time to pass."""

    def __init__(self) -> None:
        self._begin(MemoryServer())

    def now(self) -> int:
        return now_ms()

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class OnNats:
    def __init__(self, server: NatsServer, client: Client) -> None:
        self._server = server
        self.wire: Wire = client
        self.bus = NatsBus(client)

    async def connect(self) -> Wire:
        return await self._server.connect()

    def now(self) -> int:
        return now_ms()

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@asynccontextmanager
async def place(kind: str) -> AsyncIterator[Place]:
    """`memory`, `memory by itself` or `nats`, with Parley's streams and no consumer but those of a test."""
    if kind != "nats":
        memory = InMemory() if kind == "memory" else InMemoryByItself()
        await topology.apply(memory.wire, [], shards=0, settings=TOPOLOGY)
        yield memory
        return
    async with NatsServer() as server:
        client = await server.connect()
        await topology.apply(client, [], shards=0, settings=TOPOLOGY)
        yield OnNats(server, client)


async def until(where: Place, holds: Callable[[], bool], within_s: float = 20.0) -> None:
    """Let time pass until `holds`; AssertionError when it does not in `within_s`."""
    for _ in range(round(within_s / STEP_S)):
        if holds():
            return
        await where.pass_time(STEP_S)
    raise AssertionError("it did not come to hold in time")


async def durable(where: Place, name: str, filters: str, **config: Any) -> None:
    """A durable of the log over `filters`; `config` in JetStream's own names."""
    body = {
        "durable_name": name,
        "name": name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "replay_policy": "instant",
        "max_deliver": -1,
        "filter_subjects": [filters],
        "ack_wait": int(ACK_WAIT_S * SECOND),
        **config,
    }
    request = {"stream_name": subjects.STREAM, "config": body, "action": ""}
    api = f"$JS.API.CONSUMER.CREATE.{subjects.STREAM}.{name}"
    reply = await where.wire.request(api, msgspec.json.encode(request), timeout=5)
    assert "error" not in msgspec.json.decode(reply.data), reply.data


class Worker:
    """Pulls from one durable by raw requests and keeps what it got."""

    def __init__(self, wire: Wire, name: str) -> None:
        self._wire = wire
        self._name = name
        self.got: list[Msg] = []
        self.statuses: list[str] = []

    async def start(self) -> Worker:
        self._inbox = self._wire.new_inbox()
        await self._wire.subscribe(self._inbox, cb=self._receive)
        return self

    @property
    def texts(self) -> list[str]:
        return [message.data.decode() for message in self.got]

    @property
    def attempts(self) -> list[int]:
        return [message.metadata.num_delivered for message in self.got]

    @property
    def pin(self) -> str:
        return (self.got[-1].headers or {}).get("Nats-Pin-Id", "") if self.got else ""

    async def pull(self, batch: int = 1, expires_s: float = 10.0, **more: Any) -> None:
        request = {"batch": batch, **({"expires": int(expires_s * SECOND)} if expires_s else {}), **more}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{subjects.STREAM}.{self._name}"
        await self._wire.publish(subject, msgspec.json.encode(request), reply=self._inbox)

    async def _receive(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status:
            self.statuses.append(status)
        else:
            self.got.append(message)


async def worker(where: Place, name: str) -> Worker:
    """A worker with a connection of its own."""
    return await Worker(await where.connect(), name).start()


async def ack_floor(where: Place, name: str) -> int:
    return int((await _info(where, name))["ack_floor"]["stream_seq"])


async def delivered(where: Place, name: str) -> int:
    """How many deliveries there were."""
    return int((await _info(where, name))["delivered"]["consumer_seq"])


async def _info(where: Place, name: str) -> dict[str, Any]:
    reply = await where.wire.request(f"$JS.API.CONSUMER.INFO.{subjects.STREAM}.{name}", b"", timeout=10)
    found: dict[str, Any] = msgspec.json.decode(reply.data)
    return found
