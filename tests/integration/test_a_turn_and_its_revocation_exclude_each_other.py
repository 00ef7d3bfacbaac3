"""The ledger and the owner's revocation on a real log: whichever is first keeps the other from acting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from parley_conversation.adapters import Hot, Log
from parley_conversation.domain import decide
from parley_conversation.transition import Facts
from parley_mesh import topology
from parley_mesh.jetstream import NatsBus
from parley_proto.conversation import CancelRequested, Checkpoint, Entry
from parley_proto.envelope import now_ms
from parley_proto.errors import ConflictError, ParleyError, PermanentError
from parley_proto.llm import ChatMessage
from parley_proto.specialist import AssignTurn, RouteHint, TurnDecided
from parley_specialist.ledger import Ledger
from parley_specialist.tools import ToolContext, ToolResult, tool
from parley_testkit.nats_server import NatsServer
from parley_testkit.samples import AT, CALL, CONVERSATION, IDENTITY, customer_message

SHARDS = 4
ARGUMENTS = {"payment_id": "PAY-1"}


@tool(use_when=("refund it",), key=("payment_id",))
async def refund(context: ToolContext, payment_id: str) -> ToolResult:
    """Refund a payment."""
    return ToolResult("unused")


class Third:
    def __init__(self) -> None:
        self.did: list[dict[str, Any]] = []
        self.asked, self.may_end = asyncio.Event(), asyncio.Event()
        self.may_end.set()

    async def __call__(self, _key: str, arguments: dict[str, Any]) -> ToolResult:
        self.did.append(arguments)
        self.asked.set()
        await self.may_end.wait()
        return ToolResult("PAY-1 was refunded.")


class World:
    """One conversation with an open turn, seen by its owner and by a specialist."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self.log = Log(bus, SHARDS)
        self.ledger = Ledger(bus)
        self.seq = 1
        self.turn: AssignTurn
        self.hot = Hot(None, 0, 0)

    async def open(self) -> None:
        transition = decide(None, customer_message(), self._facts())
        assert transition is not None and transition.assign is not None
        self.turn = transition.assign
        self.hot = await self.log.commit(self.hot, transition)

    async def refund(self, third: Third) -> ToolResult:
        chat = [ChatMessage("assistant", tool_calls=[CALL])]
        decided = TurnDecided(self.turn.turn_id, AT, chat)
        return await self.ledger.once(self.turn, refund, ARGUMENTS, third, decided=decided)

    async def read(self, entry: Entry) -> Any:
        """The transition for `entry`, decided on what the journal says now."""
        self.seq += 1
        deeds = await self.log.deeds(CONVERSATION, self.turn.turn_id)
        return decide(self.hot.state, entry, msgspec.structs.replace(self._facts(), deeds=deeds))

    async def commit(self, transition: Any) -> Checkpoint:
        self.hot = await self.log.commit(self.hot, transition)
        assert self.hot.state is not None
        return self.hot.state

    def _facts(self) -> Facts:
        return Facts(CONVERSATION, self.seq, now_ms(), 60_000, ["billing", "escalation"], RouteHint("billing", 0.9))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with NatsServer() as server:
        client = await server.connect()
        await topology.apply(client, ["billing", "escalation"], shards=SHARDS)
        made = World(NatsBus(client))
        await made.open()
        yield made


async def test_an_effect_leaves_its_steps_and_its_outcome(world: World) -> None:
    third = Third()
    await world.refund(third)
    await world.refund(third)
    assert len(third.did) == 1
    deeds = await world.log.deeds(CONVERSATION, world.turn.turn_id)
    assert deeds.done == ["PAY-1 was refunded."] and not deeds.open


async def test_an_intent_after_the_owner_has_looked_makes_its_revocation_fail(world: World) -> None:
    third = Third()
    cancelled = await world.read(CancelRequested(IDENTITY, AT))
    assert cancelled.state.turn is None
    await world.refund(third)
    with pytest.raises(ConflictError):
        await world.commit(cancelled)
    again = await world.read(CancelRequested(IDENTITY, AT))
    state = await world.commit(again)
    assert state.turn is not None, "what was done can't be cancelled any more"


async def test_a_revocation_keeps_a_specialist_that_was_paused_from_acting(world: World) -> None:
    third = Third()
    await world.commit(await world.read(CancelRequested(IDENTITY, AT)))
    with pytest.raises(PermanentError) as caught:
        await world.refund(third)
    assert caught.value.code == "revoked" and third.did == []
    assert await world.bus.next("effect.*", 0) is None


async def test_of_a_revocation_and_an_intent_at_the_same_moment_one_wins(world: World) -> None:
    third = Third()
    cancelled = await world.read(CancelRequested(IDENTITY, AT))
    ended = await asyncio.gather(world.commit(cancelled), world.refund(third), return_exceptions=True)
    failed = [error for error in ended if isinstance(error, BaseException)]
    assert len(failed) == 1 and isinstance(failed[0], ParleyError)
    assert len(third.did) == (0 if isinstance(failed[0], PermanentError) or failed[0] is ended[1] else 1)


async def test_a_running_effect_is_seen_as_begun(world: World) -> None:
    third = Third()
    third.may_end.clear()
    running = asyncio.create_task(world.refund(third))
    await asyncio.wait_for(third.asked.wait(), 5)
    deeds = await world.log.deeds(CONVERSATION, world.turn.turn_id)
    assert [intent.arguments for intent in deeds.open] == [ARGUMENTS]
    third.may_end.set()
    await running
