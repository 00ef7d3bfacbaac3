"""The smallest mesh: a real nats-server, real conversation processes, and a stand-in for everyone else.

The test itself plays the gateway (appends messages, tails `out.*`), the embedding model and the specialists.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from importlib.resources import files
from types import TracebackType

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from parley_mesh import topology
from parley_mesh.bus import Stored
from parley_mesh.jetstream import NatsBus
from parley_mesh.middleware import compose
from parley_mesh.middleware.acknowledge import acknowledge
from parley_mesh.tail import Tail
from parley_mesh.work import Delivery, WorkQueue
from parley_proto import subjects
from parley_proto.conversation import MessageShown, Shown
from parley_proto.envelope import decode, digest, encode, new_id
from parley_proto.errors import TransientError
from parley_proto.rag import EmbedReply
from parley_proto.specialist import AssignTurn, Card
from parley_testkit.nats_server import PASSWORD, SPECIALTIES, NatsServer
from parley_testkit.samples import answered, customer_message

START_S = 90.0


async def until(holds: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition; TimeoutError when it does not come to hold."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


class Bench:
    """`async with Bench() as bench`, then `launch(name)`, `send(...)`, and look at `answers` and at `shown_twice`.

    `shown` are the sequences and ids of all answers. A test looks at them by itself: what fails in a tail's callback
    only reaches the client's `error_cb`.
    """

    def __init__(self) -> None:
        self.nats = NatsServer()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.answers: dict[str, dict[str, str]] = defaultdict(dict)
        self.shown: list[tuple[int, str]] = []
        self._queues: list[WorkQueue] = []
        self._random = random.Random(7)

    async def __aenter__(self) -> Bench:
        await self.nats.__aenter__()
        self.client: Client = await self.nats.connect()
        self.bus = NatsBus(self.client)
        await topology.apply(self.client, SPECIALTIES)
        for name in SPECIALTIES:
            await self.bus.append(subjects.card(name), encode(Card(name, name.title(), name, "1")))
        await self.client.subscribe(subjects.RAG_EMBED, cb=_embed)
        await self._specialists()
        self._tail = Tail(self.client, subjects.STREAM, subjects.ALL_OUT, self._shown)
        await self._tail.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        await asyncio.wait_for(asyncio.gather(*(queue.drain(0) for queue in self._queues)), 10)
        await asyncio.wait_for(self._tail.close(), 10)
        await self.nats.__aexit__(kind, error, trace)

    @property
    def shown_twice(self) -> list[str]:
        """The answers that stand in the log more than once."""
        counts = Counter(message_id for _seq, message_id in self.shown)
        return [message_id for message_id, count in counts.items() if count > 1]

    def launch(self, name: str, more: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A conversation process, with the rights it has in real life; `more` is added to its environment."""
        environ = os.environ | {
            "PARLEY_MESH_NATS_URL": self.nats.url,
            "PARLEY_MESH_NATS_USER": "conversation",
            "PARLEY_MESH_NATS_PASSWORD": PASSWORD,
            "PARLEY_MESH_INSTANCE": name,
            "PARLEY_MESH_HEALTH_PORT": "0",
        }
        environ |= dict(more or {})
        with (self.nats.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-m", "parley_conversation"], env=environ, stderr=log)
        self.processes[name] = process
        return process

    async def shares(self) -> dict[str, int]:
        """How many shards each instance pulls, by what the instances say within a moment."""
        inbox, found = self.client.new_inbox(), dict[str, int]()

        async def collect(message: Msg) -> None:
            said = msgspec.json.decode(message.data or b"{}")
            if "instance" in said:
                found[said["instance"]] = said["shards"]

        listening = await self.client.subscribe(inbox, cb=collect)
        await self.client.publish("$SRV.PARLEY.conversation", b"", reply=inbox)
        await asyncio.sleep(0.2)
        await listening.unsubscribe()
        return found

    async def until_shared(self, instances: int) -> dict[str, int]:
        """Wait until `instances` processes own all shards between them, and each has some."""
        async with asyncio.timeout(START_S):
            while True:
                found = await self.shares()
                if len(found) == instances and sum(found.values()) == subjects.SHARDS and min(found.values()):
                    return found

    async def send(self, conversation: str, text: str, client_id: str = "1") -> None:
        """As the gateway does: with the same id until the log has acked it."""
        message_id = digest("default", conversation, client_id)
        message = customer_message(text, client_id, message_id=message_id)
        for _ in range(80):
            try:
                await self.bus.append(subjects.conv(conversation), encode(message), msg_id=message_id)
            except TransientError:
                await asyncio.sleep(0.1)
            else:
                return
        raise AssertionError("the log did not take the message")

    async def open(self, count: int, every_s: float) -> list[str]:
        """`count` conversations with a message each, one after the other."""
        names = [new_id("c") for _ in range(count)]
        for name in names:
            await self.send(name, f"question of {name}")
            await asyncio.sleep(every_s)
        return names

    async def _specialists(self) -> None:
        for name in SPECIALTIES:
            for lane in ("urgent", "normal"):
                durable = topology.turn_consumer(name, subjects.TRACK, lane)
                handler = compose(self._answer, [acknowledge()])
                queue = WorkQueue(self.client, subjects.STREAM, durable, handler, slots=lambda: 64)
                await queue.start()
                self._queues.append(queue)

    async def _answer(self, delivery: Delivery) -> None:
        turn: AssignTurn = decode(delivery.data, AssignTurn)
        await asyncio.sleep(self._random.random() * 0.05)
        text = " | ".join(line.text for line in turn.messages)
        outcome = answered(turn, text, attempt=delivery.attempt)
        msg_id = f"{turn.turn_id}-{delivery.attempt}"
        await self.bus.append(subjects.conv(turn.conversation), encode(outcome), msg_id=msg_id)

    def _shown(self, stored: Stored) -> None:
        shown: Shown = decode(stored.data, Shown)
        if isinstance(shown, MessageShown) and shown.role == "assistant":
            self.answers[stored.subject.rpartition(".")[2]][shown.message_id] = shown.text
            self.shown.append((stored.seq, shown.message_id))


async def _embed(message: Msg) -> None:
    """all-MiniLM-L6-v2's vector of "I was charged twice for my last order", whatever the text."""
    vector = files("parley_testkit").joinpath("charged_twice.f32").read_bytes()
    await message.respond(encode(EmbedReply("all-MiniLM-L6-v2", 384, vector)))
