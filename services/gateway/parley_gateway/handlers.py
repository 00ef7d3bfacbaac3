"""What both doors do with a customer's word: check it, log it, and say what became of it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

import msgspec
from opentelemetry.trace import SpanKind

from parley_gateway import domain, frames, metrics, refusals
from parley_gateway.adapters import Conversations
from parley_gateway.admission import Admission, Standing
from parley_gateway.auth import Authenticator, Tickets
from parley_gateway.domain import Buckets, Seats, Session
from parley_gateway.guests import Guests
from parley_gateway.hub import Hub
from parley_gateway.settings import Settings
from parley_mesh.telemetry import tracer
from parley_proto.broadcast import Notice
from parley_proto.conversation import CancelRequested, CustomerMessage, FeedbackGiven, PersonRequested
from parley_proto.envelope import digest, now_ms
from parley_proto.errors import ParleyError, PermanentError

RESUMING_AT_ONCE = 32


class Door(msgspec.Struct):
    """What every connection of this instance shares; made by `build`."""

    settings: Settings
    conversations: Conversations
    hub: Hub
    auth: Authenticator
    tickets: Tickets
    seats: Seats
    buckets: Buckets
    tenants: Buckets
    admission: Admission
    in_force: Callable[[str], list[Notice]]
    origins: frozenset[str] = frozenset()
    draining: bool = False
    guests: Guests = msgspec.field(default_factory=Guests)
    resuming: asyncio.Semaphore = msgspec.field(default_factory=lambda: asyncio.Semaphore(RESUMING_AT_ONCE))

    def unable(self) -> str:
        """Why this instance can't accept a message now, '' while it can."""
        if self.draining:
            return "gateway is draining."
        full = "The log is full: nothing is accepted until there is room in it again."
        return full if self.conversations.full else ""

    def origin_ok(self, headers: dict[str, str]) -> bool:
        return domain.origin_allowed(headers.get("origin"), headers.get("host", ""), self.origins)


class Taken(msgspec.Struct, frozen=True):
    """A message that is in the log."""

    message_id: str
    seq: int
    duplicate: bool


async def take_message(
    door: Door, session: Session, conversation: str, client_id: str, text: str, *, begun: bool
) -> Taken:
    """Log a customer's message; `begun` tells one of a conversation that goes on from a new chat.

    PermanentError `id_reused`, Later, StreamFullError or TransientError when it is refused.
    """
    arrived = time.perf_counter()
    try:
        taken = await _with_place(door, session, conversation, client_id, text, begun)
    except ParleyError as error:
        metrics.MESSAGES.labels(error.code).inc()
        raise
    metrics.MESSAGES.labels("duplicate" if taken.duplicate else "accepted").inc()
    metrics.ACK_SECONDS.observe(time.perf_counter() - arrived)
    return taken


async def _with_place(door: Door, session: Session, conversation: str, client_id: str, text: str, begun: bool) -> Taken:
    """A place before the log is asked, so that what is on its way counts; it is kept until the answer is shown."""
    name = domain.message_id(session.tenant, conversation, client_id)
    if door.admission.holds(name):
        return await _take(door, session, conversation, client_id, text)
    let_in(door, session, door.admission.standing(conversation, begun=begun))
    door.admission.enter(name, conversation, session.tenant, time.monotonic())
    taken = None
    try:
        taken = await _take(door, session, conversation, client_id, text)
    finally:
        # A message that is in the log already has been answered, or another instance waits for its answer.
        if taken is None or taken.duplicate:
            door.admission.leave(name)
    return taken


def let_in(door: Door, session: Session, standing: Standing) -> None:
    """Later `overloaded` when there is too much to do for one more, or the tenant has said too much at once."""
    now = time.monotonic()
    why: str | None = door.admission.refusal(standing, session.tenant, now)
    if why is None and door.tenants.take(session.tenant, now):
        why = "tenant"
    if why:
        metrics.TURNED_DOWN.labels(standing, why).inc()
        raise refusals.overloaded()


def within_rate(door: Door, session: Session, conversation: str) -> None:
    """Later `rate_limited` when this customer says too much, over all of its connections."""
    # Anonymous visitors are all one principal: one of them must not use up what the others need.
    key = conversation if session.principal == domain.ANONYMOUS else f"{session.tenant}/{session.principal}"
    wait_ms = door.buckets.take(key, time.monotonic())
    if wait_ms:
        raise refusals.rate_limited(wait_ms)


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


async def take_action(door: Door, session: Session, conversation: str, action: frames.Action, *, begun: bool) -> None:
    """Log what is not a message: a cancel, a wish for somebody else, a rating. Only a wish can begin a chat."""
    if not begun:
        let_in(door, session, "new")
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
