"""How what a search finds becomes passages: one score out of meaning and words, and what counts as an answer. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from parley_proto.rag import Passage
from parley_rag.questions import Probe

Mode = Literal["hybrid", "vector", "text"]

# Meaning and words are two independent hints that a window answers (a noisy-or, Pearl 1988): what one of them leaves
# open the other may still settle. BM25 is taken per word of the question, so that it means the same for a short and
# a long one. `parley kb eval` on a manual, a FAQ and a bank's documents: from 0.12 to 0.165 and from 0.03 to 0.1 all
# stay within a point of the best; reciprocal rank fusion loses recall@1 to the better ranking in every setting.
# Of a long story only some words are what it is about: from ten on its length no longer counts (a bank's tasks as
# questions of 600 characters: recall@5 0.135 instead of 0.099; shorter questions as before).
_WORD_WEIGHT = 0.14
_MOST_BY_WORDS = 0.75
_MOST_TERMS = 10
# A heading alone is shorter than its section and so closer to a short question: it counts for a little less.
_HEADING_DISCOUNT = 0.05
# A passage that is far below the floor is not evidence, even beside a good one.
_BELOW_FLOOR = 0.15
# Logistic regression on the cosine of the best window, over a manual, a FAQ and our articles: their own questions
# against those of the other sets, unrelated ones, and their own without the passages that answer them.
_SLOPE, _EVEN = 15.0, 0.48


class Hit(msgspec.Struct, frozen=True):
    """A window that a search found.

    `cosine` is its similarity to the query, however it was found, `heading` that of its title and section alone, and
    `bm25` its full text score, 0 where full text did not find it. `start` and `end` are where the passage stands.
    """

    document: str
    number: int
    section_number: int
    title: str
    section: str
    specialty: str
    passage: str
    cosine: float
    source: str = ""
    start: int = 0
    end: int = 0
    heading: float = -1.0
    bm25: float = 0.0


class Found(msgspec.Struct, frozen=True):
    """What looking one probe up by vector and by full text gave, together."""

    probe: Probe
    hits: Sequence[Hit]


class Ranked(msgspec.Struct, frozen=True):
    """A section by its best window, whose cosine `similarity` is."""

    hit: Hit
    score: float
    similarity: float


def best_passages(found: Sequence[Found], *, mode: Mode, limit: int, floor: float) -> list[Passage]:
    """The best sections, each shown by its best window; none when no similarity reaches `floor`."""
    ranking = ranked(found, mode)
    if not answered(ranking, floor):
        return []
    kept = [one for one in ranking if one.similarity >= floor - _BELOW_FLOOR]
    return [_passage(one) for one in kept[:limit]]


def ranked(found: Sequence[Found], mode: Mode) -> list[Ranked]:
    """All sections, best first: each is worth its best window, and that its best score by any probe."""
    best: dict[tuple[str, int], Ranked] = {}
    for one in _scored(found, mode):
        key = (one.hit.document, one.hit.section_number)
        if key not in best or (one.score, one.similarity) > (best[key].score, best[key].similarity):
            best[key] = one
    return sorted(best.values(), key=lambda one: (-one.score, -one.similarity))


def answered(ranking: Iterable[Ranked], floor: float) -> bool:
    """Whether anything is near enough to be an answer, rather than only the nearest.

    Cosine alone decides: with shared words or the lead of the first beside it, questions that have an answer were told
    from those that have none no better (area under ROC 0.977 alone, 0.974 to 0.976 with them).
    """
    return any(one.similarity >= floor for one in ranking)


def score(hit: Hit, terms: int, mode: Mode) -> float:
    """How well `hit` fits a question of `terms` words, from 0 to about 1; `mode` may leave out meaning or words."""
    words = _WORD_WEIGHT * hit.bm25 / min(terms, _MOST_TERMS)
    if mode == "text":
        return words
    if mode == "vector":
        return hit.cosine
    meaning = max(hit.cosine, hit.heading - _HEADING_DISCOUNT)
    return meaning + (1.0 - meaning) * min(words, _MOST_BY_WORDS)


def relevance(similarity: float) -> float:
    """The chance that a passage of this cosine answers: 0.18 at 0.38, 0.5 at 0.48, 0.96 at 0.7."""
    return 1.0 / (1.0 + math.exp(-_SLOPE * (similarity - _EVEN)))


def _scored(found: Sequence[Found], mode: Mode) -> Iterable[Ranked]:
    for one in found:
        for hit in one.hits:
            yield Ranked(hit, score(hit, one.probe.terms, mode) + one.probe.bonus, hit.cosine)


def _passage(one: Ranked) -> Passage:
    hit = one.hit
    return Passage(
        passage_id=f"{hit.document}#{hit.number}",
        document=hit.document,
        title=hit.title,
        text=hit.passage,
        score=round(relevance(one.similarity), 4),
        section=hit.section,
        specialty=hit.specialty,
        start=hit.start,
        end=hit.end,
        source=hit.source,
    )
