"""A gateway in front of a log in memory or on a real server, a scripted owner behind it, and clients before it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from parley_gateway.app import make_app, make_door
from parley_gateway.handlers import Door
from parley_gateway.hub import Hub
from parley_gateway.settings import Settings
from parley_mesh.bus import Appended, Bus, Headers, Write
from parley_mesh.health import HealthServer
from parley_mesh.memory import MemoryBus
from parley_proto import subjects
from parley_proto.conversation import (
    Checkpoint,
    CustomerMessage,
    Delta,
    Entry,
    Live,
    MessageShown,
    OwnerChanged,
    Shown,
    reply_id,
)
from parley_proto.envelope import decode, digest, encode, now_ms
from parley_proto.errors import ParleyError
from parley_proto.specialist import Line

# The rules of AG-UI stand beside the unit tests of the translator.
sys.path.append(str(Path(__file__).parents[1] / "unit"))
from gateway_agui import Screen, Verifier

SHARDS = 4
WAIT_S = 10.0


class Log(MemoryBus):
    """The log in memory; the gateway's reader hears of what is stored a moment later, as from a real one."""

    def __init__(self) -> None:
        super().__init__()
        self.hub: Hub | None = None
        self.failures: list[ParleyError] = []
        self.appends = 0

    async def append(
        self, subject: str, data: bytes, *, msg_id: str = "", expect: int | None = None, headers: Headers | None = None
    ) -> Appended:
        self.appends += 1
        if self.failures:
            raise self.failures.pop(0)
        return await super().append(subject, data, msg_id=msg_id, expect=expect, headers=headers)

    async def commit(self, batch: list[Write]) -> int:
        last = await super().commit(batch)
        for stored in self.everything(subjects.ALL_OUT):
            if self.hub and stored.seq > last - len(batch):
                asyncio.get_running_loop().call_soon(self.hub.shown, stored)
        return last

    def forget(self, subject: str, up_to: int) -> None:
        """As the archiver purges what it has."""
        for stored in self.everything(subject):
            if stored.seq <= up_to:
                del self._log._stored[stored.seq]
                self._log._subjects[subject].remove(stored.seq)


class Owner:
    """A conversation service that a test holds by the hand: it writes what it is told, with a checkpoint."""

    def __init__(self, bus: Bus, conversation: str) -> None:
        self._bus = bus
        self.conversation = conversation
        self.state: Checkpoint | None = None

    async def entries(self) -> list[tuple[int, Any]]:
        """What customers have said so far, oldest first."""
        found, after = [], 0
        while stored := await self._bus.next(subjects.conv(self.conversation, SHARDS), after):
            after = stored.seq
            found.append((stored.seq, decode(stored.data, Entry)))
        return found

    async def wait_for(self, count: int) -> list[tuple[int, Any]]:
        async with asyncio.timeout(WAIT_S):
            while len(found := await self.entries()) < count:
                await asyncio.sleep(0.005)
        return found

    async def show(self, *shown: Shown, **state: Any) -> int:
        """Commit entries and the checkpoint in one batch, as the owner does."""
        writes = [Write(subjects.out(self.conversation), encode(entry)) for entry in shown]
        if self.state:
            self.state = msgspec.structs.replace(self.state, **state)
            keep = {"Nats-Rollup": "sub", "Nats-TTL": "never"}
            writes.append(Write(subjects.checkpoint(self.conversation), encode(self.state), keep))
        return await self._bus.commit(writes)

    async def echo(self, count: int = 1) -> CustomerMessage:
        """Take up the newest message: checkpoint, echo, and at first the choice of a specialist."""
        seq, message = (await self.wait_for(count))[count - 1]
        shown: list[Shown] = [
            MessageShown(message.message_id, "customer", message.text, message.at, client_id=message.client_id)
        ]
        if self.state is None:
            self.state = Checkpoint(self.conversation, message.identity, now_ms())
            shown.append(OwnerChanged("billing", "", 1, "routed", now_ms()))
        line = Line("customer", message.text, message.message_id, at=message.at)
        await self.show(
            *shown,
            last_in_seq=seq,
            owner="billing",
            epoch=1,
            queue=[line],
            window=[*self.state.window, line],
            recent=self.state.recent | {message.message_id: message.body_hash},
        )
        found: CustomerMessage = message
        return found

    async def answer(self, text: str, turn: str = "", **changes: Any) -> str:
        turn = turn or "t" + digest(self.conversation, text)
        shown = MessageShown(
            reply_id(turn),
            "assistant",
            text,
            now_ms(),
            turn_id=turn,
            specialty="billing",
            kind="grounded",
            model="sample",
            offline=True,
            final=True,
            answers=[line.message_id for line in self.state.queue] if self.state else [],
        )
        await self.show(msgspec.structs.replace(shown, **changes), queue=[])
        return turn

    async def live(self, item: Live) -> None:
        await self._bus.publish(subjects.live(self.conversation), encode(item))

    async def stream(self, turn: str, *words: str, attempt: int = 1) -> None:
        offset = 0
        for word in words:
            await self.live(Delta(turn, attempt, reply_id(turn), "billing", offset, word))
            offset += len(word)


