"""Admission: who is turned down when there is more to do than can be done, and that places come free again."""

from __future__ import annotations

from typing import Any

import pytest

from parley_gateway.admission import FORGET_S, Admission, Patience, Standing
from parley_proto.conversation import MessageShown, OwnerChanged, RunEnded


def crowd(taken: int, *, limit: int = 100, least: int = 1000, tenant: str = "one", since: float = 0.0) -> Admission:
    """An admission with `taken` conversations of one tenant that wait for an answer."""
    admission = Admission(limit, new_share=0.8, stall_s=60, patience=Patience(5.0, least))
    for number in range(taken):
        admission.enter(f"m-{number}", f"c-{number}", tenant, since)
    return admission


def reply(**different: Any) -> MessageShown:
    return MessageShown(**{"message_id": "r", "role": "assistant", "text": "Yes.", "at": 1, "final": True} | different)


@pytest.mark.parametrize(
    ("taken", "let_in"),
    [
        (0, ["running", "waiting", "new"]),
        (79, ["running", "waiting", "new"]),
        (80, ["running", "waiting"]),
        (94, ["running", "waiting"]),
        (95, ["running"]),
        (99, ["running"]),
        (100, []),
    ],
)
def test_new_chats_are_refused_first_and_running_turns_last(taken: int, let_in: list[Standing]) -> None:
    admission, standings = crowd(taken), ("running", "waiting", "new")
    assert [one for one in standings if admission.refusal(one, "one", 1) is None] == let_in


def test_a_conversation_that_waits_for_an_answer_is_a_running_turn() -> None:
    admission = crowd(1)
    assert admission.standing("c-0", begun=False) == "running"
    assert admission.standing("c-9", begun=True) == "waiting"
    assert admission.standing("c-9", begun=False) == "new"


def test_one_tenant_can_not_keep_the_others_out() -> None:
    admission = crowd(80, tenant="loud")
    assert admission.refusal("new", "loud", 1) == "share"
    assert admission.refusal("new", "quiet", 1) is None
    for number in range(20):
        assert admission.refusal("new", "quiet", 1) is None
        admission.enter(f"q-{number}", f"quiet-{number}", "quiet", 1)
    assert admission.refusal("new", "quiet", 1) == "full"
    for number in range(45):
        admission.leave(f"m-{number}")
    assert admission.refusal("new", "loud", 1) is None, "35 of 80 are within the half of two tenants"
    admission.enter("again", "c-again", "quiet", 1)
    for number in range(5):
        admission.enter(f"l-{number}", f"loud-{number}", "loud", 1)
    assert admission.refusal("new", "loud", 1) == "share"
    assert admission.refusal("new", "quiet", 1) is None


def test_while_half_of_the_places_are_free_a_tenant_may_have_more_than_its_part() -> None:
    admission = crowd(38, tenant="loud")
    for number in range(9):
        admission.enter(f"q-{number}", f"quiet-{number}", f"quiet-{number}", 0)
        admission.leave(f"m-{number}")
    assert admission.refusal("new", "loud", 1) is None
    for number in range(3):
        admission.enter(f"l-{number}", f"loud-{number}", "loud", 0)
    assert admission.refusal("new", "loud", 1) == "share"


def test_an_answer_gives_back_the_places_of_the_messages_that_it_names() -> None:
    admission = crowd(1)
    admission.enter("second", "c-0", "one", 1)
    admission.shown("c-0", reply(answers=["m-0"]), 2)
    assert not admission.holds("m-0") and admission.holds("second")
    admission.shown("c-0", reply(answers=["second"]), 3)
    assert len(admission) == 0 and "c-0" not in admission


def test_a_turn_that_was_cancelled_gives_back_the_places_of_what_nobody_will_answer() -> None:
    admission = crowd(2)
    admission.enter("second", "c-0", "one", 1)
    admission.shown("c-0", RunEnded("t", "cancelled", 1, ["m-0"]), 2)
    assert not admission.holds("m-0") and admission.holds("second") and "c-1" in admission


@pytest.mark.parametrize(
    "entry",
    [
        reply(),
        reply(role="customer", final=False),
        reply(answers=["of another instance"]),
        RunEnded("t", "interrupted", 1),
        OwnerChanged("billing", "", 1, "routed", 1),
    ],
)
def test_what_answers_nothing_gives_nothing_back(entry: Any) -> None:
    admission = crowd(1)
    admission.shown("c-0", entry, 2)
    assert admission.holds("m-0")


def test_when_nothing_is_answered_for_a_minute_hardly_any_new_chat_begins() -> None:
    admission = crowd(10)
    assert admission.refusal("new", "one", 60) is None
    assert admission.refusal("new", "one", 61) == "stalled"
    assert admission.refusal("waiting", "one", 61) is None
    admission.shown("c-0", reply(answers=["m-0"]), 62)
    assert admission.refusal("new", "one", 63) is None


def test_a_few_always_may_try_so_that_a_standstill_can_end() -> None:
    assert crowd(9).refusal("new", "one", 500) is None


def test_what_nobody_ever_answers_is_forgotten() -> None:
    admission = crowd(100)
    assert admission.refusal("running", "one", FORGET_S) == "full"
    assert admission.refusal("running", "one", FORGET_S + 1) is None
    assert len(admission) == 0


def test_no_more_wait_than_are_begun_with_in_the_time_that_is_waited() -> None:
    admission = crowd(10, limit=1000, least=10)
    assert admission.refusal("running", "one", 1) == "queue"
    for number in range(10):
        admission.begun(f"c-{number}", 1)
    assert admission.refusal("new", "one", 1) is None, "those who are worked on wait no longer"
    for number in range(10, 18):
        assert admission.refusal("new", "one", 1) is None
        admission.enter(f"m-{number}", f"c-{number}", "one", 1)
    assert admission.refusal("new", "one", 1) == "queue", "2 a second are begun with: 10 may wait, new chats 8 of them"
    assert admission.refusal("waiting", "one", 1) is None


def test_a_faster_mesh_lets_more_wait_and_one_that_has_become_slow_only_the_least() -> None:
    admission = crowd(500, limit=10_000, least=10)
    for number in range(400):
        admission.begun(f"c-{number}", 2)
    assert admission.refusal("running", "one", 2) is None, "80 a second: 400 may wait, and 100 do"
    assert admission.refusal("running", "one", 8) == "queue"


def test_an_answer_without_a_word_before_it_was_begun_with_too() -> None:
    admission = crowd(10, limit=1000, least=10)
    for number in range(10):
        admission.shown(f"c-{number}", reply(answers=[f"m-{number}"]), 1)
        admission.enter(f"n-{number}", f"c-{number}", "one", 1)
    assert admission.refusal("new", "one", 1) == "queue"
    admission.leave("n-0")
    admission.leave("n-1")
    admission.leave("n-2")
    assert admission.refusal("new", "one", 1) is None
