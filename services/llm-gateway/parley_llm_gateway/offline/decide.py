"""What to do in a turn: one rule after the other, the first that has something to say wins. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from parley_llm_gateway.offline import asking, replies, wishes
from parley_llm_gateway.offline.clean import quoted
from parley_llm_gateway.offline.consent import consent
from parley_llm_gateway.offline.situation import Situation
from parley_llm_gateway.offline.tools import CONSULT, ESCALATE, HANDOFF, SEARCH, choices_of
from parley_llm_gateway.offline.turn import MAX_ROUNDS, Call, Turn
from parley_llm_gateway.offline.words import stems, weight

SURE_ROUTE = 0.75
_TOPIC_SHARE = 0.5
_REASON_CHARS = 160
_URGENCIES = ("critical", "high", "normal", "low")


class Decision(msgspec.Struct, frozen=True):
    """Either a call or a text."""

    text: str = ""
    call: Call | None = None


Rule = Callable[[Turn], Decision | None]


def decide(situation: Situation) -> Decision:
    """The next step of this turn; the same situation always gets the same one."""
    turn = Turn(situation)
    begun = bool(situation.results)
    for rule in _GOING_ON if begun else _BEGINNING:
        decision = rule(turn)
        if decision is not None:
            return decision
    return Decision(_answer(turn))


def _nothing_to_go_by(turn: Turn) -> Decision | None:
    if not turn.situation.message:
        return Decision(replies.NO_MESSAGE)
    return None if turn.situation.grounded else Decision(replies.UNGROUNDED)


def _settle_offer(turn: Turn) -> Decision | None:
    """A clear yes runs exactly what was offered; a clear no leaves it."""
    offer = turn.situation.facts.offer
    if offer is None:
        return None
    if turn.consent == "yes":
        if offer.tool in turn.situation.tools:
            return Decision(call=Call(offer.tool, offer.arguments))
        return Decision(replies.with_person(turn, replies.NO_LONGER))
    return Decision(replies.LEFT_AS_IT_IS) if turn.consent == "no" and not turn.message else None


def _bring_person(turn: Turn) -> Decision | None:
    said = turn.situation.message
    asked = turn.accepts_person or wishes.wants_person(said)
    if not (asked or wishes.complains(said) or wishes.is_in_danger(said)):
        return None
    if ESCALATE not in turn.situation.tools:
        return None
    why = "wants a person" if asked else "complains" if wishes.complains(said) else "reports a danger"
    reason = f"The customer {why}: {quoted(turn.matter, _REASON_CHARS)}"
    return Decision(call=Call(ESCALATE, {"urgency": _urgency(turn, said), "reason": reason}))


def _be_polite(turn: Turn) -> Decision | None:
    said = turn.situation.message
    if turn.answered or turn.consent in ("yes", "no") or turn.accepts_person:
        return None
    kind = wishes.courtesy(said)
    if not kind and (turn.message or turn.consent):
        return None
    asked = asking.asked_in(turn.situation.last_answer)
    if not kind and asked:
        # A yes does not tell what we need to know, and a no may mean that the customer can't.
        return Decision(asked if consent(said, "") == "yes" else replies.with_person(turn, replies.NEEDED))
    text = {"greeting": replies.GREETING, "thanks": replies.THANKS, "bye": replies.BYE, "who": replies.WHO}
    return Decision(" ".join([*replies.notices(turn), text.get(kind, replies.ALL_RIGHT)]))


def _say_again(turn: Turn) -> Decision | None:
    if turn.situation.last_answer and wishes.asks_again(turn.situation.message):
        return Decision(replies.repeated(turn))
    return None


def _recall(turn: Turn) -> Decision | None:
    """What we promised, in the words in which we did."""
    return Decision(replies.promised(turn)) if wishes.asks_for_promises(turn.situation.message) else None


def _hand_over(turn: Turn) -> Decision | None:
    """To the specialty that the router is sure of, never back to where the customer has just come from."""
    route = turn.situation.facts.route
    if route.confidence < SURE_ROUTE or turn.answered or wishes.follows_up(turn.situation.message):
        return None
    return _handoff(turn, route.specialty)


def _call(turn: Turn) -> Decision | None:
    if replies.confirmations(turn.situation.results):
        return None
    call = turn.next_call()
    return Decision(call=call) if call else None


def _ask_colleague(turn: Turn) -> Decision | None:
    """A consult for the part of a message that is another specialty's, when the rest is ours."""
    tool = turn.situation.tools.get(CONSULT)
    if not tool or not turn.wishes or turn.situation.rounds >= MAX_ROUNDS or _has_called(turn, CONSULT):
        return None
    for part in turn.foreign_parts():
        specialty = _specialty_of(turn, part)
        if specialty and specialty in choices_of(tool, "specialty"):
            return Decision(call=Call(CONSULT, {"specialty": specialty, "question": quoted(part, 300)}))
    return None


