"""Arguments of a tool from what the customer said and what earlier results hold; nothing is made up. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from parley_llm_gateway.offline import wishes
from parley_llm_gateway.offline.clean import plain
from parley_llm_gateway.offline.patterns import safe_pattern
from parley_llm_gateway.offline.tools import Parameter, Tool
from parley_llm_gateway.offline.vocabulary import listed
from parley_llm_gateway.offline.words import stems

_SPACES = re.compile(r"\s+")
_EDGE = ".,;:!?()[]{}<>\"'“”‘’#"
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"\+?\d[\d ()/.-]{5,18}\d")
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_NUMBER = re.compile(
    r"(?<![\w.,-])[$€£]?\s?(\d{1,7}(?:[.,]\d{1,2})?)(?![\w-]|[.,]\d)\s?(?:[$€£]|eur\b|usd\b)?", re.IGNORECASE
)
_WORD = re.compile(r"[A-Za-z]{2,20}")
_MAX_SAID = 4000
_MAX_WORDS = 6
_MAX_LEAVES = 2000
_MAX_TEXT = 300
_OWN_WORDS = listed(
    """reason question query description details detail issue problem symptom symptoms text note notes message
    summary topic keywords search comment feedback complaint words what subject"""
)
_URGENCY = "urgency"
_MONEY = listed("amount price total sum value refund")
_TO = re.compile(r"\b(?:to|is|as|into|be|:)\s+[\"“']?(.{3,160}?)[\"”']?\s*[.!?]?$", re.IGNORECASE)


class Sources(msgspec.Struct, frozen=True):
    """Where values may come from: `said` holds texts, the most trusted first; `known` the data of tool results.

    `answers` is the free text with which the customer answered our question for an argument.
    """

    said: list[str]
    known: list[Any]
    answers: dict[str, str] = {}


class Filled(msgspec.Struct, frozen=True):
    """Arguments found, parameters missing, and the values between which only the customer can choose."""

    arguments: dict[str, Any]
    missing: list[Parameter]
    options: list[str]


def fill(tool: Tool, sources: Sources, used: Iterable[Any] = ()) -> Filled:
    """The arguments of `tool`; `used` values were called with before and are passed over where there are others."""
    arguments: dict[str, Any] = {}
    missing: list[Parameter] = []
    options: list[str] = []
    for parameter in tool.parameters:
        found = _candidates(parameter, sources, set(map(str, used)))
        if len(found) == 1:
            arguments[parameter.name] = found[0]
        elif parameter.required:
            missing.append(parameter)
            options += map(str, found)
    return Filled(arguments, missing, options)


def tells(tool: Tool, text: str) -> bool:
    """Whether `text` brings something that can be recognised as an argument of `tool`, and all that it needs."""
    filled = fill(tool, Sources([text], []))
    told = [item for item in tool.parameters if item.name in filled.arguments and not takes_own_words(item)]
    return not filled.missing and any(item.pattern or item.required for item in told)


def takes_own_words(parameter: Parameter) -> bool:
    """Whether it wants the matter in the customer's own words: any message will do."""
    return parameter.is_free_text and bool(set(parameter.name.lower().split("_")) & _OWN_WORDS)


def _candidates(parameter: Parameter, sources: Sources, used: set[str]) -> list[Any]:
    """The values that `parameter` may have: one is an answer, several are a question."""
    for text in sources.said:
        found = list(dict.fromkeys(_in_text(parameter, text[:_MAX_SAID])))
        fresh = [value for value in found if str(value) not in used] or found
        if fresh:
            # Of several in one message each gets its call: the first that was not used yet.
            return fresh[:1] if parameter.pattern or len(fresh) == 1 else fresh
    if parameter.required:
        return _from_results(parameter, sources) or _own_words(parameter, sources)
    return []


def _in_text(parameter: Parameter, text: str) -> Iterator[Any]:
    if parameter.name == _URGENCY and wishes.urgency(text) in parameter.choices:
        yield wishes.urgency(text)
    elif parameter.choices:
        yield from _chosen(parameter.choices, text)
    elif parameter.kind in ("integer", "number"):
        yield from _numbers(parameter, text)
    elif parameter.kind == "string":
        yield from _strings(parameter, text)


def _strings(parameter: Parameter, text: str) -> Iterator[str]:
    about = f"{parameter.name} {parameter.schema.get('format', '')}".lower()
    if parameter.pattern:
        yield from _matching(parameter.pattern, text)
    elif "email" in about:
        yield from _EMAIL.findall(text)
    elif "phone" in about or "mobile" in about:
        yield from (match.strip() for match in _PHONE.findall(text))
    elif "date" in about.split() or parameter.name.endswith(("_date", "_on")):
        yield from _DATE.findall(text)


