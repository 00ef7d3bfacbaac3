"""One turn as the offline model understands it: what is asked, what is known, what was done. Pure."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

import msgspec

from parley_llm_gateway.offline import asking, wishes
from parley_llm_gateway.offline.arguments import Filled, Sources, fill, literals, tells
from parley_llm_gateway.offline.clean import sentences
from parley_llm_gateway.offline.consent import Consent, consent, is_bare, without_answer
from parley_llm_gateway.offline.matching import STRONG, THRESHOLD, Match, Query, Ranking
from parley_llm_gateway.offline.passages import Found, search
from parley_llm_gateway.offline.situation import Situation
from parley_llm_gateway.offline.tools import SPECIAL, Parameter, Tool
from parley_llm_gateway.offline.vocabulary import listed
from parley_llm_gateway.offline.words import stems

MAX_ROUNDS = 4
_MAX_WISHES = 3
_SECOND_THRESHOLD = 0.6
_SUGGESTED = 0.35
_LIKELY = 0.2
_TOLD_BONUS = 0.25
_PARTS = re.compile(
    r"(?<=[.!?;])\s+|\n+|,?\s+(?:and also|and then|but also|as well as|plus|by the way|also,)\s+|"
    r",?\s+and\s+(?=(?:where|when|how|what|why|who|can|could|would|is|are|do|does|please|i|my|tell|show|check|cancel|send)\b)",
    re.IGNORECASE,
)
_POSSIBLE = re.compile(
    r"\b(?:can be|could be|i can|i could|shall i|would you like|do you want|want me to)\b", re.IGNORECASE
)
_LATEST = re.compile(r"\b(?:last|latest|newest|most recent|recent)\b", re.IGNORECASE)
_NOUNLESS = listed("id number code reference ref no key name")
_READERS = listed("list get find show latest recent lookup look check search fetch view my read")


class Call(msgspec.Struct, frozen=True):
    tool: str
    arguments: dict[str, Any]


class Wish(msgspec.Struct, frozen=True):
    """A tool that the customer asks for, with the part of the message that does."""

    tool: Tool
    said: str
    filled: Filled


class Turn:
    """What follows from a situation; everything is computed once, when it is first needed."""

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.ranking = Ranking(situation.tools)
        self._done = [Call(result.tool, result.arguments) for result in situation.results]
        offer = situation.facts.offer
        # To call what is offered is to carry it out: only a yes may do that.
        self._barred = Call(offer.tool, offer.arguments) if offer else None

    @cached_property
    def consent(self) -> Consent | None:
        """The customer's answer to the pending offer; None where nothing is offered."""
        offer = self.situation.facts.offer
        if offer is None:
            return None
        known = " ".join(str(value) for value in offer.arguments.values())
        return consent(self.situation.message, offer.question, known)

    @cached_property
    def message(self) -> str:
        """What is left to do once a yes or no is taken away; empty when the message was only that.

        A yes to what we said could be done, without a pending offer, is the wish to have it done.
        """
        said = self.situation.message
        if self.consent in ("yes", "no"):
            rest = without_answer(said)
            return "" if is_bare(rest) or (rest == said and "?" not in said) else rest
        return self._accepted if is_bare(said) or self.accepts_person else said

    @cached_property
    def accepts_person(self) -> bool:
        """Whether it is the yes to the person whom we, or who had the conversation before, have offered."""
        offered = wishes.OFFER_PERSON in self.situation.last_answer and not self.situation.facts.offer
        return offered and consent(self.situation.message, wishes.OFFER_PERSON) == "yes"

    @cached_property
    def matter(self) -> str:
        """What the customer has come for: what was said last that is more than a yes or no."""
        said = self.situation.message
        earlier = (text for text in self.situation.before if not is_bare(text))
        return next(earlier, said) if self.accepts_person else said

    @cached_property
    def context(self) -> list[str]:
        """Earlier messages without which this one can't be understood."""
        if not self.message or self._accepted or not wishes.follows_up(self.message):
            return []
        offer = self.situation.facts.offer
        if offer and self.consent == "unclear":
            return [offer.question]
        before = self.situation.before[:2]
        if before and is_bare(before[0]):
            # After a yes or no, 'when will I get it?' is about what we said then.
            return sentences(asking.without_questions(self.situation.last_answer))[:2]
        if before and not wishes.follows_up(before[0]):
            before = before[:1]
        return before or [text for text in [self.situation.facts.background] if text]

    @cached_property
    def is_general(self) -> bool:
        """Whether it asks how things are done, by itself or as a follow-up to such a question."""
        return any(wishes.is_general(text) for text in (self.message, *self.context))

    @cached_property
    def found(self) -> Found:
        """What the help pages say to it."""
        return self.pages(3)

    def pages(self, limit: int) -> Found:
        """The best `limit` sentences of the help pages."""
        question = " ".join([*reversed(self.context), self.message])
        return search(question, self.situation.passages, self.situation.tools, limit)

    @cached_property
    def answered(self) -> Wish | None:
        """The tool for which we asked something that this message now tells."""
        if not self.situation.last_answer or "?" in self.message or not self.message:
            return None
        asked = [tool for tool in self.situation.tools.values() if tool.name not in SPECIAL and self._asked(tool)]
        earlier = self.ranking.query(" ".join(self.situation.before[:1]))
        scores = {match.tool.name: match.score for match in self.ranking.rank(earlier)}
        for tool in sorted(asked, key=lambda tool: -scores.get(tool.name, 0.0)):
            if self._asks_for_another(tool):
                continue
            answers = self._free_answer(tool)
            told = fill(tool, Sources([self.message], [], answers))
            if any(item not in told.missing for item in self._asked(tool)):
                return Wish(tool, self.message, self._fill(tool, self.message, answers))
        return None

    @cached_property
    def wishes(self) -> list[Wish]:
        """The tools that the message asks for, in its order."""
        if not self.message:
            return []
        if self.answered:
            return [self.answered]
        found: dict[str, Wish] = {}
        for part in self._parts():
            for match in self._matches(part):
                if match.tool.name not in found:
                    found[match.tool.name] = Wish(match.tool, part, self._fill(match.tool, part))
        return list(found.values())[:_MAX_WISHES]

    def next_call(self) -> Call | None:
        """The next tool to call, if any: what the results suggest, what is asked for, what it takes to get there."""
        if self.situation.rounds >= MAX_ROUNDS:
            return None
        return self._suggested() or self._asked_for() or self._provider()

    def open_questions(self) -> list[Wish]:
        """Tools that can't be called because the customer has to tell something first."""
        called = {call.tool for call in self._done}
        return [wish for wish in self.wishes if wish.filled.missing and wish.tool.name not in called]

    def foreign_parts(self) -> list[str]:
        """The parts of the message that none of our tools answer."""
        ours = {wish.said for wish in self.wishes}
        return [part for part in self._parts() if part not in ours] if len(self._parts()) > 1 else []

    def is_done(self, call: Call) -> bool:
        return call in self._done or call == self._barred

    def _suggested(self) -> Call | None:
        for result in reversed(self.situation.results):
            suggest = result.outcome.suggest
            if not suggest or suggest.tool not in self.situation.tools or suggest.tool in SPECIAL:
                continue
            call = Call(suggest.tool, suggest.arguments)
            if not self.is_done(call) and self._is_asked(suggest.tool):
                return call
        return None

    def _is_asked(self, name: str) -> bool:
        matches = self.ranking.rank(self.ranking.query(self.message, self.context)) if self.message else []
        return any(match.tool.name == name and match.score >= _SUGGESTED for match in matches)

    def _asked_for(self) -> Call | None:
        for wish in self.wishes:
            call = Call(wish.tool.name, wish.filled.arguments)
            if not wish.filled.missing and not self.is_done(call):
                return call
        return None

    def _provider(self) -> Call | None:
        """A tool that needs nothing and can tell what another one needs: the list of orders for an order's number."""
        for wish in self.open_questions():
            names = {item.name for item in wish.filled.missing}
            nouns = {stem for name in names for stem in stems(name.replace("_", " "))} - _NOUNLESS
            calls = self._latest(names) if _LATEST.search(wish.said) else []
            calls += [Call(tool.name, {}) for tool in self.situation.tools.values() if _lists(tool, nouns)]
            fresh = [call for call in calls if not self.is_done(call)]
            if fresh and not wish.filled.options:
                return fresh[0]
        return None

    def _latest(self, names: set[str]) -> list[Call]:
        """Calls that tell about the newest of something: tools that take 'latest' for the argument that is missing."""
        tools = [tool for tool in self.situation.tools.values() if tool.phrases and not tool.required]
        taking = [(tool, item) for tool in tools for item in tool.parameters if item.name in names]
        return [Call(tool.name, {item.name: "latest"}) for tool, item in taking if "latest" in literals(item.pattern)]

    def _parts(self) -> list[str]:
        parts = [part.strip() for part in _PARTS.split(self.message) if part and part.strip()]
        telling = [part for part in parts if stems(part)]
        return telling or [self.message]

    def _matches(self, part: str) -> list[Match]:
        """The tools for one part: the best, then others for what that one leaves unsaid."""
        query = self.ranking.query(wishes.put_plainly(part), self.context)
        chosen: list[Match] = []
        while len(chosen) < _MAX_WISHES:
            best = self._best(query, part)
            if best is None or best.score < (_SECOND_THRESHOLD if chosen else THRESHOLD):
                break
            if not self._better_read(part, best):
                chosen.append(best)
            query = {stem: sure for stem, sure in query.items() if stem not in best.stems}
        return chosen

    def _best(self, query: Query, part: str) -> Match | None:
        """The best match; to bring along what a tool needs speaks for that tool."""
        ranked = self.ranking.rank(query)
        told = [match for match in ranked if match.score >= _LIKELY and tells(match.tool, part)]
        raised = [msgspec.structs.replace(match, score=match.score + _TOLD_BONUS) for match in told]
        return max([*raised, *ranked[:1]], key=lambda match: match.score, default=None)

    def _better_read(self, part: str, match: Match) -> bool:
        """Whether a help page answers a general question better than the tool would."""
        if wishes.asks_for_rules(part):
            return True
        general = wishes.is_general(part) or (bool(self.context) and self.is_general)
        if not general or not self.found.sentences:
            return False
        return bool(self._fill(match.tool, part).missing) or match.score < STRONG

    @cached_property
    def _accepted(self) -> str:
        """'PAY-300002 can be refunded.', where we said that last and the customer says 'yes please'; else empty."""
        if self.accepts_person:
            return wishes.for_person(self.matter)
        last = (sentences(self.situation.last_answer) or [""])[-1]
        agreed = not self.consent and is_bare(self.situation.message) and consent(self.situation.message, "") == "yes"
        if not agreed or not _POSSIBLE.search(last) or asking.asked_in(last):
            return ""
        best = self._best(self.ranking.query(last), last)
        return last if best and best.score >= THRESHOLD else ""

    def _asks_for_another(self, tool: Tool) -> bool:
        """Whether the message is a wish of its own instead of an answer for `tool`."""
        ranked = self.ranking.rank(self.ranking.query(self.message))
        return bool(ranked) and ranked[0].score >= THRESHOLD and ranked[0].tool.name != tool.name

    def _asked(self, tool: Tool) -> list[Parameter]:
        """What our last answer asked for."""
        return [item for item in tool.required if asking.was_asked(item, self.situation.last_answer)]

    def _free_answer(self, tool: Tool) -> dict[str, str]:
        """The message as the one free text that we asked for."""
        free = [item for item in self._asked(tool) if item.is_free_text]
        return {free[0].name: self.message} if len(free) == 1 and not wishes.courtesy(self.message) else {}

    def _fill(self, tool: Tool, part: str, answers: dict[str, str] | None = None) -> Filled:
        situation = self.situation
        ours = [asking.without_questions(line.text) for line in reversed(situation.window) if line.role == "assistant"]
        said = [part, self.message, *situation.before, situation.facts.background, *ours[:2]]
        results = [result for result in reversed(situation.results) if result.outcome.ok]
        suggestions = [result.outcome.suggest for result in results]
        known = [item.arguments for item in suggestions if item and item.tool == tool.name]
        known += [result.outcome.data for result in results]
        used = [value for call in self._done if call.tool == tool.name for value in call.arguments.values()]
        return fill(tool, Sources([text for text in said if text], known, answers or {}), used)


def _lists(tool: Tool, nouns: set[str]) -> bool:
    """Whether a tool reads things of this kind."""
    name = tool.name.split("_")
    reads = bool(tool.phrases) and not tool.required and name[0] in _READERS
    return reads and bool(nouns & set(stems(" ".join(name))))
