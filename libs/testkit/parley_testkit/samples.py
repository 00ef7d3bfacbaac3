"""One valid example of each message, used by every test and frozen in proto/golden."""

from __future__ import annotations

from typing import Any

import msgspec

from parley_proto.broadcast import Notice
from parley_proto.conversation import (
    CancelRequested,
    Checkpoint,
    CustomerMessage,
    Delta,
    FeedbackGiven,
    MessageShown,
    NoticeShown,
    OpenTurn,
    OwnerChanged,
    PersonRequested,
    RetryRequested,
    RunEnded,
    StepShown,
    SummaryWritten,
    ToolShown,
    TurnDue,
)
from parley_proto.envelope import Identity
from parley_proto.llm import (
    Alive,
    ChatMessage,
    CompletionRequest,
    Failed,
    Finished,
    StreamReset,
    TextDelta,
    ToolCall,
    ToolCalled,
    ToolSpec,
    Usage,
    VectorsReply,
    VectorsRequest,
)
from parley_proto.rag import Document, IngestRequest, Passage, SearchReply, SearchRequest
from parley_proto.specialist import (
    AskConsult,
    AssignTurn,
    AttemptBegan,
    AttemptFailed,
    Card,
    Citation,
    ConsultAnswered,
    DeadLetter,
    EffectIntended,
    EffectSettled,
    EffectUnknown,
    EscalationRequested,
    Fact,
    HandoffRequested,
    HandoffSummary,
    Line,
    Offer,
    RouteHint,
    Summary,
    TurnAnswered,
    TurnDecided,
    TurnFailed,
    TurnOpened,
    TurnRevoked,
)

CONVERSATION = "cAAAAAAAAAAAAAAAAAAAAAA"
TURN = "t0123456789abcdef0123456789abcdef"
AT = 1_780_000_000_000
IDENTITY = Identity("default", "anonymous", "cus_0001", "Ada Moor")
LINE = Line("customer", "I was charged twice for my last order", "m-1", at=AT)
CITATION = Citation(1, "Duplicate charges", "billing/duplicate-charges", "What we do")
OFFER = Offer("refund_payment", {"payment_id": "PAY-100002"}, "Shall I refund PAY-100002?")
SUMMARY = HandoffSummary("It is a refund.", [Fact("Charged twice.", ["m-1"])], ["A call back."], ["When?"])
RECAP = Summary(
    [Fact("The customer was charged twice.", ["m-1"])],
    [Fact("I have refunded PAY-100002.", ["m-2"])],
    [Fact("When does the money arrive?", ["m-3"])],
)
NOTICE = Notice("notice-1", "outage", "Card payments are down.", AT + 3_600_000)
CALL = ToolCall("call-1", "list_payments", "{}")


def customer_message(text: str = LINE.text, client_id: str = "1", **changes: object) -> CustomerMessage:
    message = CustomerMessage(f"m-{client_id}", client_id, text, "0" * 16, IDENTITY, AT)
    return msgspec.structs.replace(message, **changes)


def answered(turn: AssignTurn, text: str = "It was charged twice [1].", **changes: object) -> TurnAnswered:
    outcome = TurnAnswered(
        turn_id=turn.turn_id,
        attempt=1,
        epoch=turn.epoch,
        specialty=turn.specialty,
        at=AT,
        text=text,
        kind="grounded",
        model="sample",
        citations=[CITATION],
        tools=["list_payments"],
    )
    return msgspec.structs.replace(outcome, **changes)


ASSIGN = AssignTurn(
    turn_id=TURN,
    epoch=1,
    conversation=CONVERSATION,
    identity=IDENTITY,
    specialty="billing",
    messages=[LINE],
    window=[Line("assistant", "How can I help?", "m-0", "billing", AT)],
    deadline_at=AT + 60_000,
    handoff=SUMMARY,
    handed_from="technical",
    offer=OFFER,
    hint=RouteHint("billing", 0.9),
    notices=[NOTICE],
)
_OUTCOME: dict[str, Any] = {"turn_id": TURN, "attempt": 1, "epoch": 1, "specialty": "billing", "at": AT}