def _look_up(turn: Turn) -> Decision | None:
    """Search the help pages, where the turn did not begin with that."""
    if turn.situation.searched or SEARCH not in turn.situation.tools or not turn.message or turn.open_questions():
        return None
    return Decision(call=Call(SEARCH, {"query": quoted(turn.message, 300)}))


def _no_person_here(turn: Turn) -> Decision | None:
    asked = wishes.wants_person(turn.situation.message) and ESCALATE not in turn.situation.tools
    return Decision(replies.NO_PERSON) if asked and not turn.wishes and not turn.found.sentences else None


def _pass_on_unknown(turn: Turn) -> Decision | None:
    """Hand over what neither our tools nor our pages know, if another specialty's own words are in it."""
    if turn.wishes or turn.found.sentences or not turn.message or replies.is_noticed(turn):
        return None
    return None if wishes.follows_up(turn.message) else _handoff(turn, _specialty_of(turn, turn.message))


def _answer(turn: Turn) -> str:
    """Notices, what the tools said, what the pages say, and at the end what we need to know."""
    results = turn.situation.results
    told = replies.outcome(results)
    asks = replies.confirmations(results) or replies.questions(turn)
    pages = replies.from_pages(turn, told, replies.pages_worth(turn, told, bool(asks))) if turn.message else ""
    parts = [*_opening(turn), *told, pages, *asks]
    if not told and not pages and not asks:
        parts.append(replies.ALL_I_KNOW if replies.is_noticed(turn) else _at_a_loss(turn))
    if turn.consent == "unclear" and not asks:
        parts.append(replies.not_done(turn))
    elif results and not results[-1].outcome.ok and not asks:
        parts = [replies.with_person(turn, " ".join(filter(None, parts)))]
    return " ".join(filter(None, parts))


def _opening(turn: Turn) -> list[str]:
    left = [replies.LEFT_AS_IT_IS] if turn.consent == "no" else []
    return [*replies.notices(turn), *left]


def _at_a_loss(turn: Turn) -> str:
    if turn.consent == "unclear" and wishes.follows_up(turn.message):
        return ""
    return replies.nothing_found(turn)


def _handoff(turn: Turn, specialty: str) -> Decision | None:
    tool = turn.situation.tools.get(HANDOFF)
    if not tool or not specialty or specialty == turn.situation.facts.handed_from:
        return None
    if specialty not in choices_of(tool, "to"):
        return None
    reason = f"The customer asks: {quoted(turn.situation.message, _REASON_CHARS)}"
    return Decision(call=Call(HANDOFF, {"to": specialty, "reason": reason}))


def _specialty_of(turn: Turn, text: str) -> str:
    """The specialty whose listed topics `text` names, and no other's; empty when in doubt."""
    said = {stem for stem in stems(text) if weight(stem) == 1.0 and not turn.ranking.speaks_of(stem)}
    tool = turn.situation.tools.get(HANDOFF) or turn.situation.tools.get(CONSULT)
    topics = tool.topics if tool else {}
    ranked = sorted(((len(said & listed), name) for name, listed in topics.items()), reverse=True)
    best, name = ranked[0] if ranked else (0, "")
    alone = len(ranked) < 2 or ranked[1][0] < best
    return name if best and alone and best >= _TOPIC_SHARE * len(said) else ""


def _urgency(turn: Turn, said: str) -> str:
    """Ours, or the nearest that the tool knows."""
    allowed: list[Any] = choices_of(turn.situation.tools[ESCALATE], "urgency") or list(_URGENCIES)
    wanted = wishes.urgency(said)
    if wanted in allowed:
        return wanted
    below = [level for level in _URGENCIES[_URGENCIES.index(wanted) :] if level in allowed]
    return str(below[0] if below else allowed[0])


def _has_called(turn: Turn, name: str) -> bool:
    return any(result.tool == name for result in turn.situation.results)


_BEGINNING: tuple[Rule, ...] = (
    _nothing_to_go_by,
    _settle_offer,
    _bring_person,
    _say_again,
    _be_polite,
    _recall,
    _hand_over,
    _call,
    _ask_colleague,
    _look_up,
    _no_person_here,
    _pass_on_unknown,
)
_GOING_ON: tuple[Rule, ...] = (_call, _ask_colleague)
