"""A question as it is looked up: by itself, and where that is not enough with the customer's last turns. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

# The last two turns are what a follow-up refers to; of a long one its end.
_TURNS = 2
_TURN_WORDS = 60

# What history may add to a question that stands by itself: its passages rank this much lower, and must be this much
# surer to count as an answer. A question that says nothing by itself is taken as a part of what was said before.
_RANK_HANDICAP = 0.1
_DOUBT = 0.2
_FOLLOW_UP_BONUS = 0.1
_FEW = 2
_FEW_WITH_PRONOUN = 4

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


class Probe(msgspec.Struct, frozen=True):
    """One way to look a question up: `meaning` is to be embedded, `words` are for full text.

    `terms` counts the different words.
    `handicap` is taken off the scores of what it finds, `doubt` off its similarity where that is held to the floor.
    A `spare` one is looked up only where the others have found no answer: it costs most of a search, as no cache knows
    what was said before together with what is asked now.
    """

    meaning: str
    words: str
    terms: int
    handicap: float = 0.0
    doubt: float = 0.0
    spare: bool = False


def probes(query: str, history: Sequence[str]) -> list[Probe]:
    """`query` by itself, and if there is a history (oldest turn first) also together with its last two turns.

    What both find is pooled by its better score (`domain.ranked`): a question that stands by itself is answered as if
    nothing had been said before, one that does not is answered by what was said.
    """
    alone = Probe(query, _searched(query), _terms(query))
    turns = [" ".join(turn.split()[-_TURN_WORDS:]) for turn in history if turn.strip()][-_TURNS:]
    if not turns:
        return [alone]
    joined = "\n".join([*turns, query])
    by_itself = not follows_up(query)
    handicap, doubt = (_RANK_HANDICAP, _DOUBT) if by_itself else (-_FOLLOW_UP_BONUS, 0.0)
    return [alone, Probe(joined, _searched(joined), _terms(joined), handicap, doubt, by_itself)]


def follows_up(query: str) -> bool:
    """Whether `query` says too little by itself: 'and where is that?', but not 'where is the reset button?'."""
    words = {word.lower() for word in _TOKEN.findall(query)}
    return len(words - _FUNCTION_WORDS) < (_FEW_WITH_PRONOUN if words & _PRONOUNS else _FEW)


def content_words(text: str) -> list[str]:
    """The words of `text` that are more than grammar, in their order; what is said twice stays and weighs double."""
    return [word for word in _TOKEN.findall(text) if word.lower() not in _FUNCTION_WORDS]


def _searched(text: str) -> str:
    return " ".join(content_words(text)) or text


def _terms(text: str) -> int:
    return max(1, len({word.lower() for word in content_words(text)}))
