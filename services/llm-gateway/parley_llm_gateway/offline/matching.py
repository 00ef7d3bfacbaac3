"""Which tool a message asks for: stems weighted by how rare they are among the tools' own phrases. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from parley_llm_gateway.offline.tools import SPECIAL, Tool
from parley_llm_gateway.offline.words import KINDRED_WEIGHT, NEAR_WEIGHT, is_identifier, kindred, nearest, stems, weight

# The bounds were chosen on public customer messages (Bitext, HINT3, Banking77) against tools with ten phrases each.
THRESHOLD = 0.48
STRONG = 0.72
_UNKNOWN_WEIGHT = 0.5
_QUERY_SHARE = 0.25
_LITTLE = 0.25
_CONTEXT_WEIGHT = 0.5

Query = dict[str, float]
_Reach = dict[str, tuple[float, str]]


class Match(msgspec.Struct, frozen=True):
    """A tool with its score (0 to 1) and the query's stems that speak for it."""

    tool: Tool
    score: float
    stems: frozenset[str]


class Ranking:
    """Ranks the tools that have phrases. Built once for a turn."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = [tool for name, tool in tools.items() if name not in SPECIAL and tool.phrases]
        seen = Counter(stem for tool in self._tools for stem in frozenset().union(*tool.phrases))
        everywhere = math.log(1 + len(self._tools))
        rarity = {stem: math.log(1 + len(self._tools) / count) / everywhere for stem, count in seen.items()}
        # Rare among the tools is worth 1, in all of them little.
        self._worth = {stem: weight(stem) * rare for stem, rare in rarity.items()}

    def query(self, text: str, context: Iterable[str] = ()) -> Query:
        """The stems of `text`, each with how sure it is; slips of the keyboard are mended.

        `context` counts in full where `text` has no topic of its own, else half.
        """
        query: Query = {}
        own = stems(text)
        share = _CONTEXT_WEIGHT if any(weight(stem) == 1.0 for stem in own) else 1.0
        for sureness, said in ((1.0, own), *((share, stems(earlier)) for earlier in context)):
            for stem in said:
                self._note(query, stem, sureness)
        return query

    def rank(self, query: Query) -> list[Match]:
        """Every tool that shares something with `query`, the best first."""
        reach = _reach(query)
        said = sum(self._worth_of(stem) * sure for stem, sure in query.items())
        matches = [match for tool in self._tools if (match := self._match(tool, query, reach, said)) is not None]
        return sorted(matches, key=lambda match: -match.score)

    def speaks_of(self, stem: str) -> bool:
        """Whether any tool's phrases have it."""
        return stem in self._worth

    def _note(self, query: Query, stem: str, sureness: float) -> None:
        if is_identifier(stem):
            stem, sureness = self._kind(stem), sureness * KINDRED_WEIGHT
        if stem not in self._worth and not kindred(stem) and (near := nearest(stem, self._worth)):
            stem, sureness = near, sureness * NEAR_WEIGHT
        query[stem] = max(query.get(stem, 0.0), sureness)

    def _kind(self, identifier: str) -> str:
        """What an identifier is short for: 'ord#' for order, 'inv#' for invoice."""
        return next((stem for stem in self._worth if stem.startswith(identifier[:-1])), identifier)

    def _worth_of(self, stem: str) -> float:
        """A word of no tool speaks against all of them."""
        return self._worth.get(stem, _UNKNOWN_WEIGHT * weight(stem))

    def _match(self, tool: Tool, query: Query, reach: _Reach, said: float) -> Match | None:
        scored = [self._score(phrase, query, reach, said) for phrase in tool.phrases]
        score, met = max(scored, key=lambda pair: pair[0])
        return Match(tool, score, met) if score > 0 else None

    def _score(self, phrase: frozenset[str], query: Query, reach: _Reach, said: float) -> tuple[float, frozenset[str]]:
        """How much of the phrase was said, how much of what was said is in it (a little), and whether that is much."""
        met = [stem for stem in phrase if stem in reach]
        if not any(weight(stem) == 1.0 for stem in met):
            return 0.0, frozenset()
        overlap = sum(self._worth[stem] * reach[stem][0] for stem in met)
        used = frozenset(reach[stem][1] for stem in met)
        answered = sum(self._worth_of(stem) * query[stem] for stem in used)
        share = overlap / sum(self._worth[stem] for stem in phrase)
        return share * (answered / said) ** _QUERY_SHARE * overlap / (overlap + _LITTLE), used


def _reach(query: Query) -> _Reach:
    """Every stem that `query` has or is kindred to, how surely, and by which of its stems."""
    reach: _Reach = {}
    for stem, sure in query.items():
        for other in kindred(stem):
            if KINDRED_WEIGHT * sure > reach.get(other, (0.0, ""))[0]:
                reach[other] = (KINDRED_WEIGHT * sure, stem)
    reach.update({stem: (sure, stem) for stem, sure in query.items()})
    return reach
