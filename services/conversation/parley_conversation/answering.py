"""Who answers next, and what: a turn is opened for the words that wait. Pure."""

from __future__ import annotations

from parley_conversation import asking, recap, texts
from parley_conversation.transition import (
    WISH,
    Facts,
    Transition,
    is_wish,
    move,
    open_turn,
    say,
    sent_by_customer,
)
from parley_proto.conversation import Checkpoint
from parley_proto.specialist import Fact, HandoffSummary, Kind, Line

ESCALATION = "escalation"
MAX_ASK_BACKS = 2


def answer(transition: Transition, lines: list[Line], facts: Facts) -> None:
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


def grant(transition: Transition, to: str, waiting: list[Line], facts: Facts) -> None:
    """Bring the customer where they want to be, with what still waits for an answer."""
    state = transition.state
    wish = Line("customer", texts.WANTS.get(to, texts.wants(to)), f"{WISH}{facts.seq}")
    # The newest wish takes the place of the last one: a customer who clicks to and fro must not make the turn grow.
    waiting = [*(line for line in waiting if not is_wish(line)), wish]
    summary = HandoffSummary("The customer asked for it.", [Fact(line.text, [line.message_id]) for line in waiting])
    move(transition, to, "customer_choice", facts, summary)
    transition.update(queue=[], wish="", escalated=state.escalated or to == ESCALATION)
    open_turn(transition, waiting, facts, handoff=summary, source=state.owner)


def next_turn(transition: Transition, facts: Facts) -> None:
    """What waited during the turn is answered. It was said before the offer, so it can't be a yes to it."""
    waiting, wish = transition.state.queue, transition.state.wish
    if wish:
        transition.update(offer=None, wish="")
        if wish != transition.state.owner and wish in facts.specialties:
            grant(transition, wish, waiting, facts)
            return
    if waiting:
        now = waiting[:1] if facts.burst == "queue" else waiting
        transition.update(queue=waiting[len(now) :], offer=None)
        answer(transition, now, facts)


def settled(state: Checkpoint) -> list[Line]:
    """The window once the open turn has ended: what nobody has answered yet is not to leave it for a summary."""
    return recap.settled(state.window, state.turn.messages if state.turn else [])
