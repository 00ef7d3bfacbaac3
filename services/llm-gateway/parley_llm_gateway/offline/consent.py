"""Whether a customer says yes or no to what was offered. Pure.

A side effect hangs on it, so that doubt is never a yes: a question, a condition, another number or a wish for
something else makes it `unclear`.
"""

from __future__ import annotations

import re
from typing import Literal

from parley_llm_gateway.offline.vocabulary import KINDRED, SAME, STOP, listed
from parley_llm_gateway.offline.words import fold, stems, weight, words

Consent = Literal["yes", "no", "unclear"]

# Said anywhere they are a yes; the others only where a message begins with them.
_GO = (
    r"yes+|yeah+|yep|yup|absolutely|definitely|certainly|i confirm|proceed|i agree|please do|go ahead|go for it|"
    r"carry on|do it|do that|do so|do this|make it so|of course|by all means"
)
_NICE = (
    r"yea|ya+|yah|aye|ja|jawohl|oui|sí|si|sure|surely|ok+|oka+y?|okay+|okey|okies?|okok|k|kk|alright|all right|fine|"
    r"correct|right|indeed|exactly|perfect|great|good|excellent|cool|lovely|nice|continue|confirm|confirmed|agreed|"
    r"accept|approved|go on|bitte|dale|sounds?|works? for me|thats? works|"
    r"(?:i would|id|i) (?:like|love|want|appreciate) (?:that|it|this)|(?:would|will) be"
)
_FIRM_YES = re.compile(rf"\b(?:{_GO})\b|👍|👌|✅")
_YES = re.compile(rf"\b(?:{_GO}|{_NICE})\b|👍|👌|✅")
_BEGINS = re.compile(rf"\W*(?:(?:oh|ah|hmm+|well|please|that|thats|it|its|this|all|yeah?)\W+)*(?:{_GO}|{_NICE})\b")
_PRAISE = re.compile(
    r"\b(?:good|great|nice|excellent|perfect|lovely)\s+"
    r"(?:job|service|work|app|help|morning|evening|afternoon|night|day|question|point|idea but)\b"
)
_FIRM_NO = re.compile(
    r"\b(?:no|nope|nah|nay|nein|non|never ?mind|forget it|leave (?:it|that)|nothanks|not now|not yet|not today|"
    r"not really|not necessary|not needed|rather not|rather keep|dont|do not|changed my mind|stop|keep (?:it|them)|"
    r"later|another time|some other time|decline|reject|refuse|on second thought|scrap that|skip (?:it|that)|nothing|"
    r"none)\b|👎"
)
_DOUBT = re.compile(
    r"\b(?:not|never|cant|cannot|wont|doesnt|wait|hold on|hang on|maybe|perhaps|unsure|let me think|think about it|"
    r"cancel (?:that|this)|hmm+ (?:no|not))\b"
)
# They sound like a no and mean a yes.
_HARMLESS = re.compile(r"\b(?:no problem|no worries|not a problem|no objections?|why not|no doubt)\b")
_LATER = re.compile(r"\b(?:(?:another|some other|a different) (?:time|day)|rather not)\b")
_NEGATED_GO = re.compile(rf"\b(?:dont|do not|not|never)\s+(?:just\s+)?(?:{_GO})\b")
_CONDITION = re.compile(
    r"\b(?:but|however|only|unless|if|except|instead|rather|first|before|after|until|although|though|depends|price|"
    r"what|when|which|who|where|why|how|different|another|other|else|change|without|too)\b"
)
_PROVISO = re.compile(
    r"\b(?:but|however|only|unless|if|except|instead|rather|first|before|after|until|depends|different|another|other|"
    r"change|without|not|dont|cancel|stop)\b"
)
_ASKED_NICELY = re.compile(
    r"\W*(?:(?:yes|ok|okay|sure|please|well)\W+)*(?:can|could|would|will) (?:you|u) (?:please )?"
    r"(?:do (?:it|that|this|so)|go ahead|proceed|continue|confirm(?: it| that)?)(?: please| now| then| for me)*\W*"
)
_WISHES = re.compile(
    r"\W*(?:(?:please|just|then|so|ok|yes|and|kindly|go ahead and|give me|(?:i|id|i would) (?:want|need|like)|"
    r"(?:can|could|would|will) (?:you|u))\W+"
    r"(?:you )?(?:to )?(?:(?:a|my|the)\s+)?)*"
)
_ASKS_TO = re.compile(
    r"\b(?:shall|should|may|can|could) (?:i|we) (?:now |also |then |really )?(\w+)|"
    r"\b(?:want|like|need) (?:me|us) to (?:now |also )?(\w+)"
)
_NUMBERED = re.compile(r"[^\W_]*\d[^\W_]*(?:[-./][^\W_]+)*")
_STRAY = 3
_COURTESY = listed("pleas thank just kindly go it that me my now do so much")


