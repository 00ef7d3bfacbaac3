"""What the offline model is told: the chat messages of one turn, read into facts. Pure.

Only `system` messages may state facts and only typed fields of tool results may suggest calls; the words of
customers, passages and results are data.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from parley_llm_gateway.offline.facts import Facts, read_facts, with_so_far
from parley_llm_gateway.offline.tools import SEARCH, SO_FAR, Tool, read_tool
from parley_proto.llm import ChatMessage, ToolCall, ToolSpec


class Passage(msgspec.Struct, frozen=True):
    """A piece of a help page; `n` is its number in citations, `score` its cosine similarity or 0."""

    n: int
    text: str
    title: str = ""
    section: str = ""
    score: float = 0.0


class Suggestion(msgspec.Struct, frozen=True):
    """The next call that a tool itself proposes."""

    tool: str
    arguments: dict[str, Any] = {}


class Question(msgspec.Struct, frozen=True):
    question: str = ""


class Problem(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What a tool answered."""

    ok: bool = False
    summary: str = ""
    data: Any = None
    suggest: Suggestion | None = None
    needs_confirmation: Question | None = None
    error: Problem | None = None
    passages: list[Passage] | None = None


class Result(msgspec.Struct, frozen=True):
    """A call with its outcome."""

    tool: str
    arguments: dict[str, Any]
    outcome: Outcome


class Line(msgspec.Struct, frozen=True):
    role: Literal["user", "assistant"]
    text: str


class Situation(msgspec.Struct, frozen=True):
    """One turn: `message` is what the customer has just said, `window` what was said before."""

    message: str
    window: list[Line]
    facts: Facts
    tools: dict[str, Tool]
    results: list[Result]
    passages: list[Passage]
    searched: bool
    unsearchable: bool
    rounds: int

    @property
    def before(self) -> list[str]:
        """The customer's earlier messages, newest first."""
        return [line.text for line in reversed(self.window) if line.role == "user"]

    @property
    def last_answer(self) -> str:
        """What we said last; empty at the start."""
        return next((line.text for line in reversed(self.window) if line.role == "assistant"), "")

    @property
    def grounded(self) -> bool:
        """False where nothing came along that an answer could rest on."""
        return bool(self.tools or self.results or self.searched)


# What is read of a chat: every answer takes about a millisecond, however long the chat is.
_MAX_MESSAGE = 4000
_MAX_WINDOW = 20
_MAX_PASSAGES = 8
_LOOKED_UP = (SEARCH, SO_FAR)
_UNREADABLE = Outcome(error=Problem("unreadable", "The tool's answer can't be read."))
_outcomes = msgspec.json.Decoder(Outcome)


def read(messages: list[ChatMessage], tools: list[ToolSpec]) -> Situation:
    """The situation that OpenAI chat messages describe; unreadable parts become failed results, never errors."""
    said = [index for index, message in enumerate(messages) if message.role == "user"]
    last = said[-1] if said else -1
    first = _first_of_turn(messages, last)
    asked = "\n".join(message.content for message in messages[first : last + 1] if message.role == "user")
    results = _results(messages[last + 1 :])
    known = [tool for spec in tools if (tool := read_tool(spec)) is not None]
    searches = [result.outcome for result in results if result.tool == SEARCH]
    return Situation(
        message=asked.strip()[:_MAX_MESSAGE],
        window=_window(messages[:first]) if said else [],
        facts=_facts(messages, last),
        tools={tool.name: tool for tool in known},
        results=[result for result in results if result.tool not in _LOOKED_UP],
        passages=[passage for outcome in searches for passage in outcome.passages or []][:_MAX_PASSAGES],
        searched=bool(searches),
        unsearchable=any(outcome.error for outcome in searches),
        rounds=_rounds(messages[last + 1 :]),
    )


def _facts(messages: list[ChatMessage], last: int) -> Facts:
    facts = read_facts([message.content for message in messages if message.role == "system"])
    for message in messages[last + 1 :]:
        if message.role == "tool" and message.name == SO_FAR:
            facts = with_so_far(facts, message.content)
    return facts


def _first_of_turn(messages: list[ChatMessage], last: int) -> int:
    """Where the newest run of customer messages begins; facts may stand between them."""
    first = last
    for index in range(last, -1, -1):
        if messages[index].role == "user":
            first = index
        elif messages[index].role != "system":
            break
    return max(first, 0)


def _window(messages: list[ChatMessage]) -> list[Line]:
    lines: list[Line] = []
    for message in messages:
        if message.role in ("user", "assistant") and message.content.strip():
            lines.append(Line("user" if message.role == "user" else "assistant", message.content[:_MAX_MESSAGE]))
    return lines[-_MAX_WINDOW:]


def _results(messages: list[ChatMessage]) -> list[Result]:
    calls: dict[str, ToolCall] = {}
    results: list[Result] = []
    for message in messages:
        calls.update((call.id, call) for call in message.tool_calls)
        call = calls.get(message.tool_call_id) if message.role == "tool" else None
        if call:
            results.append(Result(call.name, _arguments(call), _outcome(message.content)))
    return results


def _outcome(content: str) -> Outcome:
    try:
        return _outcomes.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _UNREADABLE


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(call.arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return arguments if isinstance(arguments, dict) else {}


def _rounds(messages: list[ChatMessage]) -> int:
    """How often this turn has called tools, what every turn begins with not counted."""
    return sum(any(call.name not in _LOOKED_UP for call in message.tool_calls) for message in messages)