def _matching(pattern: str, text: str) -> Iterator[str]:
    """The pieces of `text` that match the schema's pattern whole; only pieces with a digit or an @ identify."""
    whole = safe_pattern(pattern)
    if whole is None:
        return
    words = [word.strip(_EDGE) for word in _SPACES.split(text)]
    named = [literal for literal in literals(pattern) if any(word.lower() == literal.lower() for word in words)]
    if named:
        # 'my TV': what is named so can be written in more than one way in the pattern.
        yield from [literal for literal in named if literal in words] or named[:1]
        return
    for count in range(_MAX_WORDS, 0, -1):
        found = [form for piece in _runs(words, count) if (form := _in_form(whole, piece))]
        if found:
            yield from found
            return


def literals(pattern: str) -> list[str]:
    """The plain words that a pattern allows: 'latest' in ^(ORD-[0-9]+|latest)$."""
    inner = pattern.removeprefix("^").removesuffix("$").removeprefix("(").removeprefix("?:").removesuffix(")")
    return [part for part in inner.split("|") if _WORD.fullmatch(part)] if "|" in inner else []


def _runs(words: list[str], count: int) -> Iterator[str]:
    for start in range(len(words) - count + 1):
        piece = " ".join(words[start : start + count])
        edges = (words[start], words[start + count - 1])
        if len(piece) <= 80 and all(any(char.isdigit() or char in "@+" for char in edge) for edge in edges):
            yield piece


def _in_form(whole: re.Pattern[str], piece: str) -> str:
    """`piece` as the pattern wants it: a customer may write an identifier in small letters or without its dash."""
    for form in (piece, piece.upper(), piece.lower()):
        if whole.fullmatch(form):
            return form
    return ""


def _chosen(choices: list[Any], text: str) -> Iterator[Any]:
    spoken = [choice for choice in choices if re.search(rf"\b{re.escape(_spoken(choice))}\b", text.lower())]
    if spoken:
        yield from spoken
        return
    said = set(stems(text))
    for choice in choices:
        wanted = stems(_spoken(choice))
        if wanted and set(wanted) <= said:
            yield choice


def _spoken(choice: Any) -> str:
    return str(choice).replace("_", " ").replace("-", " ").lower()


def _numbers(parameter: Parameter, text: str) -> Iterator[float | int]:
    """Numbers in `text`; for an optional argument only sums of money, as a stray 'two weeks' is no quantity."""
    about_money = bool(set(parameter.name.lower().split("_")) & _MONEY)
    for match in _NUMBER.finditer(text):
        sum_of_money = about_money and not match.group().strip().isdigit()
        if not parameter.required and not sum_of_money:
            continue
        value = float(match[1].replace(",", "."))
        if parameter.kind == "integer":
            if not value.is_integer():
                continue
            value = int(value)
        if _bound(parameter, "minimum", value) <= value <= _bound(parameter, "maximum", value):
            yield value


def _bound(parameter: Parameter, keyword: str, otherwise: float) -> float:
    bound = parameter.schema.get(keyword)
    return bound if isinstance(bound, int | float) else otherwise


def _from_results(parameter: Parameter, sources: Sources) -> list[Any]:
    """Values that earlier results hold for this argument: by its name, else by its pattern."""
    for data in sources.known:
        leaves = list(islice(_leaves(data), _MAX_LEAVES))
        named = [value for name, value in leaves if name == parameter.name and _fits(parameter, value)]
        shaped = [value for _, value in leaves if parameter.pattern and _fits(parameter, value)]
        found = list(dict.fromkeys(named or shaped))
        if found:
            return found
    return []


def _fits(parameter: Parameter, value: Any) -> bool:
    if parameter.choices:
        return value in parameter.choices
    kinds = {"string": str, "integer": int, "number": int | float, "boolean": bool}
    if not isinstance(value, kinds.get(parameter.kind, str)):
        return False
    return not parameter.pattern or value in list(_matching(parameter.pattern, str(value)))


def _leaves(data: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _leaves(value, str(key))
    elif isinstance(data, list):
        for value in data:
            yield from _leaves(value, name)
    elif data is not None:
        yield name, data


def _own_words(parameter: Parameter, sources: Sources) -> list[str]:
    """Free text: what the customer answered to our question, says 'to …', or, for a reason and the like, all of it."""
    longest = int(min(_bound(parameter, "maxLength", _MAX_TEXT), _MAX_TEXT))
    if parameter.name in sources.answers:
        return _long_enough(parameter, plain(sources.answers[parameter.name])[:longest])
    if not parameter.is_free_text:
        return []
    message = plain(sources.said[0]) if sources.said else ""
    if takes_own_words(parameter):
        return _long_enough(parameter, message[:longest].rstrip(" .!?"))
    match = _TO.search(message)
    return [match[1].strip()] if match and _is_value(parameter, match[1]) else []


def _long_enough(parameter: Parameter, text: str) -> list[str]:
    return [text] if text and len(text) >= _bound(parameter, "minLength", 1) else []


def _is_value(parameter: Parameter, text: str) -> bool:
    """Whether 'change my address to …' really names a value: it must not repeat what it is to replace."""
    wanted = set(stems(parameter.name.replace("_", " ")))
    return "address" not in wanted or any(char.isdigit() for char in text)
