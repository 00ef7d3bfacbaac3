"""A whole mesh in one process: two owners, two specialists, a gateway and a company, on one log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any, cast

import msgspec
from faulty_wire import FaultyWire
from mesh_processes import SHARDS, Owner, Specialist, bus_on
from mutant_wire import MutantWire, Mutation
from nats.aio.client import Client
from nats.aio.msg import Msg
from promises import Broken, History, hold
from scripted_company import SPECIALTIES, Company

from parley_gateway.adapters import Conversations as Gateway
from parley_mesh import topology
from parley_mesh.bus import Bus
from parley_mesh.jetstream import NatsBus
from parley_mesh.topology import TopologySettings
from parley_mesh.wire import Wire
from parley_proto import subjects
from parley_proto.conversation import CancelRequested, Checkpoint, CustomerMessage, PersonRequested
from parley_proto.envelope import decode, digest, encode, now_ms
from parley_proto.rag import EmbedReply
from parley_testkit.samples import IDENTITY

OWNERS = ("owner-1", "owner-2")
SPECIALISTS = ("specialist-1", "specialist-2")
CONVERSATIONS = ("c" + "A" * 21, "c" + "B" * 21)
ACCEPT_S = 10.0


class Sent(msgspec.Struct):
    """What a customer sent, and whether the gateway has accepted it."""

    conversation: str
    message: CustomerMessage
    accepted: bool = False


class World:
    """`connect` gives a new connection to the server; `turn_timeout_s` is how long an answer may take, `window_s` how
    long the log knows an id.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Wire]],
        *,
        turn_timeout_s: float,
        window_s: int,
        idempotent: bool = True,
        mutation: Mutation = "",
    ) -> None:
        self._connect = connect
        self._turn_timeout_s = turn_timeout_s
        self._window_s = window_s
        self._gone: list[Owner | Specialist] = []
        self._mutation = mutation
        self._read_to = 0
        self.company = Company(idempotent=idempotent)
        self.history = History()
        self.sent: list[Sent] = []
        self.processes: dict[str, Owner | Specialist] = {}

    async def open(self) -> None:
        wire = await self._connect()
        settings = TopologySettings(duplicate_window_s=self._window_s)
        await topology.apply(wire, list(SPECIALTIES), shards=SHARDS, settings=settings)
        await wire.subscribe(subjects.RAG_EMBED, cb=_embed)
        self._log: Bus = NatsBus(cast(Client, wire))
        self.door = FaultyWire(await self._wire("gateway"))
        self._gateway = Gateway(bus_on(self.door), SHARDS, ACCEPT_S)
        for name in (*OWNERS, *SPECIALISTS):
            await self.start(name)

    async def start(self, name: str) -> None:
        """A new process of that name; what an old one still does has no effect any more."""
        wire = FaultyWire(await self._wire(name))
        if name in self.processes:
            self._gone.append(self.processes[name])
        if name in OWNERS:
            self.processes[name] = Owner(name, wire, self._turn_timeout_s)
        else:
            self.processes[name] = Specialist(wire, self.company)
        await self.processes[name].start()

    async def send(self, conversation: str, text: str) -> None:
        client_id = str(len(self.sent))
        message_id = digest("default", conversation, client_id)
        message = CustomerMessage(message_id, client_id, text, digest(text)[:16], IDENTITY, now_ms())
        self.sent.append(Sent(conversation, message))
        await self.resend(self.sent[-1], text)

    async def resend(self, sent: Sent, text: str) -> None:
        """As the gateway takes it in: with the same id until the log has it."""
        message = msgspec.structs.replace(sent.message, text=text, body_hash=digest(text)[:16])
        appended = await self._gateway.accept(sent.conversation, message, message.message_id)
        sent.accepted = True
        stored = await self._gateway.message_at(appended.seq)
        if stored is None or stored.message_id != message.message_id or not (appended.duplicate or stored == message):
            raise Broken(f"the log has taken another message: {stored}")

    async def cancel(self, conversation: str) -> None:
        await self._tell(conversation, CancelRequested(IDENTITY, now_ms()))

    async def want(self, conversation: str, specialty: str) -> None:
        await self._tell(conversation, PersonRequested(IDENTITY, now_ms(), specialty))

    async def _tell(self, conversation: str, entry: CancelRequested | PersonRequested) -> None:
        await self._log.append(subjects.conv(conversation, SHARDS), encode(entry))

    async def check(self) -> None:
        """Read what the log has got since the last time, and look whether every promise holds."""
        while stored := await self._log.next(">", self._read_to):
            self._read_to = stored.seq
            self.history.take_in(stored)
        self.history.check_effects(self.company.refunds)
        for name, conversation in self.history.conversations.items():
            await self._check_committed(name, conversation.shown_to)

    async def _check_committed(self, conversation: str, shown_to: int) -> None:
        """The checkpoint is the last member of its batch: behind all that was shown with it."""
        stored = await self._log.last(subjects.checkpoint(conversation)) if shown_to else None
        hold(
            "what is shown was committed",
            conversation,
            if_=not shown_to or (stored is not None and stored.seq > shown_to),
        )

    def check_all_answered(self) -> None:
        """Once everything has healed and come to rest."""
        taken = {sent.message.message_id for sent in self.sent if sent.accepted}
        self.history.check_all_answered(taken)
        self.history.check_all_known()

    async def heal(self) -> None:
        """No more faults, and whoever died is started again."""
        self.door.heal()
        for name, process in list(self.processes.items()):
            process.wire.heal()
            if process.wire.dead:
                await self.start(name)

    async def settled(self) -> bool:
        """Whether every conversation has come to rest: nobody waits, and no turn is open."""
        return all([await self._at_rest(name) for name in self.history.conversations])

    async def _at_rest(self, conversation: str) -> bool:
        if self.history.waiting(conversation):
            return False
        stored = await self._log.last(subjects.checkpoint(conversation))
        state: Checkpoint | None = decode(stored.data, Checkpoint) if stored else None
        return state is None or state.turn is None

    async def close(self) -> None:
        """The end of the world: nothing of what still hangs may go on."""
        for wire in [self.door, *(process.wire for process in [*self._gone, *self.processes.values()])]:
            wire.over = True
            wire.go_on()
        while others := [task for task in asyncio.all_tasks() if _is_ours(task)]:
            for task in others:
                task.cancel()
            await asyncio.wait(others, timeout=1)

    async def _wire(self, name: str) -> Wire:
        wire = await self._connect()
        spared = {"no journal": OWNERS, "no fence for revoking": SPECIALISTS}.get(self._mutation, ())
        return MutantWire(wire, self._mutation) if self._mutation and name not in spared else wire


async def _embed(message: Msg) -> None:
    vector = files("parley_testkit").joinpath("charged_twice.f32").read_bytes()
    await message.respond(encode(EmbedReply("all-MiniLM-L6-v2", 384, vector)))


def _is_ours(task: asyncio.Task[Any]) -> bool:
    """A task of the world, not one of the NATS client's own or the one that asks."""
    code = getattr(task.get_coro(), "cr_code", None)
    return task is not asyncio.current_task() and not (code and "/nats/" in code.co_filename)
