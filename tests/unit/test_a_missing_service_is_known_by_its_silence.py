"""What is degraded: decided from what instances say of themselves, from silence, and from a lost connection."""

from __future__ import annotations

from parley_gateway.condition import LOST_S, Outlook
from parley_mesh.pulse import PATIENCE_S, Pulse, Vitals

READY = Pulse("one")
LATE = PATIENCE_S + 0.1


def test_who_is_expected_and_never_heard_of_is_missing_after_a_while() -> None:
    vitals = Vitals(["rag"], 100)
    assert vitals.missing(100 + PATIENCE_S) == {}
    assert vitals.missing(100 + LATE) == {"rag": "rag has not been heard of for 6 s."}


def test_one_instance_that_is_ready_is_enough() -> None:
    vitals = Vitals(["rag"], 0)
    for now in range(20):
        vitals.heard("rag", Pulse("one", "rag is starting."), now)
        vitals.heard("rag", Pulse("two"), now)
        assert vitals.missing(now) == {}


def test_a_restart_is_not_worth_a_word_and_a_lasting_reason_is_told() -> None:
    vitals = Vitals(["archiver"], 0)
    vitals.heard("archiver", READY, 0)
    for now in (2, 4, 6):
        vitals.heard("archiver", Pulse("one", "PostgreSQL does not answer."), now)
    assert vitals.missing(6) == {}
    assert vitals.missing(6.1) == {"archiver": "PostgreSQL does not answer."}
    vitals.heard("archiver", READY, 7)
    assert vitals.missing(7) == {}


def test_an_old_reason_is_not_told_of_who_says_nothing_any_more() -> None:
    vitals = Vitals([], 0)
    vitals.heard("billing", Pulse("one", "billing is draining."), 0)
    assert vitals.missing(20) == {"billing": "billing has not been heard of for 20 s."}


def test_a_specialty_counts_once_it_was_heard_of() -> None:
    outlook = Outlook([], 0)
    outlook.heard("billing", READY, 1)
    outlook.heard("gateway", READY, 1)
    assert list(outlook.look(1 + LATE, connected=True)) == ["billing"]


def test_without_nats_nothing_is_said_of_the_others_and_they_get_time_afterwards() -> None:
    outlook = Outlook(["rag"], 0)
    assert outlook.look(1, connected=False) == {}
    assert list(outlook.look(1 + LOST_S + 0.1, connected=False)) == ["nats"]
    assert outlook.lost_for(31) == 30
    assert list(outlook.look(31, connected=False)) == ["nats"]
    assert outlook.look(40, connected=True) == {}
    assert outlook.lost_for(41) == 0
    assert outlook.look(40 + PATIENCE_S, connected=True) == {}
    assert list(outlook.look(40 + LATE, connected=True)) == ["rag"]
