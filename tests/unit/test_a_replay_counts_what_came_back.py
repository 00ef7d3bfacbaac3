from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_cli.errors import CommandError
from parley_cli.figures import Outcome, percentile, summarise
from parley_cli.replay import Line, read_lines


def answered(kind: str = "grounded", **different: object) -> Outcome:
    values = {"accepted": True, "answered": True, "finals": 1, "text": "words", "specialty": "billing", "kind": kind}
    return Outcome(**(values | different))  # type: ignore[arg-type]


def test_taken_without_an_answer_is_lost_and_refused_is_not() -> None:
    figures = summarise([answered(), Outcome(accepted=True), Outcome(refusal="bad_content"), Outcome()])
    assert figures["lines"] == 4
    assert figures["accepted"] == 2
    assert figures["answered"] == 1
    assert figures["lost"] == 1
    assert figures["refused_input"] == 1


def test_more_than_one_answer_to_one_message_is_a_duplicate() -> None:
    assert summarise([answered(finals=2), answered(finals=1), Outcome(accepted=True)])["duplicated"] == 1


def test_kinds_are_counted_and_handoffs_besides() -> None:
    kinds = summarise([answered(), answered("asked"), answered("offer", handed_off=True)])["kinds"]
    assert kinds == {"grounded": 1, "asked": 1, "refused": 0, "failed": 0, "handed_off": 1, "offer": 1}


def test_the_commonest_answer_is_looked_for_among_those_that_are_no_question_back() -> None:
    outcomes = [answered(text="a"), answered(text="a"), answered(text="b"), *[answered("asked", text="which?")] * 5]
    figures = summarise(outcomes)
    assert figures["most_common_share"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["distinct_answers"] == 3


def test_routing_is_judged_only_where_a_line_names_its_specialty() -> None:
    outcomes = [
        answered(expected="billing"),
        answered(expected="returns"),
        answered("asked", specialty="", expected="returns"),
        answered("asked", specialty="", expected="none"),
        answered(expected="none"),
        answered(),
    ]
    routing = summarise(outcomes)["routing"]
    assert routing == {"correct": 2, "of": 5, "accuracy": 0.4, "unsure": 2}


def test_nothing_at_all_has_figures_too() -> None:
    figures = summarise([])
    assert figures["lines"] == 0 and figures["ms"] == {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    assert figures["routing"]["accuracy"] == 0.0 and figures["most_common_share"] == 0.0


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.5) == 7.0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_has_that_share_of_values_at_or_below_it(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6


def test_lines_are_read_as_far_as_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_text('{"text": "one", "specialty": "billing", "extra": 1}\n\n{"text": ""}\n{"text": "three"}\n')
    assert read_lines(file) == [Line("one", "billing"), Line(""), Line("three")]
    assert read_lines(file, 1) == [Line("one", "billing")]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "has no lines"),
        ('{"text": "one"}\nnot json\n', "line 2 is not a JSON object with `text`"),
        ('{"words": "one"}\n', "line 1 is not a JSON object with `text`"),
        ('{"text": 1}\n', "line 1 is not a JSON object with `text`"),
    ],
)
def test_a_file_that_is_no_replay_is_refused_in_a_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_text(content)
    with pytest.raises(CommandError, match=sentence) as caught:
        read_lines(file)
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be read: No such file"):
        read_lines(tmp_path / "nowhere.jsonl")
