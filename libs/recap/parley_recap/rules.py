"""A summary without a model: what our side said in a sentence that binds it, and the customer's words in short. Pure.

It stands in where no model answers in time, so it rather keeps too much than too little.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from parley_proto.specialist import Fact, Line, Summary

LONGEST_FACT = 160
LONGEST_PROMISE = 240
MOST_QUESTIONS = 8
_END = re.compile(r"(?<=[.!?…])[\"')\]]*\s+|\n+")
_MARK = re.compile(r"\s*\[\d{1,2}\]")
_WORD = re.compile(r"\w+")
_FEWEST_WORDS = 3
# What binds: "I will call you", "we have refunded it", "you will receive a label", "the money arrives within 3 days".
_WILL = r"(?:'ll|’ll| will| shall| promise| guarantee)(?! not be able)\b"
_HAVE = r"(?: have|'ve|’ve) (?:now |just |already |also )?(?!not\b|left\b|looked\b|never\b)"
_DONE = r"(?:\w{2,}ed|sent|made|put|given|paid|set|written|told|begun)\b"
_COMES = r"\b(?:reach(?:es)?|arrives?|answers?|comes?|calls?|traces?|is released|is sent|is shipped|is delivered)\b"
_WHEN = r"\b(?:within|by|before|until|today|tomorrow|in \d+|on \w+day)\b"
_DEED = re.compile(rf"(?:I|we){_HAVE}{_DONE}", re.IGNORECASE)
_BINDS = re.compile(
    rf"\b(?:I|we){_WILL}|\b(?:I|we){_HAVE}{_DONE}|\byou(?:'ll|’ll| will) (?:receive|get|have|hear|be|not be)\b"
    rf"|{_COMES}[^.?!]*{_WHEN}",
    re.IGNORECASE,
)
_FAILS = re.compile(r"\b(?:can't|can’t|cannot|could not|couldn't|unable|don't know|do not know)\b", re.IGNORECASE)


def promises_in(text: str) -> list[str]:
    """The sentences of an answer of ours that bind us: what we will do, have done, or said will come."""
    return [one for one in _sentences(text) if _BINDS.search(one)]


def deeds_in(text: str) -> list[str]:
    """The sentences that say what was done."""
    return [one for one in _sentences(text) if _DEED.match(one)]


def by_rules(recap: Summary, lines: Sequence[Line]) -> Summary:
    """`recap` and what follows from `lines`, oldest first; the same words are kept once, where they were said first."""
    facts = [fact for line in lines if line.role == "customer" and (fact := _fact(line))]
    promises = [Fact(text, [line.message_id]) for line in lines for text in _promised(line)]
    open_questions = [*recap.open_questions, *_unanswered(lines)]
    return Summary(
        _once([*recap.facts, *facts]), _once([*recap.promises, *promises]), _once(open_questions)[-MOST_QUESTIONS:]
    )


def short(text: str, longest: int) -> str:
    """`text` on one line, cut after a whole word where it has more than `longest` characters."""
    flat = " ".join(text.split())
    if len(flat) <= longest:
        return flat
    return flat[: longest - 1].rsplit(" ", 1)[0] + "…"


def _sentences(text: str) -> list[str]:
    sentences = (_MARK.sub("", part).strip() for part in _END.split(text) if part)
    return [short(one, LONGEST_PROMISE) for one in sentences if not one.endswith("?")]


def _promised(line: Line) -> list[str]:
    """Words without a specialty are Parley's own, and say why there is no answer: only the deeds in them count."""
    if line.role != "assistant":
        return []
    return promises_in(line.text) if line.specialty else deeds_in(line.text)


def _fact(line: Line) -> Fact | None:
    """Nothing for 'yes please' and the like; a number may be all that was asked for."""
    told = len(_WORD.findall(line.text)) >= _FEWEST_WORDS or any(char.isdigit() for char in line.text)
    return Fact(short(line.text, LONGEST_FACT), [line.message_id]) if told else None


def _unanswered(lines: Sequence[Line]) -> list[Fact]:
    """The customer's questions to which the next answer was that there is none."""
    asked: list[Line] = []
    found: list[Fact] = []
    for line in lines:
        if line.role == "customer":
            asked += [line] if "?" in line.text else []
        elif line.role == "assistant":
            failed = not line.specialty or _FAILS.search(line.text)
            found += [Fact(short(one.text, LONGEST_FACT), [one.message_id]) for one in asked if failed]
            asked = []
    return found


def _once(notes: Sequence[Fact]) -> list[Fact]:
    kept: dict[str, Fact] = {}
    for note in notes:
        kept.setdefault(note.text.casefold(), note)
    return list(kept.values())
