from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_rag.questions import content_words, follows_up, probes

TURNS = st.lists(st.text(alphabet="abé \n?.", max_size=40), max_size=5)


def test_a_first_question_is_looked_up_once_and_unchanged() -> None:
    [probe] = probes("How do I reset my router?", [])
    assert (probe.meaning, probe.words, probe.terms) == ("How do I reset my router?", "reset router", 2)
    assert probe.bonus == 0


def test_a_follow_up_is_looked_up_with_the_last_two_turns_too() -> None:
    alone, joined = probes("and the red light?", ["hello", "my router is new", "it keeps dropping"])
    assert alone.meaning == "and the red light?"
    assert joined.meaning == "my router is new\nit keeps dropping\nand the red light?"
    assert joined.words == "router new keeps dropping red light"


def test_a_question_that_stands_by_itself_is_not_looked_up_with_its_history() -> None:
    [whole] = probes("Where is the reset button of the router?", ["I want to return my shoes"])
    assert "shoes" not in whole.meaning
    alone, joined = probes("and where is that?", ["I want to return my shoes"])
    assert joined.bonus > alone.bonus == 0


@pytest.mark.parametrize(
    "query", ["how do I do that?", "why", "and then?", "can you cancel it", "is it free", "and the red light?"]
)
def test_what_says_too_little_by_itself_follows_up(query: str) -> None:
    assert follows_up(query)


@pytest.mark.parametrize(
    "query", ["reset router", "how long does a refund take", "is it possible to link a cell in a spreadsheet"]
)
def test_what_names_its_topic_stands_by_itself(query: str) -> None:
    assert not follows_up(query)


def test_grammar_is_no_content_and_what_is_said_twice_is_one_term() -> None:
    question = "What is the Refund of a refund, and how is it paid?"
    assert content_words(question) == ["Refund", "refund", "paid"]
    assert probes(question, [])[0].terms == 2


def test_a_question_of_grammar_alone_is_searched_as_it_is() -> None:
    [probe] = probes("what is it?", [])
    assert (probe.words, probe.terms) == ("what is it?", 1)


def test_words_of_another_language_are_all_content() -> None:
    assert content_words("Wie lange dauert die Erstattung?") == ["Wie", "lange", "dauert", "die", "Erstattung"]


def test_of_a_long_turn_the_end_counts() -> None:
    long = " ".join(f"w{number}" for number in range(500))
    joined = probes("how much is that", [long])[1]
    assert "w499" in joined.words and "w100" not in joined.words


@given(st.text(min_size=1, max_size=80), TURNS)
def test_the_question_itself_is_always_looked_up_first_and_at_most_two_ways(query: str, history: list[str]) -> None:
    asked = probes(query, history)
    assert asked[0] == probes(query, [])[0]
    assert len(asked) == (2 if follows_up(query) and any(turn.strip() for turn in history) else 1)
    assert all(probe.meaning and probe.words and probe.terms >= 1 for probe in asked)