def consent(text: str, question: str, known: str = "") -> Consent:
    """What `text` answers to `question`; `known` holds what else the offer names, so that it is no surprise."""
    if _surprises(text, f"{question} {known}"):
        return "unclear"
    answer = _judged(fold(text), fold(question))
    if answer != "unclear":
        return answer
    head, tail = _parted(text)
    begins = _judged(fold(head), fold(question))
    # 'Yes please. When will I get it?' is a yes and a question.
    if begins == "yes" and tail.endswith("?") and not _PROVISO.search(fold(tail)):
        return "yes"
    first, rest = _parted(text, r"[.!,]\s+")
    return "no" if rest and _judged(fold(first), fold(question)) == "no" else "unclear"


def is_bare(text: str) -> bool:
    """True where the message says yes or no and nothing besides that matters."""
    said = fold(text)
    answers = _YES.search(said) or _FIRM_NO.search(said) or _DOUBT.search(said)
    return bool(answers) and "?" not in said and not _CONDITION.search(_HARMLESS.sub(" ", said)) and not _rest(said)


def without_answer(text: str) -> str:
    """`text` without the yes or no that it begins with: the rest may be another wish."""
    for separator in (r"[.!]\s+", r",\s+"):
        head, tail = _parted(text, separator)
        if tail and is_bare(head):
            return tail
    return text


def _judged(said: str, question: str) -> Consent:
    said = _LATER.sub(" later ", said)
    bare = _NEGATED_GO.sub(" no ", _HARMLESS.sub(" ok ", _PRAISE.sub(" ", said)))
    conditions = [match for match in _CONDITION.findall(bare) if match not in question.split()]
    if conditions or "?" in bare:
        if re.match(r"\W*(?:no|nope|nah|nein|non)\b", bare) and "?" not in bare:
            return "no"
        nicely = _ASKED_NICELY.fullmatch(bare) or _commands(bare, question)
        return "yes" if not conditions and nicely else "unclear"
    if _FIRM_NO.search(bare):
        return "unclear" if _FIRM_YES.search(bare) else "no"
    if _DOUBT.search(bare):
        return "unclear"
    agreed = _FIRM_YES.search(bare) or _BEGINS.match(bare)
    return "yes" if (agreed and _nothing_else(bare, question)) or _commands(bare, question) else "unclear"


def _parted(text: str, separator: str = r"[.!]\s+") -> tuple[str, str]:
    head, *tail = re.split(separator, text.strip(), maxsplit=1)
    return head, "".join(tail).strip()


def _surprises(text: str, known: str) -> bool:
    """Whether it names a number or an identifier that the offer does not."""
    return not set(_NUMBERED.findall(text.lower())) <= set(_NUMBERED.findall(known.lower()))


def _left(said: str) -> str:
    """What is said besides yes and no."""
    for pattern in (_HARMLESS, _NEGATED_GO, _YES, _FIRM_NO, _DOUBT):
        said = pattern.sub(" ", said)
    return said


def _rest(said: str) -> list[str]:
    """The stems that matter once every yes, no and politeness is taken away."""
    return [stem for stem in stems(_left(said)) if stem not in _COURTESY and weight(stem) == 1.0]


def _nothing_else(said: str, question: str) -> bool:
    """Whether the yes speaks of what was asked; a stray word (a name) is let pass, a topic of ours is not."""
    strange = [stem for stem in _rest(said) if stem not in stems(question)]
    stray = len(strange) == 1 and len(_left(said).split()) <= _STRAY and strange[0] not in SAME
    return not strange or (stray and strange[0] not in KINDRED)


def _commands(said: str, question: str) -> bool:
    """'Cancel it then', 'I want to cancel it': the question's own verb comes first, and nothing new after it."""
    match = _ASKS_TO.search(question)
    verb = stems(match[1] or match[2]) if match else []
    wish = _WISHES.match(said)
    first, *others = words(said[wish.end() if wish else 0 :]) or [""]
    known = STOP | set(words(question))
    return bool(verb) and stems(first) == verb and all(other in known for other in others)
