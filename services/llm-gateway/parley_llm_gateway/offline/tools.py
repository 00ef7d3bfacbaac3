"""Tools as the offline model sees them: what they do, when to use them, what they need. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

from parley_llm_gateway.offline.words import stems
from parley_proto.llm import ToolSpec

SEARCH = "search_knowledge"
SO_FAR = "conversation_so_far"
HANDOFF = "handoff"
ESCALATE = "escalate"
CONSULT = "consult"
SPECIAL = frozenset({SEARCH, HANDOFF, ESCALATE, CONSULT})

Phrases = list[frozenset[str]]
Topics = dict[str, frozenset[str]]

_MAX_DESCRIPTION = 8000
_USE_WHEN = re.compile(r"^\s*use\s+when\s*:\s*(?P<phrases>.*)$", re.IGNORECASE | re.MULTILINE)
_TOPIC = re.compile(r"^\s*[-*]?\s*(?P<specialty>[a-z][a-z0-9-]{1,40})\s*:\s*(?P<topics>.+)$", re.MULTILINE)


class Parameter(msgspec.Struct, frozen=True):
    """One argument of a tool; `schema` is its JSON Schema."""

    name: str
    description: str
    required: bool
    schema: dict[str, Any]

    @property
    def kind(self) -> str:
        kind = self.schema.get("type", "string")
        return next((item for item in kind if item != "null"), "string") if isinstance(kind, list) else str(kind)

    @property
    def pattern(self) -> str:
        return str(self.schema.get("pattern", ""))

    @property
    def choices(self) -> list[Any]:
        choices = self.schema.get("enum", [])
        return [choice for choice in choices if isinstance(choice, str | int | float)]

    @property
    def is_free_text(self) -> bool:
        """Whether it takes any words, so that nothing in a text can be recognised as it."""
        return self.kind == "string" and not self.pattern and not self.choices


class Tool(msgspec.Struct, frozen=True):
    """`phrases` holds the stems of each typical wording, `topics` those of each specialty (handoff and consult)."""

    name: str
    phrases: Phrases
    parameters: list[Parameter]
    topics: Topics

    @property
    def required(self) -> list[Parameter]:
        return [parameter for parameter in self.parameters if parameter.required]


def read_tool(spec: ToolSpec) -> Tool | None:
    """`spec` taken apart; None for one without a name."""
    if not spec.name:
        return None
    phrases, topics = _read_description(spec.description[:_MAX_DESCRIPTION], spec.name in (HANDOFF, CONSULT))
    return Tool(spec.name, phrases, _parameters(spec.parameters), topics)


@lru_cache(maxsize=256)
def _read_description(description: str, with_topics: bool) -> tuple[Phrases, Topics]:
    """Stems of the phrases and topics; a tool's description is the same in every turn."""
    match = _USE_WHEN.search(description)
    phrases = [frozenset(stems(text)) for text in (match["phrases"].split(";") if match else [])]
    return [phrase for phrase in phrases if phrase], _topics(description) if with_topics else {}


def choices_of(tool: Tool, name: str) -> list[Any]:
    """What the argument `name` may be; empty where the tool does not say."""
    return next((parameter.choices for parameter in tool.parameters if parameter.name == name), [])


def _topics(description: str) -> Topics:
    return {
        match["specialty"]: frozenset(stems(match["topics"].replace(",", " ")))
        for match in _TOPIC.finditer(description)
        if not match.group().lower().lstrip().startswith("use when")
    }


def _parameters(schema: dict[str, Any]) -> list[Parameter]:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if not isinstance(properties, dict):
        return []
    return [
        Parameter(name, str(part.get("description", "")), name in required, part)
        for name, part in properties.items()
        if isinstance(part, dict)
    ]
