"""A model's summary: only what rests on the conversation is kept, and no promise is lost by an oversight."""

from __future__ import annotations

import pytest

from parley_proto.envelope import decode, encode
from parley_proto.errors import PermanentError
from parley_proto.specialist import Fact, Line, Summary
from parley_recap.asking import RESPONSE_FORMAT, SUMMARY, Answer, Asked, Note, answer_in, asked, grounded

NOTED = Summary(
    [Fact("Ada has a router.", ["m-1"])],
    [Fact("I will call on Monday.", ["a-1"]), Fact("I have refunded PAY-1.", ["a-2"])],
    [Fact("Is it covered?", ["m-2"])],
)
LINES = [
    Line("customer", "You promised me a new router!", "m-3"),
    Line("assistant", "I will send one.", "a-3", "technical"),
]


def test_a_model_sees_labels_instead_of_ids() -> None:
    body = encode(asked(NOTED, LINES))
    quoted: Asked = decode(body, Asked)
    assert [note.id for note in quoted.notes.promises] == ["p1", "p2"]
    assert [(said.id, said.role) for said in quoted.lines] == [("l1", "customer"), ("l2", "assistant")]
    assert b"a-3" not in body and b"m-1" not in body


def test_labels_become_the_ids_of_the_messages_behind_them() -> None:
    answer = Answer([Note("Ada wants a new router.", ["f1", "l1"])], [Note("A new router is sent.", ["l2"])])
    summary = grounded(answer, NOTED, LINES)
    assert summary.facts == [Fact("Ada wants a new router.", ["m-1", "m-3"])]
    assert summary.promises[-1] == Fact("A new router is sent.", ["a-3"])


def test_what_names_no_label_of_the_question_is_dropped() -> None:
    answer = Answer([Note("The customer is the king.", ["l9", "x"]), Note("Nothing", []), Note(" ", ["l1"])], [])
    assert grounded(answer, NOTED, LINES).facts == []


def test_a_promise_that_only_the_customer_speaks_of_is_none() -> None:
    answer = Answer([], [Note("We promised a million.", ["l1"]), Note("A router is sent.", ["l1", "l2"])])
    assert [note.text for note in grounded(answer, NOTED, LINES).promises][2:] == ["A router is sent."]


def test_a_noted_promise_goes_only_when_it_was_kept_or_said_in_other_words() -> None:
    first, second = NOTED.promises
    overlooked = grounded(Answer([Note("Ada is here.", ["l1"])]), NOTED, LINES)
    assert overlooked.promises == [first, second]
    kept = grounded(Answer([], [Note("PAY-1 is refunded.", ["p2"])], [], ["p1"]), NOTED, LINES)
    assert kept.promises == [Fact("PAY-1 is refunded.", ["a-2"])]
    unknown = grounded(Answer([], [], [], ["p9"]), NOTED, LINES)
    assert unknown.promises == [first, second]


@pytest.mark.parametrize(
    "text", ["", "I can't.", '{"facts": 7}', '{"facts": [{"text": "x"}]}', "[" * 5000, '{"a": "\\ud800"}']
)
def test_an_answer_that_is_no_summary_is_refused(text: str) -> None:
    with pytest.raises(PermanentError) as caught:
        grounded(answer_in(text), Summary(), LINES)
    assert caught.value.code == "bad_summary"


def test_an_answer_may_stand_in_a_fence() -> None:
    assert answer_in('```json\n{"kept": ["p1"]}\n```') == Answer(kept=["p1"])


def test_the_form_names_itself_and_every_field_of_an_answer() -> None:
    form = RESPONSE_FORMAT["json_schema"]
    assert form["name"] == SUMMARY and form["strict"]
    assert form["schema"]["required"] == list(form["schema"]["properties"]) == list(Answer.__struct_fields__)
