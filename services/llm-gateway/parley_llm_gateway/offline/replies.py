"""The sentences of the offline model: facts first, sources cited, nothing said that nobody told it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from parley_llm_gateway.offline import asking
from parley_llm_gateway.offline.clean import plain, quoted, sentence, sentences
from parley_llm_gateway.offline.facts import Notice
from parley_llm_gateway.offline.passages import RELEVANT, SURE, Sentence, cited
from parley_llm_gateway.offline.situation import Result
from parley_llm_gateway.offline.tools import ESCALATE
from parley_llm_gateway.offline.turn import Turn
from parley_llm_gateway.offline.wishes import OFFER_PERSON
from parley_llm_gateway.offline.words import stems, weight
from parley_recap.rules import promises_in

UNGROUNDED = (
    "I am Parley's offline model. I answer only from help pages and tool results that come with a conversation, "
    "and this one has none, so I can't help with this. Connect a model provider for open questions."
)
NO_MESSAGE = "I have no message to answer."
GREETING = "Hello! What can I do for you?"
THANKS = "You're welcome. Is there anything else I can do for you?"
BYE = "Goodbye, and thank you for writing."
WHO = "I am an automatic assistant, not a person. I answer from our help pages and from your own records."
ALL_RIGHT = "All right. Is there anything else I can do for you?"
NEEDED = "Without that I can't go on with this."
LEFT_AS_IT_IS = "All right, I have left everything as it is."
NOT_DONE = "I have not gone ahead yet."
NO_LONGER = "I can't do that any more from here."
NO_PERSON = "I can't bring in a person from here."
NO_PAGES = "I can't search our help pages just now, so I can't answer this."
NO_DETAILS = "I looked, but there are no details that I could tell you."
ALL_I_KNOW = "That is all I know about it at the moment."
PROMISED = "This is what I told you:"
NOTHING_PROMISED = "I find nothing that I promised you in this conversation."
_SAME_ALREADY = 0.6
_FIRST_PROMISES, _LAST_PROMISES = 3, 4


def notices(turn: Turn) -> list[str]:
    """Notices in force that matter: those about what is asked, and critical ones that were not said yet."""
    asked = {stem for text in (turn.message, *turn.context) for stem in stems(text) if weight(stem) == 1.0}
    said = " ".join(plain(line.text) for line in turn.situation.window if line.role == "assistant")
    found = [notice for notice in turn.situation.facts.notices if _matters(notice, asked, said)]
    return [f"Please note: {sentence(notice.text)}" for notice in found]


def is_noticed(turn: Turn) -> bool:
    """Whether a notice speaks of what is asked."""
    asked = {stem for text in (turn.message, *turn.context) for stem in stems(text) if weight(stem) == 1.0}
    return any(_is_about(notice, asked) for notice in turn.situation.facts.notices)


def outcome(results: Iterable[Result]) -> list[str]:
    """What the tools said, each thing once; errors as they are."""
    told: list[str] = []
    for result in results:
        text = _summary(result)
        if text and text not in told:
            told.append(text)
    return told


def confirmations(results: Iterable[Result]) -> list[str]:
    asked = [result.outcome.needs_confirmation for result in results]
    return list(dict.fromkeys(plain(item.question) for item in asked if item and item.question.strip()))


def from_pages(turn: Turn, told: list[str], limit: int) -> str:
    """Sentences of the help pages that add something to what was `told`; empty when there are none."""
    if not limit:
        return ""
    known = set(stems(" ".join(told)))
    return cited([line for line in turn.pages(limit).sentences if not _is_told(line, known)])


def pages_worth(turn: Turn, told: list[str], asks: bool) -> int:
    """How many sentences of the help pages belong into the answer."""
    general = turn.is_general
    if told or asks:
        enough = RELEVANT if general or _failed(turn) else SURE
        return 0 if turn.found.relevance < enough or (asks and not general) else 2 if general else 1
    return 3


def questions(turn: Turn) -> list[str]:
    return [asking.question(wish.filled.missing, wish.filled.options) for wish in turn.open_questions()[:1]]


def nothing_found(turn: Turn) -> str:
    """An honest no that names what was asked."""
    if turn.situation.unsearchable:
        return with_person(turn, NO_PAGES)
    topic = quoted(turn.message or turn.situation.message)
    about = f" about “{topic}”" if topic else ""
    if turn.situation.searched:
        return with_person(turn, f"I can't find anything{about} in our help pages.")
    return with_person(turn, f"I have nothing here that tells me anything{about}.")


def with_person(turn: Turn, text: str) -> str:
    return f"{text} {OFFER_PERSON}" if ESCALATE in turn.situation.tools else text


def not_done(turn: Turn) -> str:
    """What is still open of the offer that the customer has neither taken nor refused."""
    offer = turn.situation.facts.offer
    return f"{NOT_DONE} {plain(offer.question)}".strip() if offer else ""


def repeated(turn: Turn) -> str:
    """Our last answer in short, for a customer who did not follow."""
    return "I meant this: " + " ".join(sentences(turn.situation.last_answer)[:2])


def promised(turn: Turn) -> str:
    """Our own words that bind us: what is asked for by its topic, else the first and the newest."""
    ours = [line.text for line in turn.situation.window if line.role == "assistant"]
    told = [*turn.situation.facts.promises, *(text for answer in ours for text in promises_in(answer))]
    known = list(dict.fromkeys(sentence(text) for text in told if plain(text)))
    topic = {stem for stem in stems(turn.situation.message) if weight(stem) == 1.0}
    found = [text for text in known if topic & set(stems(text))] or known
    if not found:
        return NOTHING_PROMISED
    first, rest = found[:_FIRST_PROMISES], found[_FIRST_PROMISES:]
    return " ".join([PROMISED, *first, *rest[-_LAST_PROMISES:]])


def _matters(notice: Notice, asked: set[str], said: str) -> bool:
    fresh = plain(notice.text) not in said
    return _is_about(notice, asked) or (notice.severity == "critical" and fresh)


def _is_about(notice: Notice, asked: set[str]) -> bool:
    shared = asked & set(stems(notice.text))
    return len(shared) >= (2 if notice.severity == "info" else 1)


def _summary(result: Result) -> str:
    answer = result.outcome
    if answer.error or not answer.ok:
        reason = sentence(answer.error.message) if answer.error else ""
        return f"That did not work: {reason}" if reason else "That did not work, and I was not told why."
    summary = plain(answer.summary)
    return sentence(summary) if summary or answer.needs_confirmation else NO_DETAILS


def _failed(turn: Turn) -> bool:
    return any(not result.outcome.ok for result in turn.situation.results)


def _is_told(line: Sentence, known: set[str]) -> bool:
    return len(line.stems & known) >= _SAME_ALREADY * len(line.stems)
