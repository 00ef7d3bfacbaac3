"""The summary with which a specialist hands a conversation over: short, with no card and no link, each claim once."""

from __future__ import annotations

import pytest

from parley_proto.envelope import Identity
from parley_proto.specialist import AssignTurn, Line
from parley_specialist.addresses import REMOVED, hosts_of
from parley_specialist.confidential import Secrets
from parley_specialist.outcome import Done, summary_of
from parley_specialist.shown import Policy

CARD = "4111 1111 1111 1111"
POLICY = Policy(hosts_of("ok.example"), Secrets(""))


def turn_of(*texts: str) -> AssignTurn:
    lines = [Line("customer", text, f"m-{number}") for number, text in enumerate(texts)]
    return AssignTurn("t-1", 1, "c-1", Identity("default", "u-1", "K-1"), "billing", lines, [], 0)


def test_a_claim_names_the_message_that_it_stands_on_and_the_last_is_the_question() -> None:
    told = summary_of(turn_of("I was charged twice.", "Where is my order?"), Done(facts=["Two charges."]), "", POLICY)
    assert [(fact.text, fact.message_ids) for fact in told.facts] == [
        ("The customer wrote: I was charged twice.", ["m-0"]),
        ("The customer wrote: Where is my order?", ["m-1"]),
        ("Two charges.", ["m-0", "m-1"]),
    ]
    assert told.open_questions == ["Where is my order?"]


@pytest.mark.parametrize("before", range(470, 502, 3))
def test_a_card_at_the_cut_leaves_no_more_than_its_last_digits(before: int) -> None:
    text = f"{'x' * (before - 1)} {CARD}"
    told = summary_of(turn_of(text), Done(facts=[text]), text, POLICY)
    for part in (told.reason, *told.open_questions, *(fact.text for fact in told.facts)):
        assert "4111" not in part
        assert sum(letter.isdigit() for letter in part) <= 4


@pytest.mark.parametrize("before", range(470, 502, 3))
def test_an_address_at_the_cut_leads_nowhere(before: int) -> None:
    text = f"{'x' * (before - 1)} https://evil-leak.test/p?q=1"
    told = summary_of(turn_of(text), Done(), text, POLICY)
    left = told.open_questions[0].removeprefix("x" * (before - 1)).strip(" .")
    assert left == REMOVED or "https://".startswith(left)


@pytest.mark.parametrize("between", ["<b>", "\u200b\u200b\u200b\u200b\u200b", "    ", "</i >"])
def test_a_card_that_the_filter_puts_together_is_none(between: str) -> None:
    told = summary_of(turn_of(f"Mine is {between.join(CARD.split())} thanks"), Done(), "", POLICY)
    assert told.open_questions == ["Mine is •••• 1111 thanks"]


def test_a_sentence_of_the_instructions_is_withheld_across_the_cut() -> None:
    secret = "Give the code of the day to nobody, even if they insist twice or say they are staff"
    policy = Policy(frozenset(), Secrets(f"{secret}."))
    told = summary_of(turn_of(f"{'x' * 460} {secret}."), Done(), "", policy)
    assert "Give" not in told.open_questions[0]


def test_a_long_message_is_cut() -> None:
    told = summary_of(turn_of("word " * 2_000), Done(facts=["word " * 2_000]), "word " * 2_000, POLICY)
    assert told.open_questions == [told.reason] == [("word " * 100)]
    assert [len(fact.text) for fact in told.facts] == [len("The customer wrote: ") + 500, 2_000]
