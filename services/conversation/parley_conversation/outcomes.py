"""How a turn ends: with an answer, with somebody else, or with nothing; and what is left for a person then. Pure."""

from __future__ import annotations

import msgspec

from parley_conversation import texts
from parley_conversation.answering import ESCALATION, next_turn, settled
from parley_conversation.deeds import in_doubt, unsettled
from parley_conversation.transition import (
    Facts,
    Transition,
    move,
    open_turn,
    revoke,
    say,
    sent_by_customer,
    set_aside,
)
from parley_proto.conversation import Checkpoint, MessageShown, OpenTurn, TurnDue, reply_id
from parley_proto.errors import UNKNOWN_OUTCOME
from parley_proto.specialist import (
    EscalationRequested,
    HandoffRequested,
    HandoffSummary,
    Line,
    Outcome,
    TurnAnswered,
    TurnFailed,
)

WINDOW_LINE = 2_000
# The outcome of a turn whose every attempt failed (parley_specialist.worker).
ATTEMPTS = "attempts"
Ending = HandoffRequested | EscalationRequested | TurnFailed | TurnDue


def turn_answered(state: Checkpoint, entry: TurnAnswered, facts: Facts) -> Transition | None:
    if not is_open(state, entry):
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
    transition.update(turn=None, offer=entry.offer, turns=state.turns + 1, handoffs=0, window=[*settled(state), line])
    next_turn(transition, facts)
    return transition


def turn_ended(state: Checkpoint, entry: Ending, facts: Facts) -> Transition | None:
    """The turn ends without an answer of its own. What nobody knows the outcome of is set aside for a person."""
    turn = state.turn
    if turn is None or not is_open(state, entry):
        return None
    doubt = _doubt(entry, facts)
    transition = _end(state, turn, entry, facts, doubtful=bool(doubt))
    if doubt:
        set_aside(transition, UNKNOWN_OUTCOME, doubt, turn.messages, facts, turn)
    elif isinstance(entry, TurnFailed) and entry.code == ATTEMPTS:
        set_aside(transition, ATTEMPTS, entry.reason, turn.messages, facts, turn)
    return transition


def _doubt(entry: Ending, facts: Facts) -> str:
    """What a person has to find out, each effect by its key: by the outcome, and by the journal beside it.

    The journal of this turn knows nothing of what an earlier turn began.
    """
    told = ""
    if isinstance(entry, EscalationRequested | TurnFailed) and entry.code == UNKNOWN_OUTCOME:
        told = (entry.reason if isinstance(entry, TurnFailed) else entry.summary.reason) or texts.IN_DOUBT
    if facts.deeds is None:
        return told
    untold = [intent for intent in facts.deeds.open if intent.key not in told]
    return f"{told} {in_doubt(msgspec.structs.replace(facts.deeds, open=untold))}".strip()


def _end(state: Checkpoint, turn: OpenTurn, entry: Ending, facts: Facts, *, doubtful: bool) -> Transition:
    summary = entry.summary if isinstance(entry, HandoffRequested | EscalationRequested) else None
    if doubtful:
        return _hand_over(state, turn, ESCALATION, UNKNOWN_OUTCOME, summary or HandoffSummary(texts.IN_DOUBT), facts)
    if isinstance(entry, EscalationRequested):
        return _hand_over(state, turn, ESCALATION, "escalated", entry.summary, facts)
    if isinstance(entry, HandoffRequested):
        # A loop of handoffs, or one to nobody, ends with people (design.md, 'The four protocols').
        possible = entry.to in facts.specialties and state.handoffs < facts.max_handoffs
        to, reason = (entry.to, "handoff") if possible else (ESCALATION, "handoff_limit")
        return _hand_over(state, turn, to, reason, entry.summary, facts)
    return without_answer(state, turn, entry.code if isinstance(entry, TurnFailed) else "deadline", facts)


def _hand_over(
    state: Checkpoint, turn: OpenTurn, to: str, reason: str, summary: HandoffSummary, facts: Facts
) -> Transition:
    if to == state.owner or to not in facts.specialties:
        return without_answer(state, turn, UNKNOWN_OUTCOME if reason == UNKNOWN_OUTCOME else "no_receiver", facts)
    transition = Transition(state)
    if facts.deeds:
        known = unsettled(facts.deeds, sent_by_customer(turn.messages))
        summary = msgspec.structs.replace(summary, facts=[*summary.facts, *known])
    revoke(transition, reason, facts)
    move(transition, to, reason, facts, summary)
    transition.update(handoffs=state.handoffs + 1, escalated=state.escalated or to == ESCALATION)
    open_turn(transition, turn.messages, facts, handoff=summary, source=state.owner)
    return transition


def without_answer(state: Checkpoint, turn: OpenTurn, code: str, facts: Facts) -> Transition:
    """The turn is over without an answer; the customer hears why, and what was done all the same."""
    transition = Transition(state)
    revoke(transition, code, facts)
    transition.update(turn=None, handoffs=0, window=settled(state))
    text = " ".join([*(facts.deeds.done if facts.deeds else []), texts.failure(code)])
    about, answers = turn.messages[-1].message_id, sent_by_customer(turn.messages)
    say(transition, text, "failed", about, facts, answers=answers, turn_id=turn.turn_id)
    next_turn(transition, facts)
    return transition


def is_open(state: Checkpoint, outcome: Outcome | TurnDue) -> bool:
    """Only the first outcome of the open turn counts; a zombie's epoch is an old one."""
    turn = state.turn
    return turn is not None and (turn.turn_id, turn.epoch) == (outcome.turn_id, outcome.epoch)