MESSAGES: tuple[msgspec.Struct, ...] = (
    customer_message(),
    CancelRequested(IDENTITY, AT),
    PersonRequested(IDENTITY, AT),
    FeedbackGiven(IDENTITY, "m-2", "up", AT),
    SummaryWritten("m-3", RECAP, AT),
    TurnDue(TURN, 1),
    RetryRequested("d" * 32, [LINE], AT),
    answered(ASSIGN, offer=OFFER),
    HandoffRequested(**_OUTCOME, to="technical", summary=SUMMARY),
    EscalationRequested(**_OUTCOME, urgency="high", summary=SUMMARY),
    TurnFailed(**_OUTCOME, code="deadline", reason="The turn ran out of time."),
    ASSIGN,
    AskConsult("q-1", TURN, CONVERSATION, IDENTITY, "billing", "returns", "Was it sent back?", AT, "consult.billing.q"),
    ConsultAnswered("q-1", TURN, "billing", "returns", "Was it sent back?", AT, "Yes, on 3 November."),
    TurnOpened(TURN, 1, "billing", AT),
    TurnRevoked(TURN, 1, "handoff", AT),
    TurnDecided(TURN, AT, [ChatMessage("assistant", tool_calls=[CALL])], ["list_payments"], ["Charged twice."], OFFER),
    AttemptBegan(TURN, 3, AT),
    AttemptFailed(TURN, 1, "unavailable", "Nobody answers.", AT),
    DeadLetter("d" * 32, CONVERSATION, "attempts", "Nobody answers.", AT, 7, "billing", TURN, [LINE]),
    EffectIntended("k" * 32, "refund_payment", CONVERSATION, TURN, 1, {"payment_id": "PAY-100002"}, AT),
    EffectSettled("k" * 32, "refund_payment", CONVERSATION, TURN, True, {"summary": "Refunded."}, AT),
    EffectUnknown("k" * 32, "refund_payment", CONVERSATION, TURN, AT),
    MessageShown("m-2", "assistant", "Hello", AT, turn_id=TURN, specialty="billing", kind="grounded", final=True),
    OwnerChanged("billing", "", 1, "routed", AT, TURN, SUMMARY),
    NoticeShown("notice-1", "Card payments are down.", "warning", AT),
    RunEnded(TURN, "cancelled", AT),
    Delta(TURN, 1, "m-2", "billing", 0, "Hel"),
    StepShown(TURN, 1, "retrieve", "started"),
    ToolShown(TURN, 1, "call-1", "list_payments", "finished"),
    Checkpoint(
        CONVERSATION,
        IDENTITY,
        AT,
        last_in_seq=7,
        owner="billing",
        epoch=1,
        turn=OpenTurn(TURN, 1, "billing", AT, AT + 60_000, [LINE]),
        window=[LINE],
        recent={"m-1": "0" * 16},
    ),
    Card("billing", "Billing", "invoices, charges, refunds", "1"),
    NOTICE,
    CompletionRequest(
        "r" * 20,
        "default",
        CONVERSATION,
        [ChatMessage("user", "Hello"), ChatMessage("assistant", tool_calls=[CALL])],
        AT,
        [ToolSpec("list_payments", "List payments.", {"type": "object", "properties": {}})],
    ),
    Alive("r" * 20),
    TextDelta("Hel"),
    ToolCalled(CALL),
    Finished("stop", "parley-offline-1", Usage(10, 3), True),
    Failed("deadline", "Too late.", False),
    StreamReset(2, "stream_cut"),
    VectorsRequest("r" * 20, "default", ["late parcel"], 1_700_000_000_000, model="small", key="rag"),
    VectorsReply("small", 2, b"\x00\x00\x80?\x00\x00\x00@", 3),
    SearchRequest("charged twice", specialty="billing"),
    SearchReply([Passage("p-1", "billing/duplicate-charges", "Duplicate charges", "We reverse it.", 0.8)]),
    IngestRequest([Document("billing/x", "X", "Text.", "billing")]),
)
