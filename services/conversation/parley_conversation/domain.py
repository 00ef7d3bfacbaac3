"""A conversation is a fold over its log: `decide(state, entry, facts)` says what comes next. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from parley_conversation import recap, texts
from parley_conversation.answering import answer, grant, next_turn, settled
from parley_conversation.outcomes import is_open, turn_answered, turn_ended, without_answer
from parley_conversation.transition import (
    Facts,
    Transition,
    open_turn,
    revoke,
    say,
    sent_by_customer,
    set_aside,
    show_notices,
)
from parley_proto.conversation import (
    CancelRequested,
    Checkpoint,
    CustomerMessage,
    Entry,
    MessageShown,
    PersonRequested,
    RetryRequested,
    RunEnded,
    SummaryWritten,
    TurnDue,
)
from parley_proto.specialist import (
    Burst,
    EscalationRequested,
    HandoffRequested,
    Line,
    Outcome,
    TurnAnswered,
    TurnFailed,
)
from parley_recap.bounds import bounded

RECENT_IDS = 64
# More interruptions than that, and a customer who goes on typing would never get an answer.
MAX_INTERRUPTS = 3


def decide(state: Checkpoint | None, entry: Entry, facts: Facts) -> Transition | None:
    """The transition that `entry` causes, or None where it changes nothing (a repeat, a late outcome, a record)."""
    rule = _RULES.get(type(entry))
    if rule is None or (state is None and not isinstance(entry, CustomerMessage | PersonRequested)):
        return None
    transition = rule(_claimed(state, entry), entry, facts)
    if transition is None:
        return None
    return _finished(transition, facts)


def _claimed(state: Checkpoint | None, entry: Entry) -> Checkpoint | None:
    """The customer of an erased conversation is not known any more: it is theirs who speaks next in it.

    Words and owner are gone, its counters and message ids go on. The gateway lets nobody else's id in.
    """
    if state is None or state.identity.principal or not isinstance(entry, CustomerMessage | PersonRequested):
        return state
    return msgspec.structs.replace(state, identity=entry.identity)


def _finished(transition: Transition, facts: Facts) -> Transition:
    transition.update(last_in_seq=facts.seq, updated_at=facts.now)
    transition.state = recap.fit(transition.state)
    return transition


def may_end_turn(state: Checkpoint | None, entry: Entry, burst: Burst) -> bool:
    """Whether `entry` could take the conversation away from the open turn, so that its deeds have to be known."""
    if state is None or state.turn is None:
        return False
    if isinstance(entry, CustomerMessage):
        return burst == "interrupt"
    if isinstance(entry, Outcome | TurnDue):
        mine = (state.turn.turn_id, state.turn.epoch) == (entry.turn_id, entry.epoch)
        return mine and not isinstance(entry, TurnAnswered)
    return isinstance(entry, CancelRequested | PersonRequested)


def route_text(state: Checkpoint | None, entry: Entry) -> str:
    """The words that decide about the specialty: the message, and what was asked back about before it."""
    if isinstance(entry, RetryRequested):
        return "\n".join(line.text for line in entry.messages)
    if not isinstance(entry, CustomerMessage):
        return ""
    unanswered = [line.text for line in state.window if line.role == "customer"] if state and not state.owner else []
    return "\n".join([*unanswered[-2:], entry.text])


def _opened(entry: CustomerMessage | PersonRequested, facts: Facts) -> Checkpoint:
    return Checkpoint(conversation=facts.conversation, identity=entry.identity, opened_at=facts.now)


def _customer_message(state: Checkpoint | None, entry: CustomerMessage, facts: Facts) -> Transition | None:
    state = state or _opened(entry, facts)
    if not _same_customer(state, entry):
        return None
    if entry.message_id in state.recent:
        return _repeated(state, entry, facts)
    transition = Transition(_as_spoken(state, entry))
    line = Line("customer", recap.cut(entry.text), entry.message_id, at=entry.at)
    transition.shown.append(_echo(entry))
    transition.update(recent=_remember(state.recent, entry.message_id, entry.body_hash))
    show_notices(transition, facts)
    if state.turn is None:
        answer(transition, [line], facts)
    elif not recap.has_room([*state.turn.messages, *state.queue, line]):
        transition.update(window=recap.settled(state.window, [line]))
        say(transition, texts.BUSY, "refused", entry.message_id, facts, answers=[entry.message_id], final=False)
    elif facts.burst == "interrupt" and not facts.acted and len(state.turn.messages) <= MAX_INTERRUPTS:
        _interrupt(transition, line, facts)
    else:
        transition.update(queue=[*state.queue, line])
    return transition


def _echo(entry: CustomerMessage) -> MessageShown:
    return MessageShown(entry.message_id, "customer", entry.text, entry.at, client_id=entry.client_id)


def _interrupt(transition: Transition, line: Line, facts: Facts) -> None:
    """Begin the answer anew with what the customer has added."""
    turn, waiting = transition.state.turn, transition.state.queue
    if turn:
        revoke(transition, "interrupted", facts)
        transition.shown.append(RunEnded(turn.turn_id, "interrupted", facts.now))
        transition.update(queue=[])
        open_turn(transition, [*turn.messages, *waiting, line], facts)


def _repeated(state: Checkpoint, entry: CustomerMessage, facts: Facts) -> Transition | None:
    """A resend beyond the log's own window: nothing for the same words, a refusal for others under the same id."""
    if state.recent[entry.message_id] == entry.body_hash:
        return None
    transition = Transition(state)
    say(transition, texts.REUSED, "refused", f"{entry.message_id}/{facts.seq}", facts, final=state.turn is None)
    return transition


