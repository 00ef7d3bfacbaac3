"""A question as it is looked up: by itself, and with the customer's last turns where it refers to them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

# The last two turns are what a follow-up refers to; of a long one its end.
_TURNS = 2
_TURN_WORDS = 60

# What a question that says nothing by itself finds together with what was said before counts for more.
_FOLLOW_UP_BONUS = 0.1
_FEW = 2
_FEW_REFERRING = 4

_TOKEN = re.compile(r"\w+")
# English function words that LanceDB's own list of 33 lacks: "how do I" says nothing about a manual. Words of another
# language stay; then their rarity alone decides.
_GRAMMAR = """
    a about again all also am an and any anybody anyone anything are aren as at be because been before being both but by
    can cannot could couldn d did didn do does doesn doing don during each either else ever every few for from further
    had hadn has hasn have haven having he her here hers him his how i if in into is isn it its just like ll m may me
    might more most much must my myself no nor not now of on once one only or other our ours own re s same shall she
    should shouldn so some somebody someone something such t than that the their theirs them then there these they this
    those through to too until us ve very was wasn we were weren what when where whether which while who whom whose why
    will with won would wouldn yes yet you your yours
"""
_POINTING = "he it its mine one ones same she that them there these they this those"
_FUNCTION_WORDS = frozenset(_GRAMMAR.split())
_PRONOUNS = frozenset(_POINTING.split())
_CONJUNCTIONS = frozenset({"and", "but", "or"})


class Probe(msgspec.Struct, frozen=True):
    """One way to look a question up: `meaning` is to be embedded, `words` are for full text.

    `terms` counts the different words. `bonus` is added to the scores of what it finds.
    """

    meaning: str
    words: str
    terms: int
    bonus: float = 0.0


def probes(query: str, history: Sequence[str]) -> list[Probe]:
    """`query` by itself, and if it follows up on a history (oldest turn first) also together with its last two turns.

    What both find is pooled by its better score (`domain.ranked`). A question that stands by itself is not looked up
    with what was said before: of 400 turns of real dialogues (STAR) 203 had no answer by themselves, and with their
    history 3 of them found something, none of it an answer; and no cache knows a question together with a history.
    """
    alone = Probe(query, _searched(query), _terms(query))
    turns = [" ".join(turn.split()[-_TURN_WORDS:]) for turn in history if turn.strip()][-_TURNS:]
    if not turns or not follows_up(query):
        return [alone]
    joined = "\n".join([*turns, query])
    return [alone, Probe(joined, _searched(joined), _terms(joined), _FOLLOW_UP_BONUS)]


def follows_up(query: str) -> bool:
    """Whether `query` says too little by itself: 'and where is that?', but not 'where is the reset button?'."""
    said = [word.lower() for word in _TOKEN.findall(query)]
    refers = bool(_PRONOUNS.intersection(said) or _CONJUNCTIONS.intersection(said[:1]))
    return len(set(said) - _FUNCTION_WORDS) < (_FEW_REFERRING if refers else _FEW)


def content_words(text: str) -> list[str]:
    """The words of `text` that are more than grammar, in their order; what is said twice stays and weighs double."""
    return [word for word in _TOKEN.findall(text) if word.lower() not in _FUNCTION_WORDS]


def _searched(text: str) -> str:
    return " ".join(content_words(text)) or text


def _terms(text: str) -> int:
    return max(1, len({word.lower() for word in content_words(text)}))
