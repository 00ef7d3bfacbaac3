"""The fake model of a load test: what it answers follows from the request, and each answer carries its own time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from parley_recap.asking import RESPONSE_FORMAT
from parley_testkit.load_provider import HAND_OVER, LOOK_UP, Ask, Own, Plan, mark, plan, read_mark

LIST = {"function": {"name": "list_orders", "parameters": {"type": "object", "required": []}}}
SHOW = {"function": {"name": "show_order", "parameters": {"type": "object", "required": ["order"]}}}
CANCEL = {"function": {"name": "cancel_order", "parameters": {"type": "object"}}}


def ask(*messages: dict[str, Any], tools: list[Any] | None = None, **more: Any) -> Ask:
    body = {"model": "m", "messages": list(messages), "tools": [CANCEL, SHOW, LIST] if tools is None else tools}
    return msgspec.json.decode(msgspec.json.encode(body | more), type=Ask)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def called(name: str) -> dict[str, Any]:
    call = {"id": name, "type": "function", "function": {"name": "list_orders", "arguments": "{}"}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def test_a_question_is_answered_in_words() -> None:
    assert plan(ask(user("Where is it?"))) == Plan("words")


def test_who_asks_to_look_it_up_has_a_tool_called_that_only_reads_and_needs_nothing() -> None:
    assert plan(ask(user(f"Where is it? {LOOK_UP}"))) == Plan("call", "list_orders")
    assert plan(ask(user(LOOK_UP), tools=[CANCEL, SHOW])) == Plan("words")


def test_after_the_call_come_words_and_the_time_of_the_call_counts() -> None:
    looked_up = called("search_knowledge")
    result = {"role": "tool", "content": "{}", "tool_call_id": "own-150250-7"}
    request = ask(user(LOOK_UP), looked_up, called("own-150250-7"), result)
    assert plan(request) == Plan("words", calls_ms=(150.25,))


def test_who_asks_for_a_colleague_is_handed_over_once_and_the_time_of_that_counts() -> None:
    tools = [
        LIST,
        {"function": {"name": "handoff", "parameters": {"properties": {"to": {"enum": ["billing", "returns"]}}}}},
    ]
    assert plan(ask(user(HAND_OVER), tools=tools)) == Plan("call", "handoff", "billing")
    handed = {"role": "tool", "content": '{"handed_over_from":"returns","handover":{"reason":"own-2500-1"}}'}
    assert plan(ask(user(HAND_OVER), handed, tools=tools)) == Plan("words", calls_ms=(2.5,))
    assert plan(ask(user(HAND_OVER))) == Plan("words")


def test_calls_of_earlier_turns_count_for_nothing() -> None:
    request = ask(user(LOOK_UP), called("own-150250-7"), {"role": "assistant", "content": "There."}, user("Thanks"))
    assert plan(request) == Plan("words")


def test_a_summary_is_asked_for_by_its_form() -> None:
    assert plan(ask(user("…"), response_format=RESPONSE_FORMAT)) == Plan("summary")


@pytest.mark.parametrize("own", [Own(1, 150.125, 440.5), Own(2, 0.001, 0.002)])
def test_a_mark_is_read_from_whatever_stands_around_it(own: Own) -> None:
    assert read_mark(f"There you are. {mark(own)}\n\nShall I cancel it?") == own


def test_other_words_have_no_mark() -> None:
    assert read_mark("I am the offline model (own words).") is None
