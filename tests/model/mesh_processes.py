"""The processes of the mesh, wired from the real parts: an owner of conversations, and a specialist."""

from __future__ import annotations

from typing import Any, cast

from faulty_wire import FaultyWire
from nats.aio.client import Client
from scripted_company import SPECIALTIES, Backoffice, Company, Known, Script, spec

from parley_conversation.adapters import Intents, Log
from parley_conversation.handlers import Conversations
from parley_conversation.memory import Memory
from parley_conversation.settings import Settings as ConversationSettings
from parley_mesh import topology
from parley_mesh.jetstream import NatsBus
from parley_mesh.middleware import compose
from parley_mesh.middleware.acknowledge import acknowledge
from parley_mesh.middleware.keepalive import keepalive
from parley_mesh.shards import Shards
from parley_mesh.work import WorkQueue
from parley_proto import subjects
from parley_proto.specialist import RouteHint
from parley_specialist.calls import Caller
from parley_specialist.clients import Consults
from parley_specialist.ledger import Ledger
from parley_specialist.loop import Deps, Loop
from parley_specialist.settings import Settings as SpecialistSettings
from parley_specialist.worker import Worker

SHARDS = 2
MEMORY = 1 << 20
POISON = "poison"


def bus_on(wire: FaultyWire) -> NatsBus:
    return NatsBus(cast(Client, wire))


class Breakable(Intents):
    """One text breaks it, whoever owns the conversation."""

    async def route(self, text: str, *, needed: bool) -> RouteHint:
        if POISON in text:
            raise ValueError(text)
        return await super().route(text, needed=needed)


class Owner:
    """A conversation service, as its `build` wires it."""

    def __init__(self, name: str, wire: FaultyWire, turn_timeout_s: float) -> None:
        self.wire = wire
        settings = ConversationSettings(turn_timeout_s=turn_timeout_s)
        bus, known = bus_on(wire), cast(Any, Known())
        store, memory = Log(bus, SHARDS), Memory(MEMORY, SHARDS)
        intents = Breakable(bus, known, settings.route_timeout_s, settings.reroute_timeout_s)
        keeper = Conversations(settings, store, memory, intents, known, known)
        beat, timeout = settings.heartbeat_s, settings.peer_timeout_s
        self._shards = Shards(wire, bus, keeper, name, shards=SHARDS, heartbeat_s=beat, timeout_s=timeout)

    async def start(self) -> None:
        await self._shards.start()


class Specialist:
    """All specialties in one process, each with its lanes, as `specialist` wires them."""

    def __init__(self, wire: FaultyWire, company: Company) -> None:
        self.wire = wire
        self._queues = [
            self._queue(name, lane, self._worker(name, company))
            for name in SPECIALTIES
            for lane in ("urgent", "normal")
        ]

    async def start(self) -> None:
        for queue in self._queues:
            await queue.start()

    def _worker(self, name: str, company: Company) -> Worker:
        settings, bus, known = SpecialistSettings(), bus_on(self.wire), cast(Any, Known())
        backoffice = cast(Any, Backoffice(company, self.wire))
        caller = Caller(spec(name), backoffice, Ledger(bus), idempotent=company.idempotent)
        consults = Consults(bus, name, settings.consult_timeout_s)
        deps = Deps(bus, cast(Any, Script(name)), known, consults, caller, known, known, SHARDS)
        return Worker(name, Loop(spec(name), settings, deps), bus, SHARDS)

    def _queue(self, name: str, lane: str, worker: Worker) -> WorkQueue:
        beat = keepalive(topology.TURN_ACK_WAIT_S / 3)
        handler = compose(worker.handle, [acknowledge(), beat])
        durable = topology.turn_consumer(name, subjects.TRACK, lane)
        return WorkQueue(self.wire, subjects.STREAM, durable, handler, slots=lambda: 4)
