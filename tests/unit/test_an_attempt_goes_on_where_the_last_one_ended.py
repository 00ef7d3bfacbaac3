"""A turn that is resumed: what was decided before its side effect is not decided again, and nothing happens twice."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from test_a_turn_goes_through_the_shared_loop import Event, Scene, call, fresh, say

from parley_mesh.bus import Write
from parley_proto import subjects
from parley_proto.envelope import decode, encode
from parley_proto.errors import UNKNOWN_OUTCOME, PermanentError, TransientError
from parley_proto.llm import Failed, Finished, ToolCall, ToolCalled, Usage
from parley_proto.specialist import (
    AssignTurn,
    EffectSettled,
    EffectUnknown,
    EscalationRequested,
    Line,
    Offer,
    Step,
    TurnAnswered,
    TurnDecided,
    TurnOpened,
    TurnRevoked,
)
from parley_specialist.calls import Caller
from parley_specialist.ledger import Ledger
from parley_specialist.loop import Loop
from parley_specialist.settings import Settings
from parley_specialist.spec import Spec
from parley_specialist.tools import UNREADABLE, ToolContext, ToolRefusedError, ToolResult, tool
from parley_testkit.samples import AT

OFFER = Offer("refund", {"payment_id": "PAY-1"}, "Shall I refund PAY-1?")
YES = [Line("customer", "Yes please", "m-2")]


class Third:
    """A third party that may end a call before or after it did it."""

    def __init__(self, *ends: Exception | None) -> None:
        self.ends = list(ends)
        self.did: list[str] = []


class Stage(Scene):
    """A scene whose refund goes to `third`, and whose turn can be attempted several times."""

    def __init__(self, third: Third, *script: list[Event], idempotent: bool = True) -> None:
        super().__init__(*script)

        @tool(use_when=("refund",), key=("payment_id",), confirm="Shall I refund {payment_id}?")
        async def refund(context: ToolContext, payment_id: str) -> ToolResult:
            """Refund a payment."""
            third.did.append(payment_id)
            if error := third.ends.pop(0) if third.ends else None:
                raise error
            return ToolResult(f"{payment_id} was refunded.")

        @tool(use_when=("my payments",))
        async def list_payments(context: ToolContext) -> ToolResult:
            """List the payments."""
            return ToolResult("You have one payment.")

        spec = Spec("billing", "Billing", "charges", "You are billing.", [refund, list_payments])
        deps = self.loop._deps
        caller = Caller(spec, deps.caller._backoffice, Ledger(self.bus), idempotent=idempotent)
        self.loop = Loop(spec, Settings(model_patience_s=0.3, search_timeout_s=0.2), deps._replace(caller=caller))
        self.turn: AssignTurn = msgspec.structs.replace(fresh(messages=YES), offer=OFFER)

    async def open(self) -> None:
        opened = TurnOpened(self.turn.turn_id, self.turn.epoch, "billing", AT)
        await self.bus.append(self._journal, encode(opened))

    async def attempt(self, number: int) -> Any:
        return await self.loop.answer(self.turn, number)

    async def revoke(self) -> None:
        revoked = TurnRevoked(self.turn.turn_id, self.turn.epoch, "handoff", AT)
        await self.bus.commit([Write(self._journal, encode(revoked))])

    def steps(self) -> list[type]:
        return [type(decode(stored.data, Step)) for stored in self.bus.everything(self._journal)]

    @property
    def _journal(self) -> str:
        return subjects.step(self.turn.conversation, self.turn.turn_id)


async def test_the_model_is_not_asked_again_about_what_was_decided_before_the_crash() -> None:
    third = Third(TransientError("died"))
    stage = Stage(third, call("refund", payment_id="PAY-1"), say("Done: PAY-1 was refunded."))
    await stage.open()
    with pytest.raises(TransientError):
        await stage.attempt(1)
    answered = await stage.attempt(2)
    assert isinstance(answered, TurnAnswered) and answered.tools == ["refund"]
    # One request decided, the other had only the outcome left to put into words.
    assert len(stage.requests) == 2
    assert [message.role for message in stage.requests[1].messages[-2:]] == ["assistant", "tool"]


async def test_calls_before_the_effect_are_not_made_again_and_those_after_it_are() -> None:
    both: list[Event] = [
        ToolCalled(ToolCall("c1", "list_payments", "{}")),
        ToolCalled(ToolCall("c2", "refund", '{"payment_id": "PAY-1"}')),
        ToolCalled(ToolCall("c3", "list_payments", "{}")),
        Finished("tool_calls", "scripted", Usage(1, 1)),
    ]
    stage = Stage(Third(TransientError("died")), both, say("Done."))
    await stage.open()
    with pytest.raises(TransientError):
        await stage.attempt(1)
    answered = await stage.attempt(2)
    assert answered.tools == ["list_payments", "refund", "list_payments"]
    results = [message.tool_call_id for message in stage.requests[-1].messages if message.role == "tool"]
    assert results[-3:] == ["c1", "c2", "c3"]


async def test_an_effect_that_is_in_the_ledger_is_only_told() -> None:
    third = Third()
    broken: list[Event] = [Failed("provider", "It broke.", False)]
    stage = Stage(third, call("refund", payment_id="PAY-1"), broken, say("It was refunded."))
    await stage.open()
    with pytest.raises(PermanentError):
        await stage.attempt(1)
    assert third.did == ["PAY-1"]
    answered = await stage.attempt(2)
    assert answered.text == "It was refunded." and third.did == ["PAY-1"]


async def test_what_leads_to_an_effect_is_in_the_journal_before_it() -> None:
    stage = Stage(Third(), call("refund", payment_id="PAY-1"), say("Done."))
    await stage.open()
    await stage.attempt(1)
    kinds = [kind.__name__ for kind in stage.steps()]
    assert kinds == ["TurnOpened", "TurnDecided", "EffectIntended", "EffectSettled"]
    decided = decode(stage.bus.everything("step.*.*")[1].data, Step)
    assert isinstance(decided, TurnDecided) and decided.chat[-1].tool_calls[0].name == "refund"


async def test_a_turn_that_changes_nothing_writes_no_steps() -> None:
    stage = Stage(Third(), call("list_payments"), say("You have one."))
    await stage.open()
    await stage.attempt(1)
    assert stage.steps() == [TurnOpened]


async def test_a_turn_that_was_taken_away_is_not_begun_again() -> None:
    stage = Stage(Third(), say("unused"))
    await stage.open()
    await stage.revoke()
    with pytest.raises(PermanentError) as caught:
        await stage.attempt(2)
    assert caught.value.code == "revoked" and not stage.requests


async def test_a_paused_attempt_whose_conversation_has_moved_does_nothing() -> None:
    third = Third()
    stage = Stage(third, call("refund", payment_id="PAY-1"))
    await stage.open()
    await stage.revoke()
    with pytest.raises(PermanentError):
        await stage.attempt(1)
    assert third.did == [] and not stage.bus.everything("effect.*")


async def test_nobody_is_told_to_try_again_what_may_have_happened() -> None:
    """The answer is lost, and then the records can't be read: another attempt finds out, not the customer."""
    away = ToolRefusedError("I can't reach your records right now. Please try again.", code=UNREADABLE)
    third = Third(TransientError("no answer"), away, None)
    stage = Stage(third, call("refund", payment_id="PAY-1"), say("It was refunded."))
    await stage.open()
    for number in (1, 2):
        with pytest.raises(TransientError):
            await stage.attempt(number)
    answered = await stage.attempt(3)
    assert answered.text == "It was refunded." and answered.tools == ["refund"]
    assert len(stage.requests) == 2, "the model decides once, and puts the outcome into words"