class House:
    """A gateway that serves on a free port."""

    def __init__(self, server: HealthServer, bus: Bus, door: Door | None = None) -> None:
        self.server = server
        self.bus = bus
        if door:
            self.door = door
        self.http = f"http://127.0.0.1:{server.port}"
        self.ws = f"ws://127.0.0.1:{server.port}/v1/ws"
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(WAIT_S))

    async def listening(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    async with self.session.get(f"{self.http}/livez") as reply:
                        assert reply.status == 200
                        return
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.01)

    async def ticket(self, token: str = "") -> str:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.post(f"{self.http}/v1/tickets", headers=headers) as reply:
            assert reply.status == 201, await reply.text()
            body: dict[str, Any] = await reply.json()
            return str(body["ticket"])

    def dial(self, **options: Any) -> connect:
        return connect(self.ws, max_size=None, proxy=None, open_timeout=WAIT_S, **options)

    @asynccontextmanager
    async def client(self, thread: str = "", since: int = 0, token: str = "") -> AsyncIterator[Client]:
        """A connection that has been welcomed."""
        async with self.dial() as socket:
            client = Client(socket)
            await client.hello(await self.ticket(token), thread, since)
            yield client

    def owner(self, conversation: str) -> Owner:
        return Owner(self.bus, conversation)

    async def close(self) -> None:
        await self.session.close()
        await self.server.stop()


class Client:
    """One WebSocket client; it holds every event to the rules of AG-UI."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []
        self.verifier = Verifier()
        self.screen = Screen(replaces=True)
        self.thread = ""
        self.seq = 0
        self.resume = ""

    async def hello(self, ticket: str, thread: str = "", since: int = 0) -> None:
        named = {"threadId": thread} if thread else {}
        await self.send({"type": "hello", "ticket": ticket, "since": since} | named)
        welcome = await self.until("welcome")
        self.thread, self.resume = welcome["threadId"], welcome["resume"]

    async def send(self, frame: dict[str, Any]) -> None:
        await self.socket.send(json.dumps(frame))

    async def say(self, text: str, name: str = "1") -> dict[str, Any]:
        """Send a message and wait for what comes of it: the ack or the error."""
        await self.send({"type": "message.send", "id": name, "content": text})
        return await self.until("ack", "error")

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        self.frames.append(frame)
        if frame["type"] == "event":
            self.verifier.feed(frame["ev"])
            self.screen.feed(frame["ev"])
            seq = frame.get("seq", 0)
            assert not seq or seq > self.seq, "seq must rise"
            self.seq = max(self.seq, seq)
        return frame

    async def until(self, *kinds: str) -> dict[str, Any]:
        """The next frame of one of these types, or event of one of these AG-UI types."""
        while True:
            frame = await self.next()
            if frame["type"] in kinds or frame.get("ev", {}).get("type") in kinds:
                return frame

    async def error(self) -> str:
        return str((await self.until("error"))["code"])

    async def closed(self) -> int:
        """The code that the server closes with; what comes before is read."""
        try:
            while True:
                await self.next()
        except ConnectionClosed:
            return self.socket.close_code or 0


@asynccontextmanager
async def opened(bus: Bus, hub: Hub, settings: Settings) -> AsyncIterator[House]:
    door = make_door(settings, bus, hub, tenant="default", shards=SHARDS)
    server = HealthServer("127.0.0.1", 0, lambda: "is draining." if door.draining else "", make_app(door))
    await server.start()
    house = House(server, bus, door)
    await house.listening()
    try:
        yield house
    finally:
        await house.close()


@asynccontextmanager
async def house_in_memory(settings: Settings | None = None, bus: Log | None = None) -> AsyncIterator[House]:
    bus = bus or Log()
    bus.hub = Hub(bus.listen)
    async with opened(bus, bus.hub, settings or Settings()) as house:
        yield house


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with house_in_memory() as found:
        yield found


class Run:
    """One `POST /v1/agui`, read as a stock client reads it."""

    def __init__(self, house: House, mine: list[dict[str, Any]], thread: str = "thread-1", run: str = "run-1") -> None:
        self._house = house
        self.body = {"threadId": thread, "runId": run, "messages": mine, "tools": [], "context": []}
        self.verifier = Verifier()
        self.screen = Screen(replaces=False, messages=mine)
        self.events: list[dict[str, Any]] = []

    async def post(self, headers: dict[str, str] | None = None) -> Self:
        url = f"{self._house.http}/v1/agui"
        async with self._house.session.post(url, json=self.body, headers=headers) as reply:
            assert reply.status == 200, await reply.text()
            assert reply.content_type == "text/event-stream"
            async for line in reply.content:
                if line.startswith(b"data: "):
                    self._feed(json.loads(line[6:]))
        return self

    def _feed(self, event: dict[str, Any]) -> None:
        self.verifier.feed(event)
        self.screen.feed(event)
        self.events.append(event)


def user(text: str, name: str = "u-1") -> dict[str, Any]:
    return {"id": name, "role": "user", "content": text}
