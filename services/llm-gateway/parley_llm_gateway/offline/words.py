"""From a customer's words to stems that can be compared: folding, a small stemmer, near spellings. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

from parley_llm_gateway.offline.memo import remembered
from parley_llm_gateway.offline.vocabulary import FOLDS, KINDRED, LIGHT, SAME, STOP

_WORD = re.compile(r"[^\W_]+#?")
_IDENTIFIER = re.compile(r"\b([a-z]{2,6})[-_]?\d{3,}\b")
_DOUBLED = re.compile(r"([bdfgklmnprtv])\1$")
_VOWEL = re.compile(r"[aeiouy]")
_SUFFIXES = (
    ("ibility", "ib"),
    ("ability", "ab"),
    ("ation", ""),
    ("ement", ""),
    ("ment", ""),
    ("ness", ""),
    ("ally", "al"),
    ("ily", "y"),
    ("ly", ""),
    ("ate", ""),
    ("ion", ""),
)
_SHORTEST = 4
LIGHT_WEIGHT = 0.3
KINDRED_WEIGHT = 0.6
NEAR_WEIGHT = 0.85


@remembered
def fold(text: str) -> str:
    """Lower case, one spelling for what is written in several ways ('wi-fi', 'sign in', 'money back')."""
    lowered = unicodedata.normalize("NFKC", text).lower().replace("’", "'").replace("'", "")
    for pattern, plain in FOLDS:
        lowered = pattern.sub(plain, lowered)
    return lowered


def words(text: str) -> list[str]:
    """The words of `text`, folded; of an identifier only its kind is left ('ord#'), of a number nothing."""
    folded = _IDENTIFIER.sub(r"\1#", fold(text))
    return [word for word in _WORD.findall(folded) if not any(char.isdigit() for char in word)]


@remembered
def stems(text: str) -> tuple[str, ...]:
    """The stems of `text` without stop words, in order."""
    return tuple(stem(word) for word in words(text) if word not in STOP)


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """The part that 'cancel', 'cancelled' and 'cancellation' share; synonyms give the same stem."""
    root = _root(word)
    return SAME.get(word) or SAME.get(root, root)


def weight(stemmed: str) -> float:
    """How much a stem says: little for 'want' or 'help', and for the kind of an identifier, which is no topic."""
    return LIGHT_WEIGHT if stemmed in _light() or is_identifier(stemmed) else 1.0


def is_identifier(stemmed: str) -> bool:
    return stemmed.endswith("#")


@lru_cache(maxsize=1)
def _families() -> dict[str, tuple[str, ...]]:
    return {stem(first): tuple(stem(other) for other in others) for first, others in KINDRED.items()}


@lru_cache(maxsize=1)
def _light() -> frozenset[str]:
    return frozenset(stem(word) for word in LIGHT)


@lru_cache(maxsize=1)
def _spellings() -> dict[str, list[str]]:
    """The words of the vocabulary that are long enough to be misspelt, by their first letter."""
    found: dict[str, list[str]] = {}
    for word in SAME:
        if len(word) > _SHORTEST:
            found.setdefault(word[0], []).append(word)
    return found


def kindred(stemmed: str) -> tuple[str, ...]:
    """Stems that often mean the same, but not always."""
    return _families().get(stemmed, ())


def nearest(stemmed: str, known: Collection[str]) -> str:
    """The known stem that is one slip of the keyboard away; empty when there is none."""
    if len(stemmed) <= _SHORTEST or stemmed in SAME:
        return ""
    for other in (*known, *_spellings().get(stemmed[0], ())):
        if len(other) > _SHORTEST and abs(len(other) - len(stemmed)) <= 1 and _one_slip(stemmed, other):
            return str(SAME.get(other, other))
    return ""


def _root(word: str) -> str:
    word = _singular(word)
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and _VOWEL.search(rest):
            word = _DOUBLED.sub(r"\1", rest)
            break
    for suffix, instead in _SUFFIXES:
        rest = word.removesuffix(suffix)
        if rest != word and len(rest) >= _SHORTEST:
            word = rest + instead
            break
    word = _DOUBLED.sub(r"\1", word) if len(word) > _SHORTEST else word
    return word[:-1] if len(word) > _SHORTEST and word.endswith("e") else word


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith(("ies", "ied")):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "zes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _one_slip(left: str, right: str) -> bool:
    """One letter added, lost, changed, or two neighbours swapped."""
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start]:
        start += 1
    rest_left, rest_right = left[start:], right[start:]
    if len(left) != len(right):
        longer, shorter = (rest_left, rest_right) if len(left) > len(right) else (rest_right, rest_left)
        return longer[1:] == shorter
    swapped = rest_left[:2] == rest_right[:2][::-1] and rest_left[2:] == rest_right[2:]
    return swapped or rest_left[1:] == rest_right[1:]
