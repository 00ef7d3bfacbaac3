"""The sentences of the help pages that answer a question, in their order, with citations. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from functools import lru_cache

import msgspec

from parley_llm_gateway.offline.clean import sentence, sentences
from parley_llm_gateway.offline.situation import Passage
from parley_llm_gateway.offline.words import KINDRED_WEIGHT, kindred, stems, weight

# Chosen on public customer messages against the help pages: 9 of 10 are answered, 1 of 10 about other things.
RELEVANT = 0.4
SURE = 0.62
_UNSCORED = 0.9
# Search gives the chance that a passage answers: an even one is worth as much as most of the words.
_EVEN, _SPREAD = 0.7, 6.0
_CERTAIN = 1e-6
_MIN_COVERAGE = 0.2
_HEADING_SHARE = 0.5
_FIRST_BONUS = 0.1
_DANGLING = 0.5
_POINTS_BACK = re.compile(r"(?:This|That|These|Those|It|They|Then|Otherwise|After that|In this case|You can also)\b")
_MAX_CHARS = 420
_MAX_TEXT = 8000
# Sentences that talk to a machine instead of a customer are never repeated.
_TO_MACHINES = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instruction|prompt|rule|above|previous)|system prompt|"
    r"\b(?:you are|act as) (?:an? |the )?(?:ai|assistant|language model|chatbot|system)\b|\bas an ai\b|"
    r"\b(?:assistant|system|tool|function)\s*:|\bcall (?:the )?(?:tool|function)\b",
    re.IGNORECASE,
)


class Sentence(msgspec.Struct, frozen=True):
    """`place` is its passage and its number there; `n` is the passage's number in citations."""

    n: int
    place: tuple[int, int]
    text: str
    stems: frozenset[str]


class Found(msgspec.Struct, frozen=True):
    """What the help pages say to a question; `relevance` goes from 0 to 1, and nothing counts below RELEVANT."""

    relevance: float = 0.0
    sentences: list[Sentence] = []


class _Page(msgspec.Struct, frozen=True):
    heading: frozenset[str]
    lines: list[Sentence]
    relevance: float


def search(question: str, passages: Iterable[Passage], forbidden: Collection[str] = (), limit: int = 3) -> Found:
    """The sentences that answer `question` best, at most `limit`; none where the pages speak of something else.

    Sentences that name something of `forbidden` (the tools) or give orders to a machine are left out.
    """
    asked = frozenset(stems(question))
    found = [_page(asked, place, passage, forbidden) for place, passage in enumerate(passages)]
    pages = [page for page in found if page.lines and page.relevance >= RELEVANT]
    if not pages:
        return Found()
    best = max(pages, key=lambda page: page.relevance)
    chosen = _window(asked, best, limit)
    others = [line for page in pages if page is not best for line in page.lines]
    return Found(best.relevance, _completed(asked, chosen, others, limit))


def cited(lines: list[Sentence]) -> str:
    """The sentences in order, each run from one passage followed by its [n]."""
    parts: list[str] = []
    for index, line in enumerate(lines):
        last = index + 1 == len(lines) or lines[index + 1].n != line.n
        parts.append(_with_mark(line.text, line.n) if last else line.text)
    return " ".join(parts)


def _with_mark(text: str, n: int) -> str:
    return f"{text[:-1]} [{n}]{text[-1]}" if text.endswith((".", "!", "…")) else f"{text} [{n}]"


def _page(asked: frozenset[str], place: int, passage: Passage, forbidden: Collection[str]) -> _Page:
    heading = frozenset(stems(f"{passage.title} {passage.section}"))
    lines = _readable(passage, place, forbidden)
    coverage = _coverage(asked, heading.union(*(line.stems for line in lines)))
    return _Page(heading, lines, _relevance(coverage, passage.score))


def _readable(passage: Passage, place: int, forbidden: Collection[str]) -> list[Sentence]:
    return [
        Sentence(passage.n, (place, index), text, said)
        for index, (text, said) in enumerate(_quotable(passage.text[:_MAX_TEXT]))
        if not _names(text, forbidden)
    ]


@lru_cache(maxsize=512)
def _quotable(text: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """The sentences that may be said to a customer, with their stems; the same pages come again and again."""
    found = [(line, frozenset(stems(line))) for line in map(sentence, sentences(text))]
    return tuple(pair for pair in found if pair[1] and not pair[0].endswith("?") and not _TO_MACHINES.search(pair[0]))


def _names(text: str, forbidden: Collection[str]) -> bool:
    return any("_" in name and name in text for name in forbidden)


def _relevance(coverage: float, chance: float) -> float:
    """Shared words and shared meaning, half and half; words alone where the search gives no score."""
    if not chance or coverage < _MIN_COVERAGE:
        return _UNSCORED * coverage
    sure = min(max(chance, _CERTAIN), 1.0 - _CERTAIN)
    meaning = _EVEN + math.log(sure / (1.0 - sure)) / _SPREAD
    return (coverage + min(1.0, max(0.0, meaning))) / 2


def _coverage(asked: frozenset[str], said: frozenset[str]) -> float:
    """The share of the question's topics that `said` speaks of; 0 for a question without any."""
    topics = [stem for stem in asked if weight(stem) == 1.0]
    return sum(_met(stem, said) for stem in topics) / len(topics) if topics else 0.0


def _met(stem: str, said: frozenset[str]) -> float:
    if stem in said:
        return weight(stem)
    return KINDRED_WEIGHT * weight(stem) if any(other in said for other in kindred(stem)) else 0.0


def _window(asked: frozenset[str], page: _Page, limit: int) -> list[Sentence]:
    """The run of sentences that answers most; of two equal ones the earlier, as a page begins with what matters."""
    runs = [_run(page.lines[start:], limit) for start in range(len(page.lines))]
    return max(runs, key=lambda run: _score(asked, page, run))


def _run(lines: list[Sentence], limit: int) -> list[Sentence]:
    taken = lines[:1]
    for line in lines[1:limit]:
        if sum(len(other.text) for other in taken) + len(line.text) > _MAX_CHARS:
            break
        taken.append(line)
    return taken


def _score(asked: frozenset[str], page: _Page, run: list[Sentence]) -> float:
    """What the run says of the question; what the heading says already counts half."""
    said = frozenset().union(*(line.stems for line in run))
    gain = sum(_met(stem, said) * (_HEADING_SHARE if stem in page.heading else 1.0) for stem in asked)
    opens = sum(_met(stem, run[0].stems) for stem in asked) + (1.0 if run[0] is page.lines[0] else 0.0)
    dangling = _DANGLING if _POINTS_BACK.match(run[0].text) else 0.0
    return gain + _FIRST_BONUS * opens - dangling


def _completed(asked: frozenset[str], chosen: list[Sentence], others: list[Sentence], limit: int) -> list[Sentence]:
    """`chosen` with one sentence of another passage, where that alone speaks of what is still open."""
    said = frozenset().union(*(line.stems for line in chosen))
    left = frozenset(stem for stem in asked if not _met(stem, said) and weight(stem) == 1.0)
    more = max(others, key=lambda line: _coverage(left, line.stems), default=None)
    if len(chosen) >= limit or more is None or _coverage(left, more.stems) < SURE or not (asked - left) & more.stems:
        return chosen
    return sorted([*chosen, more], key=lambda line: line.place)
