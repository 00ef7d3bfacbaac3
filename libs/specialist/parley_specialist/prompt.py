"""What the model reads: instructions, facts of this turn, the window, and passages as a tool's result. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from parley_proto.broadcast import Notice
from parley_proto.llm import ChatMessage, ToolCall, ToolSpec
from parley_proto.rag import Passage
from parley_proto.specialist import AssignTurn, Card, Line
from parley_specialist.spec import Spec

SEARCH = "search_knowledge"
HANDOFF = "handoff"
ESCALATE = "escalate"
CONSULT = "consult"
ESCALATION = "escalation"
SHORT_WORDS = 6


def query(turn: AssignTurn) -> str:
    """What to look up: the customer's new words, with the words before them where they are too short to stand alone."""
    new = " ".join(line.text for line in turn.messages)
    if len(new.split()) >= SHORT_WORDS:
        return new
    before = [line.text for line in turn.window if line.role == "customer"][-1:]
    return " ".join([*before, new])


def opening(spec: Spec, turn: AssignTurn, notices: list[Notice], passages: list[Passage] | None) -> list[ChatMessage]:
    """The chat as the model gets it first. `passages` is None where knowledge could not be asked."""
    chat = [ChatMessage("system", spec.instructions)]
    chat += [ChatMessage("system", fact) for fact in _facts(turn, notices)]
    chat += [_chat_line(line) for line in turn.window]
    chat += [_chat_line(line) for line in turn.messages]
    return [*chat, *_knowledge(query(turn), passages)]


def _facts(turn: AssignTurn, notices: list[Notice]) -> list[str]:
    facts = [f"Notice in force: {_json({'severity': n.severity, 'text': n.text})}" for n in notices]
    if turn.summary:
        facts.append(f"Summary so far: {turn.summary}")
    if turn.handoff:
        facts.append(f"Handed over from {turn.handed_from}: {_json(turn.handoff)}")
    if turn.offer:
        facts.append(f"Pending offer: {_json(turn.offer)}")
    if turn.hint.specialty:
        facts.append(f"Router: {_json(turn.hint)}")
    return facts


def _knowledge(question: str, passages: list[Passage] | None) -> list[ChatMessage]:
    """Passages come as the result of a search that was already made: data, never instructions."""
    call = ToolCall("knowledge", SEARCH, _json({"query": question}))
    content: dict[str, Any] = {"passages": [_passage(n, p) for n, p in enumerate(passages or [], start=1)]}
    if passages is None:
        content["error"] = {"code": "knowledge_unavailable", "message": "The help pages can't be searched right now."}
    return [
        ChatMessage("assistant", tool_calls=[call]),
        ChatMessage("tool", _json(content), tool_call_id=call.id, name=SEARCH),
    ]


def _passage(number: int, passage: Passage) -> dict[str, Any]:
    return {
        "n": number,
        "title": passage.title,
        "section": passage.section,
        "document": passage.document,
        "text": passage.text,
        "score": round(passage.score, 3),
    }


def _chat_line(line: Line) -> ChatMessage:
    roles: dict[str, Any] = {"customer": "user", "assistant": "assistant", "system": "system"}
    return ChatMessage(roles[line.role], line.text)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def tool_specs(spec: Spec, cards: list[Card], *, consulting: bool) -> list[ToolSpec]:
    """The tools of a turn; a consult has no side effects and may not move the conversation (design.md)."""
    if consulting:
        return [tool.spec for tool in spec.tools if not tool.effect]
    others = [card for card in cards if card.name not in (spec.name, ESCALATION)]
    specs = [tool.spec for tool in spec.tools]
    if others:
        specs += [_handoff(others), _consult(others)]
    if spec.name != ESCALATION and any(card.name == ESCALATION for card in cards):
        specs.append(_escalate())
    return specs


def _listed(cards: list[Card]) -> str:
    return "\n".join(f"{card.name}: {card.handles}" for card in cards)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _handoff(others: list[Card]) -> ToolSpec:
    to = {"type": "string", "enum": [card.name for card in others], "description": "the specialty that takes over"}
    reason = {"type": "string", "description": "why, in one sentence"}
    description = f"Hand the conversation to the specialty that the request belongs to.\n{_listed(others)}"
    return ToolSpec(HANDOFF, description, _object({"to": to, "reason": reason}))


def _consult(others: list[Card]) -> ToolSpec:
    to = {"type": "string", "enum": [card.name for card in others], "description": "the specialty to ask"}
    question = {"type": "string", "description": "the question, complete in itself"}
    description = f"Ask another specialty a question and keep the conversation.\n{_listed(others)}"
    return ToolSpec(CONSULT, description, _object({"specialty": to, "question": question}))


def _escalate() -> ToolSpec:
    urgency = {"type": "string", "enum": ["low", "normal", "high", "critical"], "description": "how urgent it is"}
    reason = {"type": "string", "description": "why, in one sentence"}
    description = (
        "Bring the conversation to senior specialists and people.\n"
        "Use when: I want to talk to a person; speak to a human; I want to complain; this is unacceptable"
    )
    return ToolSpec(ESCALATE, description, _object({"urgency": urgency, "reason": reason}))
