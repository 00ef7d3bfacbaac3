"""Asking back when nobody can tell what a message is about, and understanding the choice. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

TOPICS = {
    "billing": "a charge, an invoice or a refund",
    "technical": "a device that does not work",
    "account": "your account or sign-in",
    "returns": "an order, a delivery or a return",
    "escalation": "a complaint, or a person to talk to",
}
_ORDINALS = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "last": -1}
_LITTLE = frozenset(("a", "an", "the", "or", "to", "of", "my", "your", "with", "it", "is", "about", "please", "and"))
_LITTLE |= {"one", "it's", "its", "i", "that"}
_FEW_WORDS = 8


def question(specialties: Sequence[str]) -> str:
    """The choices, in the order of `specialties`."""
    topics = [TOPICS.get(name, name) for name in specialties]
    listed = "; ".join(topics[:-1]) + (f"; or {topics[-1]}" if len(topics) > 1 else "".join(topics))
    return f"I want to bring you to the right specialist. What is it about: {listed}?"


def choice(text: str, specialties: Sequence[str]) -> str:
    """The specialty that an answer to `question` picks: by its name, its place in the list, or words that only its
    topic has; '' where it picks none.
    """
    words = re.findall(r"[\w'-]+", text.casefold())
    if not words or len(words) > _FEW_WORDS:
        return ""
    named = [name for name in specialties if name in words]
    if len(named) == 1:
        return named[0]
    return _by_place(words, specialties) or _by_topic(words, specialties)


def _by_place(words: list[str], specialties: Sequence[str]) -> str:
    said = [word for word in words if word not in _LITTLE]
    if len(said) != 1 or not specialties:
        return ""
    if said[0].isdecimal() and 1 <= int(said[0]) <= len(specialties):
        return specialties[int(said[0]) - 1]
    place = _ORDINALS.get(said[0], len(specialties))
    return specialties[place] if place < len(specialties) else ""


def _by_topic(words: list[str], specialties: Sequence[str]) -> str:
    said = set(words) - _LITTLE
    fitting = [name for name in specialties if said and said <= _words(TOPICS.get(name, name))]
    return fitting[0] if len(fitting) == 1 else ""


def _words(topic: str) -> set[str]:
    return set(re.findall(r"[\w'-]+", topic.casefold()))