def dead_letter(state: Checkpoint | None, entry: Entry, facts: Facts, reason: str) -> Transition | None:
    """Set aside an entry that can't be handled, so that the conversation goes on, and tell the customer.

    One that would have ended the open turn ends it all the same: nothing else may come that does.
    """
    if state is None and not isinstance(entry, CustomerMessage | PersonRequested):
        return None
    known = state or _opened(entry, facts)  # type: ignore[arg-type]
    if isinstance(entry, Outcome | TurnDue) and known.turn and is_open(known, entry):
        transition = without_answer(known, known.turn, "dead_letter", facts)
        set_aside(transition, "entry", reason, known.turn.messages, facts, known.turn)
        return _finished(transition, facts)
    transition = Transition(known)
    lines = entry.messages if isinstance(entry, RetryRequested) else []
    if isinstance(entry, CustomerMessage):
        about = entry.message_id
        lines = [Line("customer", recap.cut(entry.text), about, at=entry.at)]
        transition.shown.append(_echo(entry))
        transition.update(recent=_remember(known.recent, entry.message_id, entry.body_hash))
        text, final = texts.failure("dead_letter"), known.turn is None
        say(transition, text, "failed", about, facts, answers=[about], final=final)
    set_aside(transition, "entry", reason, lines, facts, known.turn)
    return _finished(transition, facts)


def _same_customer(state: Checkpoint, entry: CustomerMessage | PersonRequested | CancelRequested) -> bool:
    mine, theirs = state.identity, entry.identity
    return (mine.tenant, mine.principal) == (theirs.tenant, theirs.principal)


def _as_spoken(state: Checkpoint, entry: CustomerMessage | PersonRequested) -> Checkpoint:
    """Groups and name are those of the session that speaks now, not of the one that spoke first."""
    return state if state.identity == entry.identity else msgspec.structs.replace(state, identity=entry.identity)


def _remember(recent: dict[str, str], name: str, body_hash: str) -> dict[str, str]:
    """The newest ids with their body's hash: what must hold beyond the log's duplicate window (design.md)."""
    kept = list(recent.items())[-(RECENT_IDS - 1) :]
    return dict(kept) | {name: body_hash}


def _person_requested(state: Checkpoint | None, entry: PersonRequested, facts: Facts) -> Transition | None:
    state = state or _opened(entry, facts)
    to = entry.to
    if not _same_customer(state, entry) or to not in facts.specialties or state.owner == to:
        return None
    transition = Transition(_as_spoken(state, entry))
    if facts.acted:
        # What was begun is settled before ownership moves.
        transition.update(wish=to)
        say(transition, texts.FIRST_THIS, "notice", f"wish/{facts.seq}", facts, final=False)
        return transition
    revoke(transition, "customer_choice", facts)
    grant(transition, to, [*(state.turn.messages if state.turn else []), *state.queue], facts)
    return transition


def _retry_requested(state: Checkpoint, entry: RetryRequested, facts: Facts) -> Transition | None:
    """Once, however often it is asked for. What the letter is about comes first, as it did then: the first message of
    a turn is what an action that may be repeated later is known by (`parley_specialist.ledger.effect_key`).
    """
    if entry.dead_id in state.recent:
        return None
    transition = Transition(state)
    transition.update(recent=_remember(state.recent, entry.dead_id, ""))
    if state.turn is None:
        answer(transition, entry.messages, facts)
    elif recap.has_room([*state.turn.messages, *state.queue, *entry.messages]):
        transition.update(queue=[*entry.messages, *state.queue])
    else:
        # Under an id of its own: who asked for the retry is about to remove the old letter.
        set_aside(transition, "no_room", texts.NO_ROOM, entry.messages, facts, None)
    return transition


def _cancel_requested(state: Checkpoint, entry: CancelRequested, facts: Facts) -> Transition | None:
    turn = state.turn
    if turn is None or not _same_customer(state, entry):
        return None
    transition = Transition(state)
    if facts.acted:
        say(transition, texts.TOO_LATE, "notice", f"cancel/{facts.seq}", facts, final=False)
        return transition
    revoke(transition, "cancelled", facts)
    transition.shown.append(RunEnded(turn.turn_id, "cancelled", facts.now, sent_by_customer(turn.messages)))
    transition.update(turn=None, handoffs=0, window=settled(state))
    next_turn(transition, facts)
    return transition


def _summary_written(state: Checkpoint, entry: SummaryWritten, facts: Facts) -> Transition | None:
    """A late or repeated one is about lines that have left the window: it changes nothing."""
    window = recap.after(state, entry.upto)
    if window is None:
        return None
    transition = Transition(state)
    transition.update(window=window, recap=bounded(entry.recap))
    return transition


_RULES: dict[type, Callable[..., Transition | None]] = {
    CustomerMessage: _customer_message,
    PersonRequested: _person_requested,
    CancelRequested: _cancel_requested,
    RetryRequested: _retry_requested,
    TurnAnswered: turn_answered,
    HandoffRequested: turn_ended,
    EscalationRequested: turn_ended,
    TurnFailed: turn_ended,
    TurnDue: turn_ended,
    SummaryWritten: _summary_written,
}
