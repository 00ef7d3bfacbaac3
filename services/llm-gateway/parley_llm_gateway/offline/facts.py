"""The lines with which the specialist's loop states facts in `system` messages. Pure.

Notice in force: [critical] Fibre is down in Leeds.
Pending offer: {"tool": "cancel_order", "arguments": {"order_id": "ORD-100001"}, "question": "Cancel it?"}
Router: {"specialty": "technical", "confidence": 0.93}
Handed over from billing: {"reason": "...", "facts": [...]}
Summary so far: ...

What customers and documents had a part in comes as a tool's result instead, as `SoFar`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

_MAX_NOTICES = 20
_MAX_BACKGROUND = 4000
_LINE = re.compile(
    r"(?P<key>Notices? in force|Pending offer|Router|Handed over from (?P<whom>[a-z][a-z0-9-]*)|Summary so far)"
    r"(?:\s*[(\[](?P<mark>\w+)[)\]])?:\s*(?P<value>.*)",
    re.DOTALL,
)
_MARKED = re.compile(
    r"^[\[(]?(?P<severity>critical|warning|info)[\])]?\s*[:\-]?\s+(?P<text>.*)", re.IGNORECASE | re.DOTALL
)


class Notice(msgspec.Struct, frozen=True):
    text: str
    severity: str = "warning"


class Offer(msgspec.Struct, frozen=True):
    """What the customer was asked to confirm."""

    tool: str
    arguments: dict[str, Any] = {}
    question: str = ""


class Route(msgspec.Struct, frozen=True):
    specialty: str = ""
    confidence: float = 0.0


class Note(msgspec.Struct, frozen=True):
    text: str


class Recap(msgspec.Struct, frozen=True):
    """What is known of messages that are not in the chat any more, oldest first."""

    facts: list[Note] = []
    promises: list[Note] = []
    open_questions: list[Note] = []


class SoFar(msgspec.Struct, frozen=True):
    """What earlier turns left: data, of which only the typed offer leads to an action."""

    recap: Recap = Recap()
    handed_over_from: str = ""
    handover: Any = None
    pending_offer: Offer | None = None


class Facts(msgspec.Struct, frozen=True):
    """`background` is what earlier turns and other specialties left for us to know, `promises` what we said then."""

    notices: list[Notice] = []
    offer: Offer | None = None
    route: Route = Route()
    handed_from: str = ""
    background: str = ""
    promises: list[str] = []


def read_facts(contents: list[str]) -> Facts:
    """Facts of `system` messages, one a line; a summary reaches to the end of its message."""
    notices: list[Notice] = []
    offer: Offer | None = None
    route, handed_from, background = Route(), "", []
    for key, whom, mark, value in _entries(contents):
        if key.startswith("Notice"):
            notices.append(_notice(value, mark))
        elif key == "Pending offer":
            offer = _struct(value, Offer)
        elif key == "Router":
            route = _struct(value, Route) or Route()
        elif whom:
            handed_from = whom
            background.append(_flat(value))
        else:
            background.append(value)
    return Facts(notices[:_MAX_NOTICES], offer, route, handed_from, "\n".join(background)[:_MAX_BACKGROUND])


def with_so_far(facts: Facts, content: str) -> Facts:
    """`facts` and what the tool's result `content` adds to them; what can't be read adds nothing."""
    so_far: SoFar | None = _struct(content, SoFar)
    if so_far is None:
        return facts
    recap = so_far.recap
    known = [note.text for note in reversed([*recap.facts, *recap.open_questions, *recap.promises])]
    background = "\n".join([facts.background, *_texts(so_far.handover), *known]).strip()
    return msgspec.structs.replace(
        facts,
        offer=so_far.pending_offer or facts.offer,
        handed_from=so_far.handed_over_from or facts.handed_from,
        background=background[:_MAX_BACKGROUND],
        promises=[note.text for note in recap.promises],
    )


def _entries(contents: list[str]) -> list[tuple[str, str, str, str]]:
    entries: list[tuple[str, str, str, str]] = []
    for content in contents:
        lines = content.splitlines()
        for number, line in enumerate(lines):
            match = _LINE.fullmatch(line.strip())
            if match is None:
                continue
            key, whom, mark = match["key"], match["whom"] or "", match["mark"] or ""
            if key == "Summary so far":
                # Customers' words are in it: no line after it may pass for a fact.
                rest = " ".join([match["value"], *lines[number + 1 :]])
                entries.append((key, whom, mark, rest.strip()))
                break
            entries.append((key, whom, mark, match["value"]))
    return entries


def _notice(value: str, mark: str) -> Notice:
    notice: Notice | None = _struct(value, Notice) if value.startswith("{") else None
    if notice:
        return notice
    match = _MARKED.match(value)
    if match:
        return Notice(match["text"].strip(), match["severity"].lower())
    return Notice(value.strip(), mark.lower() or "warning")


def _struct(value: str, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _flat(value: str) -> str:
    """The texts of a handoff summary, without its keys and message ids."""
    try:
        summary = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return value
    return "\n".join(_texts(summary))


def _texts(value: Any, key: str = "") -> list[str]:
    if isinstance(value, str):
        return [] if key in ("message_ids", "message_id") else [value]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item, key)]
    if isinstance(value, dict):
        return [text for name, item in value.items() for text in _texts(item, name)]
    return []
