from __future__ import annotations

import json
from pathlib import Path

import pytest

from parley_proto.errors import PermanentError
from parley_rag.judged import Question, questions_of

KNOWN = {"p1", "p2"}
TASK = {
    "user_scenario": {
        "instructions": 'You are Ann.\n1. **Opening:** "Hi, my card\nwas charged twice." 2. "No, thanks."'
    },
    "required_documents": ["p1", "p2"],
}


def file_of(folder: Path, *rows: object) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), "utf-8")
    return path


@pytest.mark.parametrize(
    "row",
    [
        {"question": "How long?", "gold_passages": ["p1"]},
        {"query": "How long?", "gold": "['p1']"},
        {"text": "How long?", "required_documents": "p1"},
    ],
)
def test_the_usual_fields_are_understood(tmp_path: Path, row: dict[str, object]) -> None:
    assert questions_of(file_of(tmp_path, row), KNOWN) == [Question("How long?", frozenset({"p1"}))]


def test_of_a_history_the_customers_turns_are_kept(tmp_path: Path) -> None:
    turns = ["I paid", {"role": "agent", "text": "Which order?"}, {"role": "user", "content": "the last"}]
    path = file_of(tmp_path, {"question": "How long?", "gold": ["p1"], "history": turns})
    assert questions_of(path, KNOWN)[0].history == ["I paid", "the last"]


def test_a_tau2_task_asks_what_its_customer_says_first(tmp_path: Path) -> None:
    assert questions_of(file_of(tmp_path, TASK), KNOWN) == [
        Question("Hi, my card was charged twice.", frozenset({"p1", "p2"}))
    ]


def test_a_tau2_task_without_quotes_asks_by_its_instructions(tmp_path: Path) -> None:
    task = {"user_scenario": {"instructions": "You want a card without fees."}, "required_documents": ["p2"]}
    assert questions_of(file_of(tmp_path, task), KNOWN)[0].text == "You want a card without fees."


def test_questions_without_answers_need_no_gold(tmp_path: Path) -> None:
    assert questions_of(file_of(tmp_path, {"text": "What is love?"}), None) == [Question("What is love?", frozenset())]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"question": "How?", "gold": ["p9"]}, "'p9', which is not among the passages"),
        ({"question": "How?"}, "has no gold passages"),
        ({"question": "How?", "gold": []}, "has no gold passages"),
        ({"gold": ["p1"]}, "has no question"),
        ({"question": "How?", "gold": ["p1"], "history": "I paid"}, "a history that is not a list"),
        ({"question": "How?", "gold": ["p1"], "history": [7]}, "a turn in its history that is no text"),
        ("{nonsense", "is not a JSON object"),
    ],
)
def test_a_row_that_can_not_be_asked_is_named_by_its_line(tmp_path: Path, row: object, reason: str) -> None:
    good = {"question": "How long?", "gold": ["p1"]}
    with pytest.raises(PermanentError, match=r"questions\.jsonl line 2 ") as refused:
        questions_of(file_of(tmp_path, good, row), KNOWN)
    assert reason in str(refused.value)


def test_a_file_without_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="has no questions"):
        questions_of(file_of(tmp_path, ""), KNOWN)
    with pytest.raises(PermanentError, match="can't be read"):
        questions_of(tmp_path / "nowhere.jsonl", KNOWN)
