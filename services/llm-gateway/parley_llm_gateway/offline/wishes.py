"""What a message is besides its topic: a wish for a person, a complaint, a greeting, a follow-up. Pure."""

from __future__ import annotations

from typing import Literal

from parley_llm_gateway.offline import wordings
from parley_llm_gateway.offline.clean import quoted
from parley_llm_gateway.offline.words import fold, stems, weight

Urgency = Literal["low", "normal", "high", "critical"]
Courtesy = Literal["greeting", "thanks", "bye", "who", ""]

OFFER_PERSON = "Would you like me to bring in a person?"
_SHORT = 3


def wants_person(text: str) -> bool:
    """True for 'let me talk to a human', not for 'when can I reach customer service?'."""
    said = fold(text)
    machine = wordings.NOT_A_MACHINE.search(said)
    if wordings.NO_PERSON.search(said) and not machine:
        return False
    if machine or wordings.CALL_ME.search(said) or wordings.SHORT_PERSON.fullmatch(said):
        return True
    return bool(wordings.PERSON.search(said)) and not wordings.ABOUT_CONTACT.search(said)


def for_person(matter: str) -> str:
    """The wish for a person to look at a matter, in one sentence."""
    return f"I want to talk to a person about “{quoted(matter)}”"


def complains(text: str) -> bool:
    """True for a formal complaint, a threat with the law, or plain anger at us."""
    said = fold(text)
    if wordings.ANGER.search(said):
        return True
    formal = wordings.COMPLAINT.search(said) or wordings.LEGAL.search(said)
    return bool(formal) and not wordings.ABOUT_CONTACT.search(said)


def is_in_danger(text: str) -> bool:
    return bool(wordings.DANGER.search(fold(text)))


def put_plainly(text: str) -> str:
    """`text` with the plain words for what it asks of people, whatever it calls them."""
    person = " talk to a person" if wants_person(text) else ""
    return f"{text}{person} complaint" if complains(text) else f"{text}{person}"


def urgency(text: str) -> Urgency:
    """How soon a person should look at it."""
    if is_in_danger(text) or wordings.THEFT.search(fold(text)):
        return "critical"
    return "high" if complains(text) or wordings.URGENT.search(fold(text)) else "normal"


def courtesy(text: str) -> Courtesy:
    """The kind of a message that is nothing but politeness, or asks who we are; empty for any other."""
    said = fold(text)
    if wordings.WHO.search(said):
        return "who"
    left = said
    for pattern in (wordings.GREETING, wordings.THANKS, wordings.BYE):
        left = pattern.sub(" ", left)
    topics = [stem for stem in stems(left) if stem not in wordings.NAMELIKE and weight(stem) == 1.0]
    if left == said or topics or "?" in wordings.GREETING.sub(" ", said):
        return ""
    if wordings.BYE.search(said):
        return "bye"
    return "thanks" if wordings.THANKS.search(said) else "greeting"


def is_general(text: str) -> bool:
    """True for a question about how things are done, which a help page answers better than a look into an account."""
    return bool(wordings.GENERAL.search(fold(text)))


def asks_for_rules(text: str) -> bool:
    """True for a question about a policy: no look into an account can answer it."""
    return bool(wordings.POLICY.search(fold(text)))


def asks_for_promises(text: str) -> bool:
    """'What did you promise me?', 'what did you say you would do?'"""
    return bool(wordings.PROMISES.search(fold(text)))


def follows_up(text: str) -> bool:
    """True where the message can't be understood without the one before it."""
    said = fold(text)
    content = [stem for stem in stems(text) if weight(stem) == 1.0]
    if not content:
        return True
    return len(content) <= _SHORT and bool(wordings.FOLLOWS.search(said) or wordings.POINTS_BACK.search(said))


def asks_again(text: str) -> bool:
    """'Which one did you mean?', 'Sorry, what?'"""
    return bool(wordings.ASKS_AGAIN.match(fold(text)))
