"""Questions for what is missing, in the words of the tool's own schema. Pure.

A question is the same each time, so that the next turn can tell what the customer answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from parley_llm_gateway.offline.clean import plain
from parley_llm_gateway.offline.tools import Parameter

_OPENERS = re.compile(r"(?:the|your|a|an|which|what|how|when|where|why|whether|who|one of)\b", re.IGNORECASE)
_FIRST = re.compile(r"^(.+?[^.\s][^.]?)\.(?:\s|$)")
_MAX_OPTIONS = 4
_START = "Could you tell me "


def phrase(parameter: Parameter) -> str:
    """What to ask for, as a noun phrase: 'the order number, like ORD-100001'."""
    described = plain(parameter.description) or "the " + parameter.name.replace("_", " ")
    match = _FIRST.match(described)
    first = (match[1] if match else described).rstrip(".!?; ")
    first = re.sub(r"\b[Tt]he customer's\b", "your", first)
    first = first if first[1:2].isupper() else first[:1].lower() + first[1:]
    return first if _OPENERS.match(first) else f"the {first}"


def question(missing: Sequence[Parameter], options: Sequence[str] = ()) -> str:
    """One sentence that asks for `missing`; `options` are the values between which the customer can choose."""
    wanted = " and ".join(phrase(parameter) for parameter in missing)
    asked = f"{_START}{wanted}?"
    shown = [plain(option) for option in options[:_MAX_OPTIONS]]
    return f"{_listed(shown)} are possible. {asked}" if len(shown) > 1 else asked


def asked_in(text: str) -> str:
    """The question for something missing that `text` ends with; empty where there is none."""
    return text[text.rindex(_START) :].strip() if _START in text else ""


def without_questions(text: str) -> str:
    """`text` up to such a question: its examples ('such as ORD-100001') are nobody's numbers."""
    return text.partition(_START)[0]


def was_asked(parameter: Parameter, answer: str) -> bool:
    """Whether our last answer asked for it."""
    return _START in answer and phrase(parameter) in answer


def _listed(options: Sequence[str]) -> str:
    return ", ".join(options[:-1]) + f" and {options[-1]}"
