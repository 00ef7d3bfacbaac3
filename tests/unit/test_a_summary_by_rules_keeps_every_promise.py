"""What is kept of lines that leave the window when no model has summed them up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_proto.envelope import encode
from parley_proto.specialist import Fact, Line, Summary
from parley_recap.bounds import FIRST_PROMISES, RECAP_BYTES, bounded
from parley_recap.rules import by_rules, promises_in, short


def customer(text: str, number: int = 1) -> Line:
    return Line("customer", text, f"c-{number}")


def assistant(text: str, number: int = 1, specialty: str = "billing") -> Line:
    return Line("assistant", text, f"a-{number}", specialty)


def texts(notes: list[Fact]) -> list[str]:
    return [note.text for note in notes]


@pytest.mark.parametrize(
    ("said", "binds"),
    [
        (
            "I have refunded £5 of payment PAY-1; the refund is REF-1. The money reaches your card within 5 days.",
            [
                "I have refunded £5 of payment PAY-1; the refund is REF-1.",
                "The money reaches your card within 5 days.",
            ],
        ),
        (
            "I have opened ticket T-1: Late. A person answers today.",
            ["I have opened ticket T-1: Late.", "A person answers today."],
        ),
        ("We'll call you back tomorrow at 9 [1]. Is that fine?", ["We'll call you back tomorrow at 9."]),
        ("You will receive a label by e-mail.", ["You will receive a label by e-mail."]),
        ("All right, I have left everything as it is.", []),
        ("I have not gone ahead yet. Shall I refund it?", []),
        ("I will not be able to do that.", []),
        ("Your router XR-1 is online.", []),
    ],
)
def test_sentences_that_bind_us_are_told_from_others(said: str, binds: list[str]) -> None:
    assert promises_in(said) == binds


def test_a_promise_is_ours_whatever_a_customer_says() -> None:
    recap = by_rules(Summary(), [customer("I will sue you. You will get nothing!"), assistant("I will look into it.")])
    assert recap.promises == [Fact("I will look into it.", ["a-1"])]


def test_parleys_own_excuses_are_no_promises_but_what_was_done_counts() -> None:
    excuse = "I have refunded PAY-1. I could not finish in time; I will look at what has been done."
    recap = by_rules(Summary(), [assistant(excuse, specialty="")])
    assert texts(recap.promises) == ["I have refunded PAY-1."]


def test_the_customers_words_are_kept_in_short_and_politeness_is_not() -> None:
    lines = [customer("My parcel " + "never " * 60 + "came", 1), customer("yes please", 2), customer("ORD-7", 3)]
    facts = by_rules(Summary(), lines).facts
    assert [note.message_ids for note in facts] == [["c-1"], ["c-3"]]
    assert facts[0].text.endswith("never…") and len(facts[0].text) <= 160


def test_a_question_stays_open_only_where_the_answer_was_that_there_is_none() -> None:
    lines = [
        customer("When do you open?", 1),
        assistant("At nine.", 1),
        customer("And where is my other parcel?", 2),
        assistant("I can't find anything about that.", 2),
    ]
    assert by_rules(Summary(), lines).open_questions == [Fact("And where is my other parcel?", ["c-2"])]


def test_the_same_words_are_noted_once_where_they_were_first_said() -> None:
    first = by_rules(Summary(), [assistant("I will call you.", 1)])
    again = by_rules(first, [assistant("I will call you.", 2), assistant("I will write to you.", 3)])
    assert again.promises == [Fact("I will call you.", ["a-1"]), Fact("I will write to you.", ["a-3"])]


def test_facts_give_way_to_open_questions_and_those_to_promises() -> None:
    notes = [Fact(f"{number} " + "x" * 90, [f"{number:032d}"]) for number in range(40)]
    kept = bounded(Summary(notes, notes[:10], notes[:10]), 4_000)
    assert len(kept.promises) == 10 and len(kept.open_questions) == 10
    assert kept.facts == notes[-len(kept.facts) :] and kept.facts
    fewer = bounded(Summary(notes, notes[:10], notes[:10]), 2_000)
    assert (
        not fewer.facts
        and len(fewer.promises) == 10
        and fewer.open_questions == notes[10 - len(fewer.open_questions) : 10]
    )


def test_of_very_many_promises_the_first_and_the_newest_stay() -> None:
    promises = [Fact(f"I will do {number}.", [f"{number:032d}"]) for number in range(500)]
    kept = bounded(Summary([], promises)).promises
    assert kept[:FIRST_PROMISES] == promises[:FIRST_PROMISES] and kept[-1] == promises[-1]
    assert len(kept) > 3 * FIRST_PROMISES


NOTES = st.lists(st.builds(Fact, st.text(max_size=600), st.lists(st.text(max_size=80), max_size=8)), max_size=40)


@given(NOTES, NOTES, NOTES)
def test_no_texts_and_no_ids_make_a_summary_too_large(
    facts: list[Fact], promises: list[Fact], open_: list[Fact]
) -> None:
    kept = bounded(Summary(facts, promises, open_))
    assert len(encode(kept)) <= RECAP_BYTES
    assert bounded(kept) == kept


@given(st.text(max_size=400), st.integers(2, 200))
def test_short_is_short_and_on_one_line(text: str, longest: int) -> None:
    assert len(short(text, longest)) <= longest and "\n" not in short(text, longest)
