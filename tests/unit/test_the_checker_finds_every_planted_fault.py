"""A checker is only believed once it finds planted faults of every kind, and finds none where there is none."""

from __future__ import annotations

from random import Random

import pytest
from generated_history import history
from planted_faults import PLANTS, Plant

from parley_testkit.history.pace import Recovery, recovery
from parley_testkit.history.records import Answer, Info, Invoke, Ok, Record
from parley_testkit.history.rules import KINDS, Violation
from parley_testkit.history.verdict import Verdict, judge

CLEAN = range(100)
PLANTED = range(40)


def verdict(records: list[Record]) -> Verdict:
    return judge(enumerate(records, start=1))


def test_faults_of_every_kind_are_planted() -> None:
    assert set(PLANTS.values()) == set(KINDS)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found_where_it_was_planted_and_named_as_what_it_is(plant: Plant) -> None:
    for seed in PLANTED:
        records = history(seed)
        spoiled = plant(records, Random(seed))
        found = verdict(records).violations
        assert {one.kind for one in found} == {PLANTS[plant]}, f"seed {seed}: {found}"
        assert {one.conversation or one.message for one in found} == {spoiled}, f"seed {seed}: {found}"
        assert all(0 < line <= len(records) for one in found for line in one.lines), f"seed {seed}: {found}"


@pytest.mark.parametrize("seed", CLEAN)
def test_nothing_is_found_in_a_clean_history(seed: int) -> None:
    assert verdict(history(seed)).violations == []


def test_the_clean_histories_have_all_that_is_legal_and_looks_odd() -> None:
    verdicts = [verdict(history(seed)) for seed in CLEAN]
    assert all(one.merged and one.recovered and one.refused and one.open and one.handoffs for one in verdicts)
    assert {kind for one in verdicts for kind in one.told} == {"failed", "refused"}
    assert any(isinstance(record, Ok) and record.duplicate for record in history(0))


@pytest.mark.parametrize("seed", range(20))
def test_the_figures_are_those_of_the_history(seed: int) -> None:
    records, found = history(seed), verdict(history(seed))
    acked = {record.message for record in records if isinstance(record, Ok)}
    answered = {name for record in records if isinstance(record, Answer) for name in record.messages}
    doubted = {record.message for record in records if isinstance(record, Info)}
    assert (found.conversations, found.messages, found.accepted) == (8, 64, len(acked))
    assert found.answered == len(answered) and found.recovered == len(answered - acked)
    assert found.open == len(doubted - acked - answered)


def test_several_faults_are_each_named_with_conversation_message_and_lines() -> None:
    records = history(5)
    for plant in PLANTS:
        plant(records, Random(5))
    found = verdict(records).violations
    assert {one.kind for one in found} == set(KINDS)
    assert all(isinstance(one, Violation) and one.lines == sorted(one.lines) and one.reason for one in found)
    assert [one.kind for one in found] == sorted((one.kind for one in found), key=KINDS.index)


def test_a_recovery_is_timed_from_the_fault_by_what_was_sent_after_it() -> None:
    records = [
        Invoke(conversation="c", message="early", at=900),
        Invoke(conversation="c", message="late", at=1100),
        Ok(conversation="c", message="early", seq=1, at=1200),
        Answer(conversation="c", messages=["early"], answer="a", seq=2, at=1300),
        Ok(conversation="c", message="late", seq=3, at=2500),
        Answer(conversation="c", messages=["late"], answer="b", seq=4, at=4000),
    ]
    numbered = list(enumerate(records, start=1))
    assert recovery(numbered, 1000) == Recovery(1.5, 3.0)
    assert recovery(numbered, 1101) == Recovery(None, None)
