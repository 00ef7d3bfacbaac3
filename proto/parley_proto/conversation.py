"""What happens to a conversation, what its owner remembers, and what the customer is shown."""

from __future__ import annotations

from typing import Literal

import msgspec

from parley_proto.envelope import Identity, digest
from parley_proto.specialist import (
    Citation,
    ConsultAnswered,
    EscalationRequested,
    HandoffRequested,
    HandoffSummary,
    Kind,
    Line,
    Offer,
    Summary,
    TurnAnswered,
    TurnFailed,
)

MAX_TEXT_BYTES = 8000


def reply_id(turn_id: str) -> str:
    """The id of a turn's answer: known before its first word, the same for every attempt."""
    return digest(turn_id, "reply")


class CustomerMessage(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """A customer's words. `message_id` = digest(tenant, conversation, client id), also the log's `Nats-Msg-Id`."""

    message_id: str
    client_id: str
    text: str
    body_hash: str
    identity: Identity
    at: int


class CancelRequested(msgspec.Struct, frozen=True, tag=True):
    """The customer stops the running turn."""

    identity: Identity
    at: int


class PersonRequested(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """The customer chooses: a person (`to` = escalation) or a specialty."""

    identity: Identity
    at: int
    to: str = "escalation"


class FeedbackGiven(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    identity: Identity
    message_id: str
    rating: Literal["up", "down"]
    at: int
    comment: str = ""


class RetryRequested(msgspec.Struct, frozen=True, tag=True):
    """An operator wants the customer's `messages`, which became a dead letter, to be answered after all."""

    dead_id: str
    messages: list[Line]
    at: int


class SummaryWritten(msgspec.Struct, frozen=True, tag=True):
    """`recap` stands for what was known before and for the oldest lines of the window, up to message `upto`.

    The log's id is digest(conversation, `upto`), so that a repeat is harmless.
    """

    upto: str
    recap: Summary
    at: int


class TurnDue(msgspec.Struct, frozen=True, tag=True):
    """The scheduled deadline of a turn: wakes the owner even when it had paged the conversation out."""

    turn_id: str
    epoch: int


Entry = (
    CustomerMessage
    | CancelRequested
    | PersonRequested
    | FeedbackGiven
    | RetryRequested
    | SummaryWritten
    | TurnDue
    | TurnAnswered
    | HandoffRequested
    | EscalationRequested
    | TurnFailed
    | ConsultAnswered
)


class OpenTurn(msgspec.Struct, frozen=True, omit_defaults=True):
    """The turn that is being answered. At most one per conversation."""

    turn_id: str
    epoch: int
    specialty: str
    opened_at: int
    deadline_at: int
    messages: list[Line]


class Checkpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """The whole hot state of a conversation: 32 KB or less, one revision kept (design.md, 'One log').

    `last_in_seq` is the last log entry applied; entries at or below it are dropped. `wish` is the specialty that the
    customer chose while a side effect was under way: the conversation moves there once the turn has ended.
    """

    conversation: str
    identity: Identity
    opened_at: int
    last_in_seq: int = 0
    owner: str = ""
    epoch: int = 0
    turns: int = 0
    handoffs: int = 0
    turn: OpenTurn | None = None
    queue: list[Line] = []
    window: list[Line] = []
    recap: Summary = Summary()
    offer: Offer | None = None
    recent: dict[str, str] = {}
    notices_seen: list[str] = []
    escalated: bool = False
    wish: str = ""
    asked_back: int = 0
    updated_at: int = 0
    v: int = 1


class MessageShown(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """A whole message in the resume log. `final` closes the turn's run.

    `answers` are the ids of the customer's messages that this one answers, `epoch` is the ownership it was said in.
    """

    message_id: str
    role: Literal["customer", "assistant", "system"]
    text: str
    at: int
    turn_id: str = ""
    client_id: str = ""
    specialty: str = ""
    kind: Kind | Literal[""] = ""
    model: str = ""
    offline: bool = False
    citations: list[Citation] = []
    final: bool = False
    epoch: int = 0
    answers: list[str] = []


class OwnerChanged(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Who answers from now on; a handoff is never silent."""

    owner: str
    previous: str
    epoch: int
    reason: str
    at: int
    turn_id: str = ""
    summary: HandoffSummary | None = None


class NoticeShown(msgspec.Struct, frozen=True, tag=True):
    notice_id: str
    text: str
    severity: str
    at: int


class RunEnded(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """A turn that ends without a message: the customer cancelled it, or added something that it begins anew with.

    `answers` are the messages that nobody will answer any more.
    """

    turn_id: str
    reason: str
    at: int
    answers: list[str] = []


Shown = MessageShown | OwnerChanged | NoticeShown | RunEnded


class Delta(msgspec.Struct, frozen=True, tag=True):
    """Words on their way: `text` starts at character `offset` of the message; a higher attempt retracts a lower."""

    turn_id: str
    attempt: int
    message_id: str
    specialty: str
    offset: int
    text: str


class StepShown(msgspec.Struct, frozen=True, tag=True):
    """A stage of the turn (`retrieve`, `complete`) begins or ends."""

    turn_id: str
    attempt: int
    name: str
    state: Literal["started", "finished"]


class ToolShown(msgspec.Struct, frozen=True, tag=True):
    """A tool call begins or ends; arguments and results stay inside the mesh."""

    turn_id: str
    attempt: int
    call_id: str
    name: str
    state: Literal["started", "finished"]


Live = Delta | StepShown | ToolShown
