"""How a turn ended, from what was said and done in it. Pure."""

from __future__ import annotations

import re

import msgspec

from parley_proto.rag import Passage
from parley_proto.specialist import AssignTurn, Citation, Fact, HandoffSummary, Kind, Offer
from parley_specialist.masking import masked
from parley_specialist.shown import Policy, shown

_MARK = re.compile(r"\[(\d{1,2})\]")
_WORD = re.compile(r"[^\W_]+")
_LONGEST_TITLE = 200
_LONGEST_WORDS = 500
_LONGEST_FACT = 2_000


class Done(msgspec.Struct):
    """What the tools of a turn brought: names in order, summaries of facts, and an offer that waits for a yes."""

    tools: list[str] = msgspec.field(default_factory=list)
    facts: list[str] = msgspec.field(default_factory=list)
    offer: Offer | None = None


def asks(text: str, offer: Offer) -> bool:
    """Whether `text` asks for the yes to `offer`: what nobody was asked, nobody has agreed to."""
    return f" {_words(offer.question)} " in f" {_words(text)} "


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def citations(text: str, passages: list[Passage], done: Done, policy: Policy) -> list[Citation]:
    """The passages that `text` marks with [n], then the tools whose results it stands on."""
    numbers = sorted({int(n) for n in _MARK.findall(text) if 0 < int(n) <= len(passages)})
    cited = [_cite(n, passages[n - 1], policy) for n in numbers]
    tools = enumerate(dict.fromkeys(done.tools), start=max(numbers, default=0) + 1)
    return cited + [Citation(n, name.replace("_", " "), tool=name) for n, name in tools]


def _cite(number: int, passage: Passage, policy: Policy) -> Citation:
    """Titles come from documents and are shown to the customer like an answer."""
    title, document, section = (
        shown(name[:_LONGEST_TITLE], policy) for name in (passage.title, passage.document, passage.section)
    )
    return Citation(number, title, document, section)


def kind_of(text: str, cited: list[Citation], done: Done) -> Kind:
    """What kind of answer it is, by what it rests on rather than by what it says of itself."""
    if done.offer:
        return "offer"
    if cited:
        return "grounded"
    return "asked" if text.rstrip().endswith("?") else "refused"


def summary_of(turn: AssignTurn, done: Done, reason: str, policy: Policy) -> HandoffSummary:
    """What the next owner must know; each claim names the messages that support it.

    People and models read it: it holds no card numbers, and no links but those of an answer.
    """

    def fit(text: str, longest: int) -> str:
        # Cut last: half of a number, an address or a sentence is known for none. Masked again, as what is shown may be
        # a number only now that what stood between its digits is gone.
        return masked(shown(masked(text), policy))[:longest]

    said = [fit(line.text, _LONGEST_WORDS) for line in turn.messages]
    ids = [line.message_id for line in turn.messages]
    facts = list(turn.handoff.facts) if turn.handoff else []
    facts += [Fact(f"The customer wrote: {words}", [one]) for words, one in zip(said, ids, strict=True)]
    facts += [Fact(fit(fact, _LONGEST_FACT), ids) for fact in done.facts]
    promises = [fit(turn.offer.question, _LONGEST_FACT)] if turn.offer else []
    unique = list({fact.text: fact for fact in facts}.values())
    return HandoffSummary(fit(reason, _LONGEST_WORDS), unique[-20:], promises, said[-1:])
