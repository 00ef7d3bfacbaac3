"""Words, pairs of words and pieces of words as numbers: the lexical half of what a head sees. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

# What a message is about stands at its beginning; a pasted log of 64 KB must not cost a decision its millisecond.
LONGEST = 1_000
PIECE = "~"
_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+")
_PIECES = (3, 4, 5)
# They count in a score, but tell a person nothing about why.
_GRAMMAR = frozenset(
    _WORD.findall(
        "a an and any are as at be been but by can could d did didn do does doesn don for from get got had has have how"
        " i if in is isn it just ll m me my no not of off on or our please s so t that the their then there they this"
        " to too up us ve want was wasn we were what when where which who why will with won would you your"
    )
)
# Each half has length 1/2, so that all the words together weigh half as much as the embedding of length 1.
_HALF = 0.5


class Grams(msgspec.Struct, frozen=True, dict=True):
    """The grams that a head knows, with the weight of each (inverse document frequency)."""

    names: list[str]
    weights: list[float]

    @cached_property
    def index(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def is_piece(self) -> npt.NDArray[np.bool_]:
        return np.array([name.startswith(PIECE) for name in self.names], bool)

    @cached_property
    def is_telling(self) -> npt.NDArray[np.bool_]:
        """Whole words and pairs that are more than grammar: what can be shown as a reason."""
        return np.array(
            [not name.startswith(PIECE) and not _GRAMMAR.issuperset(name.split()) for name in self.names], bool
        )

    @cached_property
    def _weights(self) -> Floats:
        return np.array(self.weights, np.float32)

    def row(self, text: str) -> tuple[npt.NDArray[np.intp], Floats]:
        """The places of the grams in `text` and their values: sublinear tf-idf, words and pieces normalised apart."""
        index = self.index
        counts = Counter(place for gram in grams_of(text) if (place := index.get(gram)) is not None)
        places = np.fromiter(counts, np.intp, len(counts))
        values = (1 + np.log(np.fromiter(counts.values(), np.float32, len(counts)))) * self._weights[places]
        pieces = self.is_piece[places]
        for half in (pieces, ~pieces):
            length = float(np.sqrt((values[half] ** 2).sum()))
            if length:
                values[half] *= _HALF / length
        return places, np.asarray(values, np.float32)

    def matrix(self, texts: Sequence[str]) -> Floats:
        """A row a text, [texts, grams]."""
        rows = np.zeros((len(texts), len(self.names)), np.float32)
        for number, text in enumerate(texts):
            places, values = self.row(text)
            rows[number, places] = values
        return rows


def grams_of(text: str) -> Iterator[str]:
    """Words, pairs of neighbours, and pieces of 3 to 5 characters with a mark in front; every number reads 0."""
    words = _WORD.findall(_NUMBER.sub("0", text[:LONGEST].lower()))
    yield from words
    for left, right in pairwise(words):
        yield f"{left} {right}"
    for word in words:
        padded = f" {word} "
        for size in _PIECES:
            for at in range(len(padded) - size + 1):
                yield PIECE + padded[at : at + size]


def choose(texts: Sequence[str], most_words: int, most_pieces: int) -> Grams:
    """The grams of `texts` that carry the most: those in two texts or more, by how often times how telling."""
    seen = Counter(gram for text in texts for gram in set(grams_of(text)))
    weight = {gram: float(np.log((1 + len(texts)) / (1 + count)) + 1) for gram, count in seen.items() if count > 1}
    ranked = sorted(weight, key=lambda gram: (-seen[gram] * weight[gram] ** 2, gram))
    words = [gram for gram in ranked if not gram.startswith(PIECE)][:most_words]
    pieces = [gram for gram in ranked if gram.startswith(PIECE)][:most_pieces]
    names = words + pieces
    return Grams(names, [round(weight[name], 3) for name in names])
