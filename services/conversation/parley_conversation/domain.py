"""A conversation is a fold over its log: `decide(state, entry, facts)` says what comes next. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from parley_conversation import asking, recap, texts
from parley_conversation.deeds import unsettled
from parley_conversation.transition import (
    WISH,
    Facts,
    Transition,
    is_wish,
    move,
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
    reply_id,
)
from parley_proto.specialist import (
    Burst,
    EscalationRequested,
    Fact,
    HandoffRequested,
    HandoffSummary,
    Kind,
    Line,
    Outcome,
    TurnAnswered,
    TurnFailed,
)
from parley_recap.bounds import bounded

ESCALATION = "escalation"
WINDOW_LINE = 2_000
RECENT_IDS = 64
MAX_ASK_BACKS = 2
# More interruptions than that, and a customer who goes on typing would never get an answer.
MAX_INTERRUPTS = 3
# The outcome of a turn whose every attempt failed (parley_specialist.worker).
ATTEMPTS = "attempts"


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
    transition = Transition(state)
    line = Line("customer", recap.cut(entry.text), entry.message_id, at=entry.at)
    echo = MessageShown(entry.message_id, "customer", entry.text, entry.at, client_id=entry.client_id)
    transition.shown.append(echo)
    transition.update(recent=_remember(state.recent, entry))
    show_notices(transition, facts)
    if state.turn is None:
        _answer(transition, [line], facts)
    elif not recap.has_room([*state.turn.messages, *state.queue, line]):
        transition.update(window=recap.settled(state.window, [line]))
        say(transition, texts.BUSY, "refused", entry.message_id, facts, answers=[entry.message_id], final=False)
    elif facts.burst == "interrupt" and not facts.acted and len(state.turn.messages) <= MAX_INTERRUPTS:
        _interrupt(transition, line, facts)
    else:
        transition.update(queue=[*state.queue, line])
    return transition


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
    """Set aside an entry that can't be handled, so that the conversation goes on, and tell the customer."""
    if state is None and not isinstance(entry, CustomerMessage | PersonRequested):
        return None
    known = state or _opened(entry, facts)  # type: ignore[arg-type]
    transition = Transition(known)
    lines: list[Line] = []
    if isinstance(entry, CustomerMessage):
        about = entry.message_id
        lines = [Line("customer", recap.cut(entry.text), about, at=entry.at)]
        transition.update(recent=_remember(known.recent, entry))
        text, final = texts.failure("dead_letter"), known.turn is None
        say(transition, text, "failed", about, facts, answers=[about], final=final)
    set_aside(transition, "entry", reason, lines, facts)
    return _finished(transition, facts)


def _same_customer(state: Checkpoint, entry: CustomerMessage | PersonRequested | CancelRequested) -> bool:
    mine, theirs = state.identity, entry.identity
    return (mine.tenant, mine.principal) == (theirs.tenant, theirs.principal)


def _remember(recent: dict[str, str], entry: CustomerMessage) -> dict[str, str]:
    """The newest ids with their body's hash: what must hold beyond the log's duplicate window (design.md)."""
    kept = list(recent.items())[-(RECENT_IDS - 1) :]
    return dict(kept) | {entry.message_id: entry.body_hash}


def _answer(transition: Transition, lines: list[Line], facts: Facts) -> None:
    """Open a turn with the owner, choose one first, or ask back when nobody can tell."""
    state = transition.state
    owner = state.owner or _choose(state, lines[-1].text, facts)
    if not owner:
        transition.update(asked_back=state.asked_back + 1, window=recap.settled(state.window, lines))
        question = asking.question(facts.specialties) if facts.specialties else texts.failure("no_receiver")
        kind: Kind = "asked" if facts.specialties else "failed"
        say(transition, question, kind, lines[-1].message_id, facts, answers=sent_by_customer(lines))
        return
    if owner != state.owner:
        move(transition, owner, "routed", facts)
    open_turn(transition, lines, facts)


