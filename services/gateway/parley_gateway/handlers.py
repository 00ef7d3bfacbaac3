"""What both doors do with a customer's word: check it, log it, and say what became of it."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable

import msgspec
from opentelemetry.trace import SpanKind

from parley_gateway import domain, frames, metrics
from parley_gateway.adapters import Conversations
from parley_gateway.auth import Authenticator, Tickets
from parley_gateway.domain import Buckets, Seats, Session
from parley_gateway.guests import Guests
from parley_gateway.hub import Hub
from parley_gateway.settings import Settings
from parley_mesh.telemetry import tracer
from parley_proto.broadcast import Notice
from parley_proto.conversation import CancelRequested, CustomerMessage, FeedbackGiven, PersonRequested
from parley_proto.envelope import digest, now_ms
from parley_proto.errors import ParleyError, PermanentError, StreamFullError, TransientError

OVERLOADED_MS = 2000
UNAVAILABLE_MS = 1000


class Door(msgspec.Struct):
    """What every connection of this instance shares; made by `build`."""

    settings: Settings
    conversations: Conversations
    hub: Hub
    auth: Authenticator
    tickets: Tickets
    seats: Seats
    buckets: Buckets
    in_force: Callable[[str], list[Notice]]
    origins: frozenset[str] = frozenset()
    draining: bool = False
    guests: Guests = msgspec.field(default_factory=Guests)

    def origin_ok(self, headers: dict[str, str]) -> bool:
        return domain.origin_allowed(headers.get("origin"), headers.get("host", ""), self.origins)


class Taken(msgspec.Struct, frozen=True):
    """A message that is in the log."""

    message_id: str
    seq: int
    duplicate: bool


async def take_message(door: Door, session: Session, conversation: str, client_id: str, text: str) -> Taken:
    """Log a customer's message; PermanentError `id_reused`, StreamFullError or TransientError when it is refused."""
    begun = time.perf_counter()
    try:
        taken = await _take(door, session, conversation, client_id, text)
    except ParleyError as error:
        metrics.MESSAGES.labels(error.code).inc()
        raise
    metrics.MESSAGES.labels("duplicate" if taken.duplicate else "accepted").inc()
    metrics.ACK_SECONDS.observe(time.perf_counter() - begun)
    return taken


async def _take(door: Door, session: Session, conversation: str, client_id: str, text: str) -> Taken:
    name = domain.message_id(session.tenant, conversation, client_id)
    who = domain.identity(session, conversation, door.settings.demo_customers)
    message = CustomerMessage(name, client_id, text, domain.body_hash(text), who, now_ms())
    attributes = {"parley.conversation": conversation, "parley.message": name}
    with tracer().start_as_current_span("gateway.message", kind=SpanKind.PRODUCER, attributes=attributes):
        appended = await door.conversations.accept(conversation, message, name)
    if appended.duplicate:
        await _same_body(door, appended.seq, message)
    return Taken(name, appended.seq, appended.duplicate)


async def _same_body(door: Door, seq: int, message: CustomerMessage) -> None:
    stored = await door.conversations.message_at(seq)
    if stored and stored.body_hash != message.body_hash:
        raise id_reused()


def id_reused() -> PermanentError:
    return PermanentError("This id was used for another text; give every message an id of its own.", code="id_reused")


async def take_action(door: Door, session: Session, conversation: str, action: frames.Action) -> None:
    """Log what is not a message: a cancel, a wish for somebody else, a rating."""
    who = domain.identity(session, conversation, door.settings.demo_customers)
    entry: CancelRequested | PersonRequested | FeedbackGiven
    if isinstance(action, frames.Cancel):
        entry = CancelRequested(who, now_ms())
    elif isinstance(action, frames.AskPerson):
        entry = PersonRequested(who, now_ms(), action.to)
    elif isinstance(action, frames.Rate):
        entry = FeedbackGiven(who, action.messageId, action.rating, now_ms(), action.comment)
    else:
        raise PermanentError("A message is logged as one.", code="malformed")
    # An id of its own: a retry after a timeout must not cancel or ask twice.
    await door.conversations.accept(conversation, entry, digest(conversation, uuid.uuid4().hex))


def retry_after(error: ParleyError) -> int:
    """Milliseconds after which another try may help, with jitter; 0 when none will."""
    if isinstance(error, StreamFullError):
        return round(OVERLOADED_MS * random.uniform(0.75, 1.5))
    if isinstance(error, TransientError):
        return round(UNAVAILABLE_MS * random.uniform(0.75, 1.5))
    return 0


def public_code(error: ParleyError) -> str:
    """The code that a client is told: what fails inside the mesh is one thing to it."""
    if isinstance(error, StreamFullError) or not isinstance(error, TransientError):
        return error.code
    return "unavailable"


def public_message(error: ParleyError) -> str:
    """The sentence for a client: subjects and servers are nothing to it."""
    if isinstance(error, StreamFullError):
        return "Parley is full at the moment; send it again in a few seconds."
    if isinstance(error, TransientError):
        return "Parley can't be reached at the moment; send it again, with the same id."
    return error.message
