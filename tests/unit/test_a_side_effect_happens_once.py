"""The effect ledger on the bus in memory: a crash, a retry, a second turn and a lost ownership."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from parley_mesh.bus import Write
from parley_mesh.memory import MemoryBus
from parley_proto import subjects
from parley_proto.envelope import encode
from parley_proto.errors import PermanentError, TransientError
from parley_proto.specialist import AssignTurn, TurnOpened, TurnRevoked
from parley_specialist.ledger import Ledger, effect_key
from parley_specialist.tools import ToolContext, ToolRefusedError, ToolResult, tool
from parley_testkit.samples import ASSIGN, AT, CONVERSATION, TURN

ARGUMENTS = {"payment_id": "PAY-1"}


@tool(use_when=("refund it",), key=("payment_id",), confirm="Refund {payment_id}?")
async def refund(context: ToolContext, payment_id: Annotated[str, Meta(pattern=r"^PAY-\d+$")]) -> ToolResult:
    """Refund a payment."""
    return ToolResult("unused")


class ThirdParty:
    def __init__(self, fail: list[Exception] | None = None) -> None:
        self.fail = fail or []
        self.keys: list[str] = []
        self.bodies: list[dict[str, Any]] = []

    async def __call__(self, key: str, arguments: dict[str, Any]) -> ToolResult:
        self.keys.append(key)
        self.bodies.append(arguments)
        if self.fail:
            raise self.fail.pop(0)
        return ToolResult("PAY-1 was refunded.", {"refund": "REF-1"})


async def opened(bus: MemoryBus, turn: AssignTurn = ASSIGN) -> Ledger:
    step = TurnOpened(turn.turn_id, turn.epoch, turn.specialty, AT)
    await bus.append(subjects.step(CONVERSATION, turn.turn_id), encode(step))
    return Ledger(bus)


async def once(ledger: Ledger, third: ThirdParty, turn: AssignTurn = ASSIGN) -> ToolResult:
    return await ledger.once(turn, refund, ARGUMENTS, third)


async def test_the_second_time_the_recorded_outcome_comes_back() -> None:
    ledger, third = await opened(MemoryBus()), ThirdParty()
    first, second = await once(ledger, third), await once(ledger, third)
    assert len(third.keys) == 1
    assert (first.summary, first.data) == (second.summary, second.data)


async def test_a_refusal_on_the_second_try_settles_nothing_that_may_have_happened() -> None:
    fails = [TransientError("gone"), ToolRefusedError("I can't read your records.")]
    ledger, third = await opened(MemoryBus()), ThirdParty(fails)
    with pytest.raises(TransientError):
        await once(ledger, third)
    with pytest.raises(ToolRefusedError):
        await once(ledger, third)
    await once(ledger, third)
    assert len(third.keys) == 3 and len(set(third.keys)) == 1


async def test_another_turn_about_the_same_payment_finds_the_outcome_too() -> None:
    bus, third = MemoryBus(), ThirdParty()
    later = msgspec.structs.replace(ASSIGN, turn_id="t" + "9" * 32, epoch=4)
    await once(await opened(bus), third)
    await once(await opened(bus, later), third, later)
    assert len(third.keys) == 1


async def test_an_unknown_outcome_is_carried_out_again_under_the_same_key() -> None:
    ledger, third = await opened(MemoryBus()), ThirdParty([TransientError("gone")])
    with pytest.raises(TransientError):
        await once(ledger, third)
    await once(ledger, third)
    assert len(third.keys) == 2 and len(set(third.keys)) == 1


async def test_what_was_intended_is_repeated_even_if_the_model_now_says_something_else() -> None:
    ledger, third = await opened(MemoryBus()), ThirdParty([TransientError("gone")])
    with pytest.raises(TransientError):
        await once(ledger, third)
    await ledger.once(ASSIGN, refund, ARGUMENTS | {"reason": "another"}, third)
    assert third.bodies == [ARGUMENTS, ARGUMENTS]


async def test_a_refusal_is_recorded_and_may_be_tried_again_later_under_a_new_key() -> None:
    ledger, third = await opened(MemoryBus()), ThirdParty([ToolRefusedError("It is too late.")])
    with pytest.raises(ToolRefusedError):
        await once(ledger, third)
    assert (await once(ledger, third)).summary == "PAY-1 was refunded."
    assert len(third.keys) == 2 and len(set(third.keys)) == 2


@pytest.mark.parametrize("journal", ["revoked", "missing"])
async def test_a_turn_that_lost_the_conversation_may_not_act(journal: str) -> None:
    bus, third = MemoryBus(), ThirdParty()
    ledger = await opened(bus) if journal == "revoked" else Ledger(bus)
    if journal == "revoked":
        revoked = TurnRevoked(TURN, 1, "handoff", AT)
        await bus.commit([Write(subjects.step(CONVERSATION, TURN), encode(revoked))])
    with pytest.raises(PermanentError, match="lost the conversation"):
        await once(ledger, third)
    assert third.keys == []


async def test_intent_stands_in_journal_and_ledger_before_the_third_party_is_asked() -> None:
    bus = MemoryBus()
    ledger = await opened(bus)
    seen: list[Any] = []

    async def third(key: str, arguments: dict[str, Any]) -> ToolResult:
        seen.append([stored.subject.partition(".")[0] for stored in bus.everything()])
        return ToolResult("done")

    await ledger.once(ASSIGN, refund, ARGUMENTS, third)
    assert seen == [["step", "step", "effect"]]


def test_the_key_names_customer_and_object_but_nothing_the_model_wrote_freely() -> None:
    other = msgspec.structs.replace(ASSIGN, turn_id="t" + "8" * 32)
    assert effect_key(ASSIGN, refund, ARGUMENTS | {"reason": "a"}) == effect_key(other, refund, ARGUMENTS)
