"""The loop on the bus in memory, with a scripted model behind the real client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, cast

import msgspec
import pytest
from msgspec import Meta

from parley_mesh.cards import Directory
from parley_mesh.memory import MemoryBus
from parley_mesh.notices import NoticeBoard
from parley_proto import subjects
from parley_proto.broadcast import Notice
from parley_proto.conversation import Delta, Live
from parley_proto.envelope import decode, encode, now_ms
from parley_proto.errors import PermanentError, TransientError
from parley_proto.llm import CompletionRequest, Failed, Finished, StreamReset, TextDelta, ToolCall, ToolCalled, Usage
from parley_proto.rag import Passage, SearchReply
from parley_proto.specialist import (
    AssignTurn,
    Card,
    EscalationRequested,
    HandoffRequested,
    Line,
    Offer,
    TurnAnswered,
    TurnOpened,
)
from parley_specialist.backoffice import BackofficeClient
from parley_specialist.calls import Caller
from parley_specialist.clients import Consults, Knowledge, Model
from parley_specialist.ledger import Ledger
from parley_specialist.loop import Deps, Loop
from parley_specialist.settings import Settings
from parley_specialist.spec import Spec
from parley_specialist.tools import ToolContext, ToolRefusedError, ToolResult, tool
from parley_testkit.samples import ASSIGN, AT, NOTICE

DONE = Finished("stop", "scripted", Usage(1, 1))
CALLED = Finished("tool_calls", "scripted", Usage(1, 1))
Event = TextDelta | ToolCalled | Finished | Failed


@tool(use_when=("my payments",))
async def list_payments(context: ToolContext) -> ToolResult:
    """List the payments."""
    return ToolResult(f"{context.identity.customer_id} has two payments.")


@tool(use_when=("refund",), key=("payment_id",), confirm="Shall I refund {payment_id}?")
async def refund(context: ToolContext, payment_id: Annotated[str, Meta(pattern=r"^PAY-\d+$")]) -> ToolResult:
    """Refund a payment."""
    return ToolResult(f"{payment_id} was refunded.")


async def _is_yours(_context: ToolContext, payment_id: str) -> None:
    if payment_id == "PAY-9":
        raise ToolRefusedError("PAY-9 is not yours.")


@tool(use_when=("dispute",), key=("payment_id",), confirm="Shall I dispute {payment_id}?", before_asking=_is_yours)
async def dispute(context: ToolContext, payment_id: str) -> ToolResult:
    """Dispute a payment."""
    return ToolResult(f"{payment_id} is disputed.")


SPEC = Spec("billing", "Billing", "charges", "You are billing.", [list_payments, refund, dispute])


class FakeBackoffice:
    def of(self, identity: Any, key: str = "", *, repeatable: bool = True) -> None:
        return None


class Known:
    """Stands in for the directory and the notice board, which the contract suite tries on real NATS."""

    def __init__(self, notices: list[Notice]) -> None:
        self._notices = notices

    def cards(self) -> list[Card]:
        return [Card(name, name.title(), name, "1") for name in ("billing", "technical", "escalation")]

    def in_force(self, _specialty: str) -> list[Notice]:
        return self._notices


class Scene:
    def __init__(self, *script: list[Event], notices: list[Notice] | None = None, knowledge: bool = True) -> None:
        self.bus = MemoryBus()
        self.requests: list[CompletionRequest] = []
        self.live: list[Live] = []
        self._script = list(script)
        self.bus.serve("llm.complete.standard", stream=self._model)
        if knowledge:
            self.bus.serve("rag.search", self._search)
        known = Known(notices or [])
        settings = Settings(model_patience_s=0.3, search_timeout_s=0.2, consult_timeout_s=0.2)
        self.loop = Loop(
            SPEC,
            settings,
            Deps(
                self.bus,
                Model(self.bus, settings.model_patience_s),
                Knowledge(self.bus, settings.search_timeout_s, 5),
                Consults(self.bus, "billing", settings.consult_timeout_s),
                Caller(SPEC, cast(BackofficeClient, FakeBackoffice()), Ledger(self.bus)),
                cast(Directory, known),
                cast(NoticeBoard, known),
                64,
            ),
        )

    async def answer(self, turn: AssignTurn | None = None) -> Any:
        turn = turn or fresh()
        await self.bus.listen("live.*", self._hear)
        opened = TurnOpened(turn.turn_id, turn.epoch, turn.specialty, AT)
        await self.bus.append(subjects.step(turn.conversation, turn.turn_id), encode(opened))
        return await self.loop.answer(turn, 1)

    async def _hear(self, _subject: str, data: bytes, _headers: dict[str, str]) -> None:
        self.live.append(decode(data, Live))

    async def _search(self, _data: bytes, _headers: dict[str, str]) -> bytes:
        return encode(SearchReply([Passage("p", "billing/refunds", "Refunds", "Refunds take 3 days.", 0.8)]))

    async def _model(self, data: bytes, _headers: dict[str, str]) -> AsyncIterator[bytes]:
        self.requests.append(decode(data, CompletionRequest))
        for event in self._script.pop(0):
            yield encode(event)


def fresh(**changes: Any) -> AssignTurn:
    return msgspec.structs.replace(ASSIGN, deadline_at=now_ms() + 30_000, offer=None, **changes)


def call(name: str, **arguments: Any) -> list[Event]:
    return [ToolCalled(ToolCall("c1", name, msgspec.json.encode(arguments).decode())), CALLED]


def say(text: str) -> list[Event]:
    return [TextDelta(text[:3]), TextDelta(text[3:]), DONE]


async def test_a_passage_that_the_text_marks_is_cited_and_the_words_flow_live() -> None:
    scene = Scene(say("Refunds take 3 days [1]."))
    answered = await scene.answer()
    assert isinstance(answered, TurnAnswered) and answered.kind == "grounded"
    assert [citation.title for citation in answered.citations] == ["Refunds"]
    words = [live for live in scene.live if isinstance(live, Delta)]
    assert [(delta.offset, delta.text) for delta in words] == [(0, "Ref"), (3, "unds take 3 days [1].")]


async def test_a_tool_works_on_the_customer_of_the_session() -> None:
    scene = Scene(call("list_payments"), say("You have two payments."))
    answered = await scene.answer()
    assert answered.tools == ["list_payments"]
    assert "cus_0001 has two payments." in scene.requests[1].messages[-1].content


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("list_payments", {"customer_id": "cus_0002"}, "bad_arguments"),
        ("refund", {"payment_id": "1; DROP TABLE"}, "bad_arguments"),
        ("format_disk", {}, "no_such_tool"),
        ("handoff", {"to": "nobody", "reason": "x"}, "no_such_specialty"),
        ("handoff", {"too": "technical"}, "bad_arguments"),
        ("consult", {"specialty": "billing", "question": "x"}, "no_such_specialty"),
    ],
)
async def test_a_call_that_does_not_fit_is_refused_to_the_model_and_the_turn_goes_on(
    name: str, arguments: dict[str, Any], code: str
) -> None:
    scene = Scene(call(name, **arguments), say("Sorry, what do you need?"))
    answered = await scene.answer()
    result = msgspec.json.decode(scene.requests[1].messages[-1].content)
    assert result["error"]["code"] == code
    assert answered.kind == "asked"


async def test_an_effect_waits_for_the_customers_yes_to_these_very_arguments() -> None:
    scene = Scene(call("refund", payment_id="PAY-1"), say("Shall I refund PAY-1?"))
    offered = await scene.answer()
    assert offered.offer == Offer("refund", {"payment_id": "PAY-1"}, "Shall I refund PAY-1?")
    assert not scene.bus.everything("effect.*")
    other = Scene(call("refund", payment_id="PAY-2"), say("Shall I?"))
    swapped = await other.answer(msgspec.structs.replace(fresh(), offer=offered.offer))
    assert swapped.offer.arguments == {"payment_id": "PAY-2"} and not other.bus.everything("effect.*")
    yes = Scene(call("refund", payment_id="PAY-1"), say("Done."))
    agreed = [Line("customer", "Yes please", "m-2")]
    done = await yes.answer(msgspec.structs.replace(fresh(messages=agreed), offer=offered.offer))
    assert done.tools == ["refund"] and len(yes.bus.everything("effect.*")) == 2


async def test_nobody_is_asked_for_a_yes_that_would_lead_to_a_no() -> None:
    scene = Scene(call("dispute", payment_id="PAY-9"), say("It is not yours."))
    answered = await scene.answer()
    result = msgspec.json.decode(scene.requests[1].messages[-1].content)
    assert result["error"] == {"code": "refused", "message": "PAY-9 is not yours."}
    assert answered.offer is None
    possible = await Scene(call("dispute", payment_id="PAY-1"), say("Shall I dispute PAY-1?")).answer()
    assert possible.offer == Offer("dispute", {"payment_id": "PAY-1"}, "Shall I dispute PAY-1?")


@pytest.mark.parametrize("words", ["NO! do not cancel it", "what does it cost?", "yes, but wait", "never mind"])
async def test_a_model_that_claims_a_yes_which_the_customer_did_not_say_changes_nothing(words: str) -> None:
    offer = Offer("refund", {"payment_id": "PAY-1"}, "Shall I refund PAY-1?")
    scene = Scene(call("refund", payment_id="PAY-1"), say("Shall I refund PAY-1?"))
    said = fresh(messages=[Line("customer", words, "m-2")])
    answered = await scene.answer(msgspec.structs.replace(said, offer=offer))
    assert answered.offer == offer and not scene.bus.everything("effect.*")


async def test_a_handoff_carries_what_was_found_out() -> None:
    scene = Scene(call("list_payments"), call("handoff", to="technical", reason="The router is at fault."))
    moved = await scene.answer()
    assert isinstance(moved, HandoffRequested) and moved.to == "technical"
    facts = [fact.text for fact in moved.summary.facts]
    assert "cus_0001 has two payments." in facts
    assert all(fact.message_ids for fact in moved.summary.facts)


async def test_an_escalation_names_its_urgency() -> None:
    pleaded = await Scene(call("escalate", urgency="high", reason="Angry.")).answer()
    assert isinstance(pleaded, EscalationRequested) and pleaded.urgency == "high"


async def test_a_consult_that_nobody_answers_is_recorded_and_the_asker_goes_on() -> None:
    scene = Scene(call("consult", specialty="technical", question="Is it online?"), say("I could not ask them."))
    await scene.answer()
    assert "did not answer in time" in scene.requests[1].messages[-1].content
    records = [stored for stored in scene.bus.everything("conv.>") if b"ConsultAnswered" in stored.data]
    assert len(records) == 1 and b"no_answer" in records[0].data


async def test_knowledge_that_is_away_is_said_to_be_away() -> None:
    scene = Scene(say("I can't search the help pages."), knowledge=False)
    await scene.answer()
    assert "knowledge_unavailable" in scene.requests[0].messages[-1].content


async def test_notices_in_force_stand_before_the_customers_words() -> None:
    scene = Scene(say("Card payments are down?"), notices=[NOTICE])
    answered = await scene.answer(fresh(notices=[]))
    assert "Card payments are down." in scene.requests[0].messages[1].content
    assert answered.notices == ["notice-1"]


async def test_a_model_that_passes_out_is_asked_again_from_the_start() -> None:
    scene = Scene([TextDelta("Hal"), Failed("internal", "Cut.", True)], say("Hello, what is it?"))
    assert (await scene.answer()).text == "Hello, what is it?"
    assert [live.offset for live in scene.live if isinstance(live, Delta)] == [0, 0, 3]


async def test_words_that_the_gateway_takes_back_are_not_in_the_answer() -> None:
    scene = Scene([TextDelta("Hal"), StreamReset(2, "stream_cut"), *say("Hello, what is it?")])
    assert (await scene.answer()).text == "Hello, what is it?"
    assert [live.offset for live in scene.live if isinstance(live, Delta)] == [0, 0, 3]


async def test_what_the_gateway_has_tried_twice_is_not_tried_again_by_the_specialist() -> None:
    scene = Scene([Failed("provider_error", "The provider failed.", True)], say("Too much."))
    with pytest.raises(PermanentError):
        await scene.answer()
    assert len(scene.requests) == 1


async def test_a_model_that_stays_away_gives_the_turn_back_and_one_that_refuses_ends_it() -> None:
    with pytest.raises(TransientError):
        await Scene(*[[Failed("provider_resting", "Down.", True)]] * 20).answer()
    with pytest.raises(PermanentError):
        await Scene([Failed("content_filter", "No.", False)]).answer()


async def test_an_endless_tool_loop_ends() -> None:
    with pytest.raises(PermanentError, match="without an answer"):
        await Scene(*[call("list_payments")] * 9).answer()
