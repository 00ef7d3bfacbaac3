"""What the llm-gateway refuses before any provider hears of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from parley_llm_gateway.domain import MAX_SCHEMA_DEPTH, check, seconds_left
from parley_proto.envelope import decode
from parley_proto.errors import PermanentError
from parley_proto.llm import ChatMessage, CompletionRequest, ToolCall, ToolSpec

_REQUEST = CompletionRequest("r" * 20, "default", "c" * 20, [ChatMessage("user", "Hi")], 0)
_MODELS = ["small", "large"]
_TIERS = ("fast", "standard", "deep")


def _code(**changes: Any) -> str:
    try:
        check(msgspec.structs.replace(_REQUEST, **changes), _MODELS, _TIERS)
    except PermanentError as error:
        return error.code
    return ""


def _deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def test_a_sound_request_passes() -> None:
    tool = ToolSpec("track_order", "Find it.", {"type": "object", "properties": {"id": {"type": ["string", "null"]}}})
    assert _code() == ""
    assert _code(model="large", temperature=2.0, max_tokens=1, tools=[tool, ToolSpec("none", "", {})]) == ""


@pytest.mark.parametrize("heat", [float("nan"), float("inf"), -float("inf"), -1e-9, 2.1])
def test_a_temperature_that_is_none_is_refused(heat: float) -> None:
    assert _code(temperature=heat) == "bad_temperature"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999", b'"hot"'])
def test_json_without_a_number_for_the_temperature_is_refused(number: bytes) -> None:
    data = msgspec.json.encode(_REQUEST)[:-1] + b',"temperature":' + number + b"}"
    with pytest.raises(PermanentError) as caught:
        decode(data, CompletionRequest)
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("request_id", ["", "short", "a.b" * 8, "*" * 20, ">" * 20, "x" * 65, "über" * 6])
def test_an_id_that_can_not_stand_in_a_subject_is_refused(request_id: str) -> None:
    assert _code(request_id=request_id) == "bad_id"


def test_an_unknown_model_is_named_with_those_that_there_are() -> None:
    with pytest.raises(PermanentError, match=r"'huge' is unknown here; use small, large\."):
        check(msgspec.structs.replace(_REQUEST, model="huge"), _MODELS, _TIERS)


def test_a_result_needs_the_call_before_it() -> None:
    call = ChatMessage("assistant", tool_calls=[ToolCall("c1", "t", "{}")])
    result = ChatMessage("tool", "{}", tool_call_id="c1")
    assert _code(messages=[call, result]) == ""
    assert _code(messages=[ChatMessage("user", "x"), result]) == "bad_message"
    assert _code(messages=[result, call]) == "bad_message"


def test_nothing_to_say_is_refused() -> None:
    assert _code(messages=[]) == "empty_messages"
    assert _code(messages=[ChatMessage("system", ""), ChatMessage("user", " \n")]) == "empty_messages"
    assert _code(messages=[ChatMessage("user", "x")] * 2001) == "too_many_messages"


@pytest.mark.parametrize(
    "tools",
    [
        [ToolSpec("", "", {})],
        [ToolSpec("a b", "", {})],
        [ToolSpec("x" * 65, "", {})],
        [ToolSpec("twice", "", {}), ToolSpec("twice", "", {})],
        [ToolSpec("t", "", {"type": "string"})],
        [ToolSpec("t", "", {"properties": {}})],
        [ToolSpec("t", "", {"type": "object", "properties": []})],
        [ToolSpec("t", "", {"type": "object", "properties": {"a": 1}})],
        [ToolSpec("t", "", {"type": "object", "properties": {"a": {"type": "text"}}})],
        [ToolSpec("t", "", {"type": "object", "properties": {"a": {"type": {}}}})],
        [ToolSpec("t", "", {"type": "object", "properties": {"a": {"pattern": "("}}})],
        [ToolSpec("t", "", {"type": "object", "properties": {"a": {"pattern": 7}}})],
        [ToolSpec("t", "", {"type": "object", "properties": {"a": {"enum": "x"}}})],
        [ToolSpec("t", "", {"type": "object", "required": "a"})],
        [ToolSpec("t", "", {"type": "object", "required": [1]})],
        [ToolSpec("t", "", {"type": "object", "properties": {"a": {"type": "array", "items": "x"}}})],
        [ToolSpec("t", "", _deep(MAX_SCHEMA_DEPTH + 1))],
        [ToolSpec(f"t{n}", "", {}) for n in range(129)],
    ],
)
def test_a_broken_tool_is_refused(tools: list[ToolSpec]) -> None:
    assert _code(tools=tools) == "bad_tool"


def test_deep_but_sound_schemas_pass() -> None:
    assert _code(tools=[ToolSpec("t", "", _deep(MAX_SCHEMA_DEPTH))]) == ""


def test_the_time_left_is_the_shorter_of_deadline_and_limit() -> None:
    assert seconds_left(10_000, 4_000, 120) == 6.0
    assert seconds_left(10_000_000, 4_000, 120) == 120
    assert seconds_left(4_000, 10_000, 120) == -6.0