def _choose(state: Checkpoint, words: str, facts: Facts) -> str:
    if state.asked_back and (picked := asking.choice(words, facts.specialties)):
        return picked
    if facts.hint.specialty in facts.specialties:
        return facts.hint.specialty
    return ESCALATION if state.asked_back >= MAX_ASK_BACKS and ESCALATION in facts.specialties else ""


def _turn_answered(state: Checkpoint, entry: TurnAnswered, facts: Facts) -> Transition | None:
    if not _is_open(state, entry):
        return None
    transition = Transition(state)
    revoke(transition, "answered", facts)
    reply = reply_id(entry.turn_id)
    shown = MessageShown(
        reply,
        "assistant",
        entry.text,
        facts.now,
        turn_id=entry.turn_id,
        specialty=entry.specialty,
        kind=entry.kind,
        model=entry.model,
        offline=entry.offline,
        citations=entry.citations,
        final=True,
        epoch=entry.epoch,
        answers=sent_by_customer(state.turn.messages) if state.turn else [],
    )
    transition.shown.append(shown)
    line = Line("assistant", entry.text[:WINDOW_LINE], reply, entry.specialty, facts.now)
    transition.update(turn=None, offer=entry.offer, turns=state.turns + 1, handoffs=0, window=[*_settled(state), line])
    _next_turn(transition, facts)
    return transition


def _handoff_requested(state: Checkpoint, entry: HandoffRequested, facts: Facts) -> Transition | None:
    if not _is_open(state, entry) or state.turn is None:
        return None
    to, reason = entry.to, "handoff"
    if facts.deeds and facts.deeds.open:
        to, reason = ESCALATION, "unknown_outcome"
    elif to not in facts.specialties or state.handoffs >= facts.max_handoffs:
        # A loop of handoffs, or one to nobody, ends with people (design.md, 'The four protocols').
        to, reason = ESCALATION, "handoff_limit"
    return _hand_over(state, to, reason, entry.summary, facts)


def _escalation_requested(state: Checkpoint, entry: EscalationRequested, facts: Facts) -> Transition | None:
    if not _is_open(state, entry) or state.turn is None:
        return None
    return _hand_over(state, ESCALATION, "escalated", entry.summary, facts)


def _hand_over(state: Checkpoint, to: str, reason: str, summary: HandoffSummary, facts: Facts) -> Transition | None:
    if state.turn is None:
        return None
    if to == state.owner or to not in facts.specialties:
        return _ended(state, "no_receiver", facts)
    transition = Transition(state)
    turn, source = state.turn, state.owner
    if facts.deeds:
        known = unsettled(facts.deeds, sent_by_customer(turn.messages))
        summary = msgspec.structs.replace(summary, facts=[*summary.facts, *known])
    revoke(transition, reason, facts)
    move(transition, to, reason, facts, summary)
    transition.update(handoffs=state.handoffs + 1, escalated=state.escalated or to == ESCALATION)
    open_turn(transition, turn.messages, facts, handoff=summary, source=source)
    return transition


def _person_requested(state: Checkpoint | None, entry: PersonRequested, facts: Facts) -> Transition | None:
    state = state or _opened(entry, facts)
    to = entry.to
    if not _same_customer(state, entry) or to not in facts.specialties or state.owner == to:
        return None
    transition = Transition(state)
    if facts.acted:
        # What was begun is settled before ownership moves.
        transition.update(wish=to)
        say(transition, texts.FIRST_THIS, "notice", f"wish/{facts.seq}", facts, final=False)
        return transition
    revoke(transition, "customer_choice", facts)
    _grant(transition, to, [*(state.turn.messages if state.turn else []), *state.queue], facts)
    return transition


def _grant(transition: Transition, to: str, waiting: list[Line], facts: Facts) -> None:
    """Bring the customer where they want to be, with what still waits for an answer."""
    state = transition.state
    wish = Line("customer", texts.WANTS.get(to, texts.wants(to)), f"{WISH}{facts.seq}")
    # The newest wish takes the place of the last one: a customer who clicks to and fro must not make the turn grow.
    waiting = [*(line for line in waiting if not is_wish(line)), wish]
    summary = HandoffSummary("The customer asked for it.", [Fact(line.text, [line.message_id]) for line in waiting])
    move(transition, to, "customer_choice", facts, summary)
    transition.update(queue=[], wish="", escalated=state.escalated or to == ESCALATION)
    open_turn(transition, waiting, facts, handoff=summary, source=state.owner)