async def test_a_refusal_of_what_may_have_happened_ends_the_turn_with_a_person() -> None:
    third = Third(TransientError("no answer"), ToolRefusedError("It is too late for that."))
    stage = Stage(third, call("refund", payment_id="PAY-1"))
    await stage.open()
    with pytest.raises(TransientError):
        await stage.attempt(1)
    outcome = await stage.attempt(2)
    assert isinstance(outcome, EscalationRequested) and outcome.code == UNKNOWN_OUTCOME
    effect = stage.bus.everything("effect.*")[-1]
    assert b"EffectUnknown" in effect.data and effect.subject.removeprefix("effect.") in outcome.summary.reason


@pytest.mark.parametrize("number", [1, 2])
async def test_what_can_not_be_repeated_goes_to_a_person_instead(number: int) -> None:
    """In the attempt that lost the answer, and in one that finds the intent of a process that died."""
    third = Third(TransientError("no answer") if number == 1 else ValueError("the process dies here"))
    stage = Stage(third, call("refund", payment_id="PAY-1"), idempotent=False)
    await stage.open()
    if number == 2:
        with pytest.raises(ValueError, match="dies"):
            await stage.attempt(1)
    outcome = await stage.attempt(number)
    assert isinstance(outcome, EscalationRequested) and outcome.urgency == "high"
    assert outcome.code == UNKNOWN_OUTCOME
    assert "not known whether refund" in " ".join(fact.text for fact in outcome.summary.facts)
    assert third.did == ["PAY-1"]
    last = stage.bus.everything("effect.*")[-1]
    assert b"EffectUnknown" in last.data and EffectUnknown in stage.steps()


async def test_a_call_that_never_left_may_be_tried_again_even_so() -> None:
    third = Third(TransientError("refused", code="not_sent"))
    stage = Stage(third, call("refund", payment_id="PAY-1"), say("Done."), idempotent=False)
    await stage.open()
    with pytest.raises(TransientError):
        await stage.attempt(1)
    answered = await stage.attempt(2)
    assert isinstance(answered, TurnAnswered) and third.did == ["PAY-1", "PAY-1"]
    assert stage.steps().count(EffectSettled) == 2


async def test_later_turns_do_not_try_what_nobody_knows_the_end_of() -> None:
    third = Third(TransientError("no answer"))
    stage = Stage(third, call("refund", payment_id="PAY-1"), call("refund", payment_id="PAY-1"), idempotent=False)
    await stage.open()
    await stage.attempt(1)
    stage.turn = msgspec.structs.replace(stage.turn, turn_id="t" + "9" * 32)
    await stage.open()
    outcome = await stage.attempt(1)
    assert isinstance(outcome, EscalationRequested) and third.did == ["PAY-1"]
