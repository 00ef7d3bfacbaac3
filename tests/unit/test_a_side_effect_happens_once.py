"""The effect ledger on the bus in memory: a crash, a retry, a second turn and a lost ownership."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, cast

import msgspec
import pytest
from msgspec import Meta

from parley_mesh.bus import Write
from parley_mesh.memory import MemoryBus
from parley_proto import subjects
from parley_proto.envelope import decode, encode
from parley_proto.errors import AmbiguousCommitError, PermanentError, TransientError
from parley_proto.specialist import (
    AssignTurn,
    Effect,
    EffectIntended,
    EffectSettled,
    EffectUnknown,
    TurnOpened,
    TurnRevoked,
)
from parley_specialist.backoffice import BackofficeClient, CustomerBackoffice
from parley_specialist.ledger import Ledger, UnknownOutcomeError, effect_key
from parley_specialist.tools import UNREADABLE, ToolContext, ToolRefusedError, ToolResult, tool
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


class Slow(ThirdParty):
    """Its answer is on its way until `arrive`."""

    def __init__(self, fail: list[Exception] | None = None) -> None:
        super().__init__(fail)
        self._asked = asyncio.Event()
        self._arrived = asyncio.Event()

    async def __call__(self, key: str, arguments: dict[str, Any]) -> ToolResult:
        self._asked.set()
        await self._arrived.wait()
        return await super().__call__(key, arguments)

    async def asked(self) -> None:
        await self._asked.wait()

    def arrive(self) -> None:
        self._arrived.set()


class Electing(MemoryBus):
    """A log that does not take the next `away` outcomes, or takes them without saying so (`silent`)."""

    def __init__(self, away: int, *, silent: bool = False) -> None:
        super().__init__()
        self._away = away
        self._silent = silent

    async def commit(self, batch: list[Write]) -> int:
        if self._away and isinstance(decode(batch[-1].data, Effect), EffectSettled):
            self._away -= 1
            if self._silent:
                await super().commit(batch)
            raise AmbiguousCommitError("No answer in time.", code="timeout")
        return await super().commit(batch)


def last_word(bus: MemoryBus) -> Effect:
    found: Effect = decode(bus.everything("effect.*")[-1].data, Effect)
    return found


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


async def test_records_that_can_not_be_read_say_nothing_about_what_may_have_happened() -> None:
    fails = [TransientError("gone"), ToolRefusedError("I can't read your records.", code=UNREADABLE)]
    bus, third = MemoryBus(), ThirdParty(fails)
    ledger = await opened(bus)
    for _ in range(2):
        with pytest.raises(TransientError):
            await once(ledger, third)
    assert isinstance(last_word(bus), EffectIntended)
    await once(ledger, third)
    assert len(third.keys) == 3 and len(set(third.keys)) == 1


class Away:
    """A third party that can't be reached."""

    async def call(self, *_: Any, **__: Any) -> None:
        raise TransientError("The back office can't be reached.")


async def test_a_failed_read_is_no_refusal_of_the_effect_behind_it() -> None:
    """Tools read before they act: the ledger knows by the code that nothing was said about the effect."""
    backoffice = CustomerBackoffice(cast(BackofficeClient, Away()), "/v1/customers/cus_0001", "key", repeatable=True)
    with pytest.raises(ToolRefusedError) as caught:
        await backoffice.get("/payments")
    assert caught.value.code == UNREADABLE
    with pytest.raises(TransientError):
        await backoffice.send("POST", "/payments/PAY-1/refund", {})


async def test_a_refusal_of_what_may_have_happened_before_goes_to_a_person() -> None:
    bus, third = MemoryBus(), ThirdParty([TransientError("gone"), ToolRefusedError("It is too late.")])
    ledger = await opened(bus)
    with pytest.raises(TransientError):
        await once(ledger, third)
    for _ in range(2):
        with pytest.raises(UnknownOutcomeError):
            await once(ledger, third)
    assert len(third.keys) == 2 and isinstance(last_word(bus), EffectUnknown)


async def test_a_refusal_after_a_try_that_has_left_goes_to_a_person_too() -> None:
    refused = ToolRefusedError("There is no such payment.")
    refused.uncertain = True
    bus, third = MemoryBus(), ThirdParty([refused])
    ledger = await opened(bus)
    for _ in range(2):
        with pytest.raises(UnknownOutcomeError):
            await once(ledger, third)
    assert len(third.keys) == 1 and isinstance(last_word(bus), EffectUnknown)


async def test_a_refusal_that_comes_late_does_not_undo_what_another_attempt_has_recorded() -> None:
    """Paused between the refusal and its record, while another attempt has taken over and succeeded."""
    bus, paused, third = MemoryBus(), Slow([ToolRefusedError("Not now.")]), ThirdParty()
    ledger = await opened(bus)
    first = asyncio.create_task(once(ledger, paused))
    await paused.asked()
    await once(ledger, third)
    paused.arrive()
    assert (await first).summary == "PAY-1 was refunded."
    await once(ledger, third)
    assert len(third.keys) == 1 and last_word(bus) == EffectSettled(
        effect_key(ASSIGN, refund, ARGUMENTS),
        "refund",
        CONVERSATION,
        TURN,
        True,
        {"summary": "PAY-1 was refunded.", "data": {"refund": "REF-1"}},
        last_word(bus).at,
    )


async def test_a_refusal_settles_nothing_that_another_attempt_has_taken_up() -> None:
    bus, paused, other = MemoryBus(), Slow([ToolRefusedError("Not now.")]), Slow()
    ledger = await opened(bus)
    first = asyncio.create_task(once(ledger, paused))
    await paused.asked()
    second = asyncio.create_task(once(ledger, other))
    await other.asked()
    paused.arrive()
    with pytest.raises(TransientError):
        await first
    other.arrive()
    await second
    assert paused.keys == other.keys
    found = last_word(bus)
    assert isinstance(found, EffectSettled) and found.ok


async def test_a_success_is_recorded_whoever_has_taken_its_intent_up_meanwhile() -> None:
    bus, slow, other = MemoryBus(), Slow(), Slow([TransientError("gone")])
    ledger = await opened(bus)
    first = asyncio.create_task(once(ledger, slow))
    await slow.asked()
    second = asyncio.create_task(once(ledger, other))
    await other.asked()
    slow.arrive()
    assert (await first).summary == "PAY-1 was refunded."
    other.arrive()
    with pytest.raises(TransientError):
        await second
    assert (await once(ledger, other)).summary == "PAY-1 was refunded."
    assert len(slow.keys) == len(other.keys) == 1


@pytest.mark.parametrize("silent", [False, True])
async def test_a_known_outcome_waits_for_the_election_of_a_new_leader(silent: bool) -> None:
    bus, third = Electing(2, silent=silent), ThirdParty()
    ledger = await opened(bus)
    assert (await once(ledger, third)).summary == "PAY-1 was refunded."
    found = last_word(bus)
    assert isinstance(found, EffectSettled) and found.ok and len(third.keys) == 1


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
