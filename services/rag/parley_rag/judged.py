"""Questions with the passages that answer them, as files of several kinds have them."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from parley_proto.errors import PermanentError

_TEXT = ("question", "query", "text")
_GOLD = ("gold_passages", "required_documents", "gold")
_HISTORY = ("history", "context", "turns")
# A quote opens after a space and before a word: otherwise what stands between two quotes would be one.
_SAID = re.compile(r"(?<!\S)[\"“](?=\w)([^\"“”]{12,})[\"”]")
_LEAST_WORDS = 5
_MOST_WORDS = 150


class Question(msgspec.Struct, frozen=True):
    """`history` holds the customer's turns before, oldest first; `gold` is empty where nothing answers."""

    text: str
    gold: frozenset[str]
    history: list[str] = []


def questions_of(path: Path, known: Collection[str] | None) -> list[Question]:
    """The questions of a JSONL file; PermanentError with the line for one without text or with gold not in `known`.

    `known` None means that no gold is expected. A tau2 task (`user_scenario`) has no question: its question is the
    first thing that its instructions let the customer say in quotes, or their start where they quote nothing. Its gold
    is that of the whole task, so that most of it is out of one question's reach: recall then compares methods, rather
    than saying how good one is.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(str(path), f"can't be read: {error}") from error
    numbered = ((f"{path.name} line {number}", line) for number, line in enumerate(lines, start=1) if line.strip())
    found = [_question(where, line, known) for where, line in numbered]
    if not found:
        raise _bad(str(path), "has no questions")
    return found


def _question(where: str, line: str, known: Collection[str] | None) -> Question:
    try:
        row = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise _bad(where, f"is not a JSON object: {error}") from error
    gold = frozenset() if known is None else _gold(where, row, known)
    if "user_scenario" in row:
        return Question(_opening(where, row["user_scenario"]), gold)
    text = _first(row, _TEXT)
    if not isinstance(text, str) or not text.strip():
        raise _bad(where, f"has no question: it needs a text in {_TEXT[0]!r}")
    return Question(text, gold, _history(where, _first(row, _HISTORY) or []))


def _gold(where: str, row: dict[str, Any], known: Collection[str]) -> frozenset[str]:
    value = _first(row, _GOLD)
    if isinstance(value, str):
        value = _literal(value)
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise _bad(where, f"has no gold passages: it needs a list of ids in {_GOLD[0]!r}")
    missing = [one for one in value if one not in known]
    if missing:
        raise _bad(where, f"has the gold passage {missing[0]!r}, which is not among the passages")
    return frozenset(value)


def _literal(text: str) -> Any:
    """A list written as text, as CSV converters leave it; text that is none is the one id."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return [text]


def _history(where: str, turns: Any) -> list[str]:
    """The customer's turns: texts, or objects with a role and a text."""
    if not isinstance(turns, list):
        raise _bad(where, "has a history that is not a list")
    kept = [
        turn for turn in turns if not isinstance(turn, dict) or turn.get("role", "customer") in ("customer", "user")
    ]
    texts = [_first(turn, ("text", "content")) if isinstance(turn, dict) else turn for turn in kept]
    if not all(isinstance(text, str) for text in texts):
        raise _bad(where, "has a turn in its history that is no text")
    return texts


def _opening(where: str, scenario: Any) -> str:
    instructions = scenario.get("instructions") if isinstance(scenario, dict) else None
    if isinstance(instructions, dict):
        instructions = "\n".join(str(value) for value in instructions.values())
    if not isinstance(instructions, str) or not instructions.strip():
        raise _bad(where, "has no instructions in its user_scenario")
    quoted = (" ".join(quote.split()) for quote in _SAID.findall(instructions))
    spoken = (quote for quote in quoted if len(quote.split()) >= _LEAST_WORDS)
    return next(spoken, " ".join(instructions.split()[:_MOST_WORDS]))


def _first(row: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _bad(where: str, what: str) -> PermanentError:
    return PermanentError(f"{where} {what}.", code="bad_question")
