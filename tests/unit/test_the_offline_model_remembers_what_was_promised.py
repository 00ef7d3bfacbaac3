"""The offline model sums a conversation up when it is asked in due form, and says what was promised."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from offline_situations import Said, request, say

from parley_llm_gateway.offline import pieces
from parley_llm_gateway.offline.replies import NOTHING_PROMISED, PROMISED
from parley_proto.envelope import encode
from parley_proto.llm import ChatMessage, CompletionRequest, Finished
from parley_proto.specialist import Fact, Line, Summary
from parley_recap.asking import INSTRUCTIONS, RESPONSE_FORMAT, Answer, answer_in, asked, grounded

NOTED = Summary([Fact("Ada has a router.", ["m-1"])], [Fact("I will call you on Monday.", ["a-1"])])
LINES = [
    Line("customer", "I was charged twice for ORD-100001", "m-2"),
    Line(
        "assistant", "I have refunded PAY-300002. The money reaches your card within 5 working days.", "a-2", "billing"
    ),
    Line("customer", "Where is my parcel?", "m-3"),
    Line("assistant", "I can't find anything about that.", "a-3", "billing"),
]


def summing(content: str, response_format: dict[str, Any] | None) -> CompletionRequest:
    chat = [ChatMessage("system", INSTRUCTIONS), ChatMessage("user", content)]
    return CompletionRequest("r" * 20, "default", "c" * 20, chat, 0, tier="fast", response_format=response_format)


def after_recap(text: str, recap: dict[str, Any], **more: Any) -> Said:
    """What is said to `text` by who knows `recap` of the lines that have left the window."""
    asking = request(text, **more)
    call = msgspec.structs.replace(asking.messages[-2].tool_calls[0], id="so_far", name="conversation_so_far")
    known = [
        ChatMessage("assistant", tool_calls=[call]),
        ChatMessage("tool", encode_json({"recap": recap}), tool_call_id="so_far", name="conversation_so_far"),
    ]
    return Said(list(pieces(msgspec.structs.replace(asking, messages=[*asking.messages, *known]))))


def encode_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def note(text: str) -> dict[str, Any]:
    return {"text": text, "message_ids": ["a" * 32]}


def test_a_summary_in_due_form_rests_on_the_lines_and_the_notes() -> None:
    said = Said(list(pieces(summing(encode(asked(NOTED, LINES)).decode(), RESPONSE_FORMAT))))
    assert isinstance(said.finished, Finished) and said.finished.offline and said.finished.reason == "stop"
    summary = grounded(answer_in(said.text), NOTED, LINES)
    assert summary.facts == [*NOTED.facts, Fact(LINES[0].text, ["m-2"]), Fact("Where is my parcel?", ["m-3"])]
    assert summary.promises == [
        *NOTED.promises,
        Fact("I have refunded PAY-300002.", ["a-2"]),
        Fact("The money reaches your card within 5 working days.", ["a-2"]),
    ]
    assert summary.open_questions == [Fact("Where is my parcel?", ["m-3"])]


def test_words_alone_make_no_summary() -> None:
    content = encode(asked(NOTED, LINES)).decode() + " conversation_summary"
    for form in (None, {"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "other"}}):
        assert "offline model" in Said(list(pieces(summing(content, form)))).text


@pytest.mark.parametrize("content", ["hello", "{}", '{"notes": {}, "lines": [{"id": 7}]}', "[" * 5000])
def test_what_is_no_conversation_has_an_empty_summary(content: str) -> None:
    assert answer_in(Said(list(pieces(summing(content, RESPONSE_FORMAT)))).text) == Answer()


@pytest.mark.parametrize("form", [{"json_schema": 7}, {"json_schema": {"name": ["x"]}}, {"type": "text"}, {}])
def test_any_response_format_is_survived(form: dict[str, Any]) -> None:
    assert Said(list(pieces(summing("hello", form)))).text


@pytest.mark.parametrize(
    "text",
    [
        "What did you promise me?",
        "What was I promised at the beginning?",
        "Can you remind me what you promised?",
        "what did you say you would do",
    ],
)
def test_a_promise_that_has_left_the_window_is_recalled_in_its_own_words(text: str) -> None:
    said = after_recap(text, {"promises": [note("I will send you a voucher of £20.")]}, passages=[])
    assert said.text == f"{PROMISED} I will send you a voucher of £20."


def test_promises_of_the_window_are_recalled_with_those_of_the_recap() -> None:
    window = ["my speaker is broken", "I have opened ticket TIC-7. Is there anything else?"]
    said = after_recap("what did you promise me?", {"promises": [note("I will call you.")]}, window=window, passages=[])
    assert said.text == f"{PROMISED} I will call you. I have opened ticket TIC-7."


def test_who_asks_about_a_matter_hears_the_promises_about_it() -> None:
    recap = {"promises": [note("I will call you."), note("The refund reaches your card within 5 days.")]}
    said = after_recap("What did you promise about my refund?", recap, passages=[])
    assert said.text == f"{PROMISED} The refund reaches your card within 5 days."


def test_of_many_promises_the_first_and_the_newest_are_said() -> None:
    recap = {"promises": [note(f"I will bring parcel {name}.") for name in "abcdefghij"]}
    said = after_recap("what did you promise me?", recap, passages=[])
    assert [f"parcel {name}." in said.text for name in "abcdefghij"] == [True] * 3 + [False] * 3 + [True] * 4


def test_nothing_is_made_up_where_nothing_was_promised() -> None:
    window = ["You promised me a million!", "I can't find anything about that."]
    assert say("So what did you promise me?", window=window, passages=[]).text == NOTHING_PROMISED


def test_a_price_promise_is_a_question_about_a_policy() -> None:
    assert PROMISED not in say("What is your price promise?", passages=[]).text
