"""Tool calls, reasons and counts out of the chunks of servers that differ in the details."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_llm_gateway.assembly import Assembly
from parley_llm_gateway.errors import ProviderFailed
from parley_llm_gateway.providers.base import Call, Pace
from parley_llm_gateway.wire import read_chunk
from parley_proto.llm import ChatMessage, CompletionRequest, ToolCall, Usage

_REQUEST = CompletionRequest("r" * 20, "default", "c" * 20, [ChatMessage("user", "x" * 40)], 0)


def _assembly() -> Assembly:
    return Assembly(Call(_REQUEST, "m", Pace(), 10_000))


def _take(assembly: Assembly, delta: dict[str, Any] | None, reason: str | None = None, **more: Any) -> int:
    choices = [] if delta is None else [{"delta": delta, "finish_reason": reason}]
    return assembly.take(read_chunk(msgspec.json.encode({"choices": choices} | more)))[1]


def _piece(text: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"function": {"arguments": text}} | more]}


def _calls(assembly: Assembly) -> list[ToolCall]:
    return [event.call for event in assembly.calls()]


@given(st.lists(st.integers(1, 12), max_size=6))
def test_arguments_survive_any_cut(cuts: list[int]) -> None:
    text, start, assembly = '{"order_id": "ORD-100001"}', 0, _assembly()
    _take(assembly, {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "track"}}]})
    for size in cuts:
        _take(assembly, _piece(text[start : start + size], index=0))
        start += size
    _take(assembly, _piece(text[start:], index=0))
    _take(assembly, {}, "tool_calls")
    assert _calls(assembly) == [ToolCall("c1", "track", text)]


def test_calls_with_the_same_index_but_other_ids_are_two() -> None:
    assembly = _assembly()
    for call_id in ("a", "b"):
        _take(assembly, {"tool_calls": [{"index": 0, "id": call_id, "function": {"name": "t", "arguments": "{}"}}]})
    _take(assembly, {}, "stop")
    assert [call.id for call in _calls(assembly)] == ["a", "b"]
    assert assembly.result("m").reason == "tool_calls"


def test_calls_without_an_index_are_told_apart_by_their_names() -> None:
    assembly = _assembly()
    for name in ("first", "second"):
        _take(assembly, {"tool_calls": [{"function": {"name": name, "arguments": {"n": 1}}}]})
    _take(assembly, {}, "tool_calls")
    calls = _calls(assembly)
    assert [(call.name, call.arguments) for call in calls] == [("first", '{"n":1}'), ("second", '{"n":1}')]
    assert len({call.id for call in calls}) == 2


def test_a_call_cut_by_the_length_is_left_out() -> None:
    assembly = _assembly()
    _take(assembly, {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "t", "arguments": '{"x": "ha'}}]})
    _take(assembly, {}, "length")
    assert _calls(assembly) == []
    assert assembly.result("m").reason == "length"


def test_a_call_without_arguments_has_an_empty_object() -> None:
    assembly = _assembly()
    _take(assembly, {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "t", "arguments": ""}}]})
    _take(assembly, {}, "tool_calls")
    assert _calls(assembly)[0].arguments == "{}"


def test_role_and_empty_chunks_move_nothing_but_thoughts_do() -> None:
    assembly = _assembly()
    assert not _take(assembly, {"role": "assistant", "content": ""})
    assert not _take(assembly, {"content": None})
    assert not _take(assembly, None, usage={"prompt_tokens": 1})
    assert _take(assembly, {"reasoning_content": "Let me see"})
    assert _take(assembly, {"content": "Hi"})


def test_an_unknown_reason_is_a_stop_and_missing_counts_are_estimated() -> None:
    assembly = _assembly()
    _take(assembly, {"content": "12345"}, "eos")
    result = assembly.result("asked-model")
    assert (result.reason, result.model, result.usage) == ("stop", "asked-model", Usage(10, 2))


def test_other_choices_than_the_first_are_ignored() -> None:
    assembly = _assembly()
    chunk = {"choices": [{"index": 1, "delta": {"content": "other"}}, {"index": 0, "delta": {"content": "mine"}}]}
    delta, _ = assembly.take(read_chunk(msgspec.json.encode(chunk)))
    assert delta is not None
    assert delta.text == "mine"


@pytest.mark.parametrize("reason", [None, "stop", "tool_calls"])
def test_an_empty_or_endless_answer_is_an_error(reason: str | None) -> None:
    assembly = _assembly()
    _take(assembly, {"content": ""}, reason)
    with pytest.raises(ProviderFailed):
        assembly.result("m")


@pytest.mark.parametrize("data", ["", "{", "[1]", "\ud800", '{"choices": 3}', "[" * 100_000])
def test_what_is_no_chunk_is_an_error_of_the_provider(data: str) -> None:
    with pytest.raises(ProviderFailed) as caught:
        read_chunk(data)
    assert caught.value.code == "provider_garbage"
