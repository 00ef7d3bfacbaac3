"""The summary of a conversation by rules, for who asks in the form of `parley_recap.asking`. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from parley_proto.envelope import decode
from parley_proto.errors import PermanentError
from parley_proto.llm import CompletionRequest
from parley_proto.specialist import Fact, Line, Summary
from parley_recap.asking import SUMMARY, Answer, Asked, Labelled, Note
from parley_recap.bounds import bounded
from parley_recap.rules import by_rules


def is_asked(request: CompletionRequest) -> bool:
    """Whether `request` wants a summary, by the name of its response format: no customer's words can say so."""
    schema = (request.response_format or {}).get("json_schema")
    return isinstance(schema, dict) and schema.get("name") == SUMMARY


def summary(request: CompletionRequest) -> str:
    """The summary as JSON; an empty one where there is nothing that can be read."""
    content = request.messages[-1].content.encode("utf-8", "replace") if request.messages else b""
    try:
        asked: Asked = decode(content, Asked)
    except PermanentError:
        return msgspec.json.encode(Answer()).decode()
    notes = asked.notes
    noted = Summary(_facts(notes.facts), _facts(notes.promises), _facts(notes.open_questions))
    lines = [Line(said.role, said.text, said.id, said.specialty) for said in asked.lines]
    known = bounded(by_rules(noted, lines))
    answer = Answer(_notes(known.facts), _notes(known.promises), _notes(known.open_questions))
    return msgspec.json.encode(answer).decode()


def _facts(notes: Sequence[Labelled]) -> list[Fact]:
    return [Fact(note.text, [note.id]) for note in notes]


def _notes(facts: Sequence[Fact]) -> list[Note]:
    return [Note(fact.text, fact.message_ids) for fact in facts]
