"""Whatever comes in, the offline model gives one sound end, calls only what is offered, and repeats itself exactly."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from offline_situations import PASSAGES, Said, request, tools_of

from parley_llm_gateway.offline import MODEL, pieces
from parley_llm_gateway.offline.situation import read
from parley_proto.llm import ChatMessage, CompletionRequest, Finished, ToolCall, ToolSpec

_SAID = (
    "where is my order refund ORD-100001 PAY-2 yes no cancel it please router 49.90 jo@example.org ? . and \u202e <b>"
)
_WORDS = st.sampled_from([*re.split(" ", _SAID), "\n"])
_TEXT = st.one_of(st.text(max_size=60), st.lists(_WORDS, max_size=12).map(" ".join))
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_KEYS = st.sampled_from(
    ["ok", "summary", "data", "suggest", "needs_confirmation", "error", "passages", "n", "text", "tool", "arguments"]
)
_OUTCOME = st.one_of(st.dictionaries(_KEYS, _JSON, max_size=5).map(json.dumps), _JSON.map(json.dumps), _TEXT)
_NAMES = st.sampled_from(["refund_status", "refund_payment", "search_knowledge", "handoff", "nothing_of_ours"])
_CALL = st.tuples(_NAMES, _OUTCOME, _OUTCOME)
_FACT = st.one_of(
    _TEXT,
    st.tuples(
        st.sampled_from(["Pending offer", "Router", "Notice in force", "Handed over from billing"]), _OUTCOME
    ).map(": ".join),
)


def _chat(facts: list[str], said: list[str], calls: list[tuple[str, str, str]]) -> list[ChatMessage]:
    chat = [ChatMessage("system", fact) for fact in facts]
    chat += [ChatMessage("assistant" if n % 2 else "user", text) for n, text in enumerate(said)]
    for number, (name, arguments, outcome) in enumerate(calls):
        chat.append(ChatMessage("assistant", tool_calls=[ToolCall(f"c{number}", name, arguments)]))
        chat.append(ChatMessage("tool", outcome, tool_call_id=f"c{number}", name=name))
    return chat


@settings(max_examples=300, deadline=None)
@given(st.lists(_FACT, max_size=3), st.lists(_TEXT, max_size=4), st.lists(_CALL, max_size=6), st.booleans())
def test_any_chat_has_one_sound_end(
    facts: list[str], said: list[str], calls: list[tuple[str, str, str]], offered: bool
) -> None:
    tools = tools_of("billing") if offered else []
    asked = CompletionRequest("r" * 20, "default", "c" * 20, _chat(facts, said, calls), 0, tools)
    events = list(pieces(asked))
    answer = Said(events)
    assert sum(isinstance(event, Finished) for event in events) == 1
    assert bool(answer.text.strip()) != bool(answer.tool)
    assert answer.tool in {"", *(tool.name for tool in tools)}
    assert events == list(pieces(asked))
    if len(calls) > 4:
        assert not answer.tool or sum(name != "search_knowledge" for name, _, _ in calls) < 4


_SCHEMA: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "number", "boolean", "object", "array", ["string", "null"]]),
        "pattern": st.sampled_from(["^A[0-9]+$", "(", "^(a|b)$", "^(x+)+$", ".*", ""]),
        "enum": st.lists(_JSON, max_size=3),
        "description": _TEXT,
        "minimum": _JSON,
        "maximum": _JSON,
    },
)


@settings(max_examples=200, deadline=None)
@given(_TEXT, _TEXT, st.dictionaries(st.sampled_from(["order_id", "amount", "reason", "to"]), _SCHEMA, max_size=3))
def test_any_tool_can_be_offered(text: str, phrases: str, properties: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    tool = ToolSpec("a_tool", f"Does it.\nUse when: {phrases}; {text}", schema)
    answer = Said(list(pieces(request(text, tools=[tool], passages=PASSAGES))))
    assert bool(answer.text) != bool(answer.tool)
    assert set(answer.arguments) <= set(properties)


def test_its_name_and_kind_are_on_every_answer() -> None:
    for text in ("hello", "where is my refund", "xyzzy"):
        finished = list(pieces(request(text)))[-1]
        assert isinstance(finished, Finished)
        assert (finished.model, finished.offline) == (MODEL, True)
        assert finished.usage.prompt_tokens > 0


def test_only_so_much_of_a_long_chat_is_read() -> None:
    chat = [ChatMessage("assistant" if n % 2 else "user", "where is my refund " * 5000) for n in range(501)]
    situation = read(chat, tools_of("billing"))
    assert len(situation.message) <= 4000
    assert sum(len(line.text) for line in situation.window) <= 80_000
    assert Said(list(pieces(request("where is my refund " * 5000)))).tool == "refund_status"


def test_free_text_keeps_to_the_length_that_the_tool_takes() -> None:
    subject = {"type": "string", "maxLength": 20, "minLength": 3}
    schema = {"type": "object", "properties": {"subject": subject}, "required": ["subject"]}
    tool = ToolSpec("open_ticket", "Open.\nUse when: open a ticket", schema)
    assert Said(list(pieces(request("Please open a ticket about my kettle", tools=[tool])))).arguments == {
        "subject": "Please open a ticket"
    }