def _retry_requested(state: Checkpoint, entry: RetryRequested, facts: Facts) -> Transition | None:
    transition = Transition(state)
    if state.turn is None:
        _answer(transition, entry.messages, facts)
    elif recap.has_room([*state.turn.messages, *state.queue, *entry.messages]):
        transition.update(queue=[*state.queue, *entry.messages])
    else:
        return None
    return transition


def _turn_failed(state: Checkpoint, entry: TurnFailed, facts: Facts) -> Transition | None:
    if state.turn is None or not _is_open(state, entry):
        return None
    transition = _failed(state, entry.code, facts)
    if entry.code == ATTEMPTS and transition:
        set_aside(transition, entry.code, entry.reason, state.turn.messages, facts)
        if transition.dead:
            held = {"specialty": entry.specialty, "turn_id": entry.turn_id}
            transition.dead = msgspec.structs.replace(transition.dead, **held)
    return transition


def _turn_due(state: Checkpoint, entry: TurnDue, facts: Facts) -> Transition | None:
    turn = state.turn
    if turn is None or (turn.turn_id, turn.epoch) != (entry.turn_id, entry.epoch):
        return None
    return _failed(state, "deadline", facts)


def _failed(state: Checkpoint, code: str, facts: Facts) -> Transition | None:
    """The turn came to nothing. Where it may have done something that nobody knows of, a person finds out."""
    in_doubt = facts.deeds is not None and bool(facts.deeds.open)
    if in_doubt and state.owner != ESCALATION and ESCALATION in facts.specialties:
        return _hand_over(state, ESCALATION, "unknown_outcome", HandoffSummary(texts.IN_DOUBT), facts)
    return _ended(state, "unknown_outcome" if in_doubt else code, facts)


def _ended(state: Checkpoint, code: str, facts: Facts) -> Transition | None:
    """The turn is over without an answer; the customer hears why, and what was done all the same."""
    turn = state.turn
    if turn is None:
        return None
    transition = Transition(state)
    revoke(transition, code, facts)
    transition.update(turn=None, handoffs=0, window=_settled(state))
    text = " ".join([*(facts.deeds.done if facts.deeds else []), texts.failure(code)])
    about, answers = turn.messages[-1].message_id, sent_by_customer(turn.messages)
    say(transition, text, "failed", about, facts, answers=answers, turn_id=turn.turn_id)
    _next_turn(transition, facts)
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
    transition.update(turn=None, handoffs=0, window=_settled(state))
    _next_turn(transition, facts)
    return transition


def _next_turn(transition: Transition, facts: Facts) -> None:
    """What waited during the turn is answered. It was said before the offer, so it can't be a yes to it."""
    waiting, wish = transition.state.queue, transition.state.wish
    if wish:
        transition.update(offer=None, wish="")
        if wish != transition.state.owner and wish in facts.specialties:
            _grant(transition, wish, waiting, facts)
            return
    if waiting:
        now = waiting[:1] if facts.burst == "queue" else waiting
        transition.update(queue=waiting[len(now) :], offer=None)
        _answer(transition, now, facts)


def _is_open(state: Checkpoint, outcome: Outcome) -> bool:
    """Only the first outcome of the open turn counts; a zombie's epoch is an old one."""
    turn = state.turn
    return turn is not None and (turn.turn_id, turn.epoch) == (outcome.turn_id, outcome.epoch)


def _settled(state: Checkpoint) -> list[Line]:
    """The window once the open turn has ended: what nobody has answered yet is not to leave it for a summary."""
    return recap.settled(state.window, state.turn.messages if state.turn else [])


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
    TurnAnswered: _turn_answered,
    HandoffRequested: _handoff_requested,
    EscalationRequested: _escalation_requested,
    TurnFailed: _turn_failed,
    TurnDue: _turn_due,
    SummaryWritten: _summary_written,
}
