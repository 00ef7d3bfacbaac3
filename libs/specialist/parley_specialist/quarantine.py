"""Texts of others as a model reads them: data that can't pass for anything else, bounded and without secrets. Pure.

Nothing here looks for suspicious phrases: authority never comes from a text. What is taken away is only what could end
the place where the text stands (tags, tokens of chat templates, headings and names of roles) or hide in it.
"""

from __future__ import annotations

import re
from typing import Any

from parley_specialist.masking import masked
from parley_specialist.shown import visible

LONGEST_TEXT = 4_000
_MOST_ITEMS = 200
_DEEPEST = 12
_LONG_NUMBER = 10**12
_JOINERS = re.compile("[\u200c-\u200f]")
# One of these is in everything that is taken away below; most texts have none, and are looked through once.
_SUSPECT = re.compile("[<#:\\[]")
_OPENS = re.compile(r"<(?=[/!?|a-z<])", re.IGNORECASE)
_TEMPLATE = re.compile(r"\[(/?(?:INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS))\]", re.IGNORECASE)
_HEADING = re.compile(r"^[ \t>]*#{1,6}[ \t]+", re.MULTILINE)
_ROLE = re.compile(
    r"^([ \t>*_]*)(system|developer|assistant|user|human|ai|tool|function)([ \t*_]*):", re.IGNORECASE | re.MULTILINE
)


def words(text: str, longest: int = LONGEST_TEXT) -> str:
    """A text of others, fit to stand in a message to a model: at most `longest` characters."""
    plain = _JOINERS.sub("", visible(text[: 2 * longest]))
    plain = masked(_tame(plain) if _SUSPECT.search(plain) else plain)
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def data(value: Any, depth: int = 0) -> Any:
    """A decoded JSON value with every text in it made fit, and no more than so many items and levels."""
    if isinstance(value, str):
        return words(value)
    if isinstance(value, int) and abs(value) >= _LONG_NUMBER:
        plain = masked(str(value))
        return value if plain == str(value) else plain
    if depth >= _DEEPEST and isinstance(value, dict | list | tuple):
        return None
    if isinstance(value, dict):
        items = list(value.items())[:_MOST_ITEMS]
        return {words(str(name), 100): data(item, depth + 1) for name, item in items}
    if isinstance(value, list | tuple):
        return [data(item, depth + 1) for item in value[:_MOST_ITEMS]]
    return value


def _tame(text: str) -> str:
    for pattern, instead in ((_OPENS, "‹"), (_TEMPLATE, r"(\1)"), (_HEADING, ""), (_ROLE, r"\1\2\3 -")):
        text = pattern.sub(instead, text)
    return text
