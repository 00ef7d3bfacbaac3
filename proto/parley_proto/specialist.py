"""Work for specialists, what they answer, and what they hand each other."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from parley_proto.broadcast import Notice
from parley_proto.envelope import Identity
from parley_proto.llm import ChatMessage

Kind = Literal["grounded", "asked", "refused", "failed", "notice", "offer"]
Urgency = Literal["low", "normal", "high", "critical"]
Burst = Literal["merge", "queue", "interrupt"]


class Citation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a sentence comes from: a knowledge passage or a tool's result. `n` is the [n] in the text."""

    n: int
    title: str
    document: str = ""
    section: str = ""
    tool: str = ""


class Fact(msgspec.Struct, frozen=True):
    """One claim of a handoff summary with the ids of the messages that support it."""

    text: str
    message_ids: list[str]


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is still known of the lines that have left the hot window, oldest first; each names its messages.

    `promises` are what our side said that it will do or has done. About 8 KB or less.
    """

    facts: list[Fact] = []
    promises: list[Fact] = []
    open_questions: list[Fact] = []


class HandoffSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the next owner must know: typed, so that nobody has to read the raw history."""

    reason: str
    facts: list[Fact] = []
    promises: list[str] = []
    open_questions: list[str] = []


class Card(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a specialty introduces itself to the others: kept in the bucket `specialists` under its name.

    `burst` is what becomes of messages that arrive during a turn: answered together after it, one by one after it, or
    together with its own in a new turn at once.
    """

    name: str
    title: str
    handles: str
    version: str
    burst: Burst = "merge"


class Offer(msgspec.Struct, frozen=True):
    """A side effect that the customer was asked to confirm: only these very arguments may run on a yes."""

    tool: str
    arguments: dict[str, Any]
    question: str


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the hot window, as models see it."""

    role: Literal["customer", "assistant", "system"]
    text: str
    message_id: str
    specialty: str = ""
    at: int = 0


class RouteHint(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the router thinks the newest message is about. `confidence` is 0 to 1.

    `specialty` is empty when the message belongs to nobody. With `ask_back` it may as well be the second of
    `alternatives`, so that asking is better than guessing. `evidence` says why: words, and what it resembles.
    """

    specialty: str = ""
    confidence: float = 0.0
    alternatives: list[str] = []
    ask_back: bool = False
    evidence: list[str] = []


class AssignTurn(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """One turn: answer `messages` (customer lines, oldest first). Times are wall-clock milliseconds."""

    turn_id: str
    epoch: int
    conversation: str
    identity: Identity
    specialty: str
    messages: list[Line]
    window: list[Line]
    deadline_at: int
    recap: Summary = Summary()
    handoff: HandoffSummary | None = None
    handed_from: str = ""
    handoffs: int = 0
    offer: Offer | None = None
    hint: RouteHint = RouteHint()
    notices: list[Notice] = []
    spec_version: str = "1"


class AskConsult(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """A question to another specialty that keeps ownership; the answer goes to `reply_to` on core NATS."""

    consult_id: str
    turn_id: str
    conversation: str
    identity: Identity
    asker: str
    specialty: str
    question: str
    deadline_at: int
    reply_to: str


Work = AssignTurn | AskConsult


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Common to all outcomes: the owner accepts only the first for the open turn of the current epoch."""

    turn_id: str
    attempt: int
    epoch: int
    specialty: str
    at: int


class TurnAnswered(Outcome, frozen=True, omit_defaults=True, kw_only=True, tag=True):
    text: str
    kind: Kind
    model: str
    citations: list[Citation] = []
    tools: list[str] = []
    notices: list[str] = []
    offer: Offer | None = None
    offline: bool = False


class HandoffRequested(Outcome, frozen=True, omit_defaults=True, kw_only=True, tag=True):
    to: str
    summary: HandoffSummary


class EscalationRequested(Outcome, frozen=True, omit_defaults=True, kw_only=True, tag=True):
    """Senior specialists and people, please: the conversation moves to `escalation` with this summary.

    `code` says why where it is no wish: `unknown_outcome`, which is also set aside for a person.
    """

    urgency: Urgency
    summary: HandoffSummary
    code: str = ""


class TurnFailed(Outcome, frozen=True, omit_defaults=True, kw_only=True, tag=True):
    code: str
    reason: str


class ConsultAnswered(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """The answer of a consult, or `answer` empty with a `code` where none came in time; recorded in the log."""

    consult_id: str
    turn_id: str
    asker: str
    specialty: str
    question: str
    at: int
    answer: str = ""
    code: str = ""
    citations: list[Citation] = []


class EffectIntended(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """The effect ledger's first entry: written before a side effect, refused if the effect is already there."""

    key: str
    tool: str
    conversation: str
    turn_id: str
    epoch: int
    arguments: dict[str, Any]
    at: int
    round: int = 0


class EffectSettled(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """The outcome of an intended effect; a later turn, a handoff or a replay finds it here.

    A refusal (`ok` false) ends a round: trying again later is a new one, with an idempotency key of its own.
    """

    key: str
    tool: str
    conversation: str
    turn_id: str
    ok: bool
    result: dict[str, Any]
    at: int
    round: int = 0


class EffectUnknown(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Nobody knows whether an intended effect happened, and it can't be repeated safely: a person has to find out."""

    key: str
    tool: str
    conversation: str
    turn_id: str
    at: int
    round: int = 0


Effect = EffectIntended | EffectSettled | EffectUnknown


class TurnOpened(msgspec.Struct, frozen=True, tag=True):
    """First entry of a turn's journal."""

    turn_id: str
    epoch: int
    specialty: str
    at: int


class TurnRevoked(msgspec.Struct, frozen=True, tag=True):
    """The turn may not act any more: it is answered, or a cancel, a handoff or its deadline came first."""

    turn_id: str
    epoch: int
    reason: str
    at: int


class TurnDecided(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """What a turn had said and heard when it came to a side effect: an attempt that resumes goes on from here.

    `chat` follows the turn's opening and ends with the calls that are to be carried out and the results so far.
    """

    turn_id: str
    at: int
    chat: list[ChatMessage]
    tools: list[str] = []
    facts: list[str] = []
    offer: Offer | None = None


class AttemptBegan(msgspec.Struct, frozen=True, tag=True):
    """An attempt at a turn that is suspected of ending its processes."""

    turn_id: str
    attempt: int
    at: int


class AttemptFailed(msgspec.Struct, frozen=True, tag=True):
    """Why an attempt at a turn came to nothing; the next one does not know."""

    turn_id: str
    attempt: int
    code: str
    reason: str
    at: int


Step = (
    TurnOpened
    | TurnRevoked
    | TurnDecided
    | AttemptBegan
    | AttemptFailed
    | EffectIntended
    | EffectSettled
    | EffectUnknown
)


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """What could not be handled, set aside so that its conversation goes on: kept until a person retries or drops it.

    `messages` are the customer's words that it was about; an entry of the log that failed is in `entry` (base64).
    """

    dead_id: str
    conversation: str
    code: str
    reason: str
    at: int
    seq: int
    specialty: str = ""
    turn_id: str = ""
    messages: list[Line] = []
    entry: str = ""
