"""What may end a turn, and what then becomes of side effects that it had begun or done: the owner's pure decisions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from test_a_conversation_is_a_fold_over_its_log import facts, must, opened, outcome

from parley_conversation.deeds import Deeds, deeds_of
from parley_conversation.domain import decide, may_end_turn
from parley_proto.conversation import (
    CancelRequested,
    CustomerMessage,
    Entry,
    MessageShown,
    OwnerChanged,
    PersonRequested,
    RetryRequested,
    RunEnded,
    TurnDue,
)
from parley_proto.errors import UNKNOWN_OUTCOME
from parley_proto.specialist import (
    EffectIntended,
    EffectSettled,
    EffectUnknown,
    EscalationRequested,
    HandoffRequested,
    HandoffSummary,
    Line,
    TurnFailed,
    TurnOpened,
    TurnRevoked,
)
from parley_testkit.samples import AT, CONVERSATION, IDENTITY, LINE, SUMMARY, TURN, answered, customer_message

INTENT = EffectIntended("k" * 32, "refund_payment", CONVERSATION, TURN, 1, {"payment_id": "PAY-1"}, AT)
SETTLED = EffectSettled("k" * 32, "refund_payment", CONVERSATION, TURN, True, {"summary": "PAY-1 was refunded."}, AT)
REFUSED = msgspec.structs.replace(SETTLED, ok=False)
AGAIN = msgspec.structs.replace(INTENT, round=1)
UNKNOWN = EffectUnknown("k" * 32, "refund_payment", CONVERSATION, TURN, AT)
OPENED = TurnOpened(TURN, 1, "billing", AT)
NOTHING, BEGUN, DONE = Deeds(5), Deeds(6, open=[INTENT]), Deeds(7, done=["PAY-1 was refunded."])


@pytest.mark.parametrize(
    ("steps", "done", "unsettled"),
    [
        ([OPENED], 0, 0),
        ([OPENED, INTENT], 0, 1),
        ([OPENED, INTENT, INTENT, SETTLED], 1, 0),
        ([OPENED, INTENT, REFUSED], 0, 0),
        ([OPENED, INTENT, UNKNOWN], 0, 1),
        ([OPENED, INTENT, UNKNOWN, SETTLED], 1, 0),
        ([OPENED, INTENT, REFUSED, AGAIN], 0, 1),
    ],
)
def test_a_journal_tells_what_was_done_and_what_nobody_knows(steps: list[Any], done: int, unsettled: int) -> None:
    deeds = deeds_of(steps, 9)
    assert (len(deeds.done), len(deeds.open), deeds.seq) == (done, unsettled, 9)


@pytest.mark.parametrize("entry", [CancelRequested(IDENTITY, AT), PersonRequested(IDENTITY, AT, "technical")])
def test_a_turn_that_did_nothing_yet_is_revoked_over_the_very_journal_that_was_read(entry: Entry) -> None:
    state, turn = opened()
    ended = must(state, entry, facts(2, deeds=NOTHING))
    revoked = ended.steps[0]
    assert isinstance(revoked, TurnRevoked) and revoked.turn_id == turn.turn_id
    assert ended.revokes == NOTHING.seq


@pytest.mark.parametrize("deeds", [BEGUN, DONE])
def test_a_cancel_that_comes_after_an_effect_began_stops_nothing_and_says_so(deeds: Deeds) -> None:
    state, turn = opened()
    late = must(state, CancelRequested(IDENTITY, AT), facts(2, deeds=deeds))
    assert late.state.turn == state.turn and not late.steps
    assert isinstance(late.shown[0], MessageShown) and not late.shown[0].final
    done = must(late.state, answered(turn), facts(3))
    assert isinstance(done.shown[0], MessageShown) and done.shown[0].kind == "grounded"


def test_a_customer_who_wants_a_person_while_an_effect_is_under_way_gets_one_after_it() -> None:
    state, turn = opened()
    waiting = must(state, PersonRequested(IDENTITY, AT), facts(2, deeds=BEGUN)).state
    assert waiting.owner == "billing" and waiting.wish == "escalation"
    done = must(waiting, answered(turn), facts(3))
    assert (done.state.owner, done.state.wish) == ("escalation", "")
    assert done.assign is not None and done.assign.specialty == "escalation"


@pytest.mark.parametrize("ending", ["due", "failed", "handoff"])
def test_an_effect_that_nobody_knows_the_end_of_goes_to_a_person(ending: str) -> None:
    state, turn = opened()
    entries: dict[str, Entry] = {
        "due": TurnDue(turn.turn_id, turn.epoch),
        "failed": TurnFailed(**outcome(turn), code="attempts", reason="killed"),
        "handoff": HandoffRequested(**outcome(turn), to="technical", summary=SUMMARY),
    }
    moved = must(state, entries[ending], facts(2, deeds=BEGUN))
    assert moved.state.owner == "escalation" and moved.assign is not None and moved.assign.handoff is not None
    told = " ".join(fact.text for fact in moved.assign.handoff.facts)
    assert "not known" in told and "PAY-1" in told and "k" * 32 in told


@pytest.mark.parametrize("ending", ["due", "failed", "handoff", "escalation"])
def test_what_nobody_knows_the_end_of_is_set_aside_in_the_same_batch(ending: str) -> None:
    state, turn = opened()
    entries: dict[str, Entry] = {
        "due": TurnDue(turn.turn_id, turn.epoch),
        "failed": TurnFailed(**outcome(turn), code="attempts", reason="killed"),
        "handoff": HandoffRequested(**outcome(turn), to="technical", summary=SUMMARY),
        "escalation": EscalationRequested(**outcome(turn), urgency="high", summary=SUMMARY),
    }
    dead = must(state, entries[ending], facts(2, deeds=BEGUN)).dead
    assert dead is not None and dead.code == UNKNOWN_OUTCOME
    assert (dead.turn_id, dead.specialty, dead.messages) == (turn.turn_id, "billing", turn.messages)
    assert "k" * 32 in dead.reason and "PAY-1" in dead.reason


@pytest.mark.parametrize("deeds", [NOTHING, DONE, BEGUN])
def test_a_specialist_that_finds_an_outcome_unknown_hands_it_to_people_and_to_the_operator(deeds: Deeds) -> None:
    """The journal of this turn may know nothing of it: an earlier turn began it."""
    state, turn = opened()
    told = HandoffSummary("It is not known whether refund_payment was carried out (effect 123).")
    asked = EscalationRequested(**outcome(turn), urgency="high", summary=told, code=UNKNOWN_OUTCOME)
    moved = must(state, asked, facts(2, deeds=deeds))
    assert moved.state.owner == "escalation" and moved.assign is not None
    assert moved.dead is not None and moved.dead.code == UNKNOWN_OUTCOME
    assert moved.dead.reason.startswith(told.reason)
    assert ("k" * 32 in moved.dead.reason) is bool(deeds.open)


def test_people_themselves_who_find_an_outcome_unknown_set_it_aside() -> None:
    state, _ = opened()
    asked = must(state, PersonRequested(IDENTITY, AT), facts(2, deeds=NOTHING))
    assert asked.assign is not None and asked.state.owner == "escalation"
    failed = TurnFailed(**outcome(asked.assign), code=UNKNOWN_OUTCOME, reason="Nobody knows about effect 123.")
    ended = must(asked.state, failed, facts(3, deeds=NOTHING))
    assert ended.dead is not None and ended.dead.code == UNKNOWN_OUTCOME and "effect 123" in ended.dead.reason
    said = next(shown for shown in ended.shown if isinstance(shown, MessageShown))
    assert "can't tell whether it happened" in said.text


def test_an_escalation_that_is_only_a_wish_sets_nothing_aside() -> None:
    state, turn = opened()
    asked = EscalationRequested(**outcome(turn), urgency="high", summary=SUMMARY)
    assert must(state, asked, facts(2, deeds=DONE)).dead is None


def test_with_nobody_to_pass_it_on_to_the_customer_hears_that_the_outcome_is_unknown() -> None:
    state, turn = opened()
    ended = must(state, TurnDue(turn.turn_id, turn.epoch), facts(2, deeds=BEGUN, specialties=["billing"]))
    said = ended.shown[0]
    assert isinstance(said, MessageShown) and "can't tell whether it happened" in said.text and said.final


def test_a_turn_that_fails_after_its_effect_tells_what_was_done() -> None:
    state, turn = opened()
    ended = must(state, TurnDue(turn.turn_id, turn.epoch), facts(2, deeds=DONE))
    said = ended.shown[0]
    assert isinstance(said, MessageShown) and said.text.startswith("PAY-1 was refunded.")
    assert ended.state.owner == "billing"


def test_an_answer_closes_the_journal_so_that_no_other_attempt_can_act() -> None:
    state, turn = opened()
    done = must(state, answered(turn), facts(2))
    assert [type(step) for step in done.steps] == [TurnRevoked] and done.revokes is None


def test_a_turn_whose_every_attempt_failed_becomes_a_dead_letter_and_the_next_message_is_answered() -> None:
    state, turn = opened()
    queued = must(state, customer_message("and?", "2"), facts(2)).state
    failed = TurnFailed(**outcome(turn), code="attempts", reason="The model garbles everything.")
    ended = must(queued, failed, facts(3, deeds=NOTHING))
    assert ended.dead is not None and ended.dead.reason == "The model garbles everything."
    assert (ended.dead.turn_id, ended.dead.specialty) == (turn.turn_id, "billing")
    assert ended.dead.messages == turn.messages
    assert ended.assign is not None and [line.text for line in ended.assign.messages] == ["and?"]


def test_any_other_failure_is_told_but_set_aside_nowhere() -> None:
    state, turn = opened()
    assert must(state, TurnFailed(**outcome(turn), code="deadline", reason="late"), facts(2)).dead is None


def test_a_dead_letter_that_is_retried_is_answered_now_or_after_the_open_turn() -> None:
    state, turn = opened()
    wish = RetryRequested("d" * 32, [LINE], AT)
    waiting = must(state, wish, facts(2))
    assert waiting.assign is None and waiting.state.queue == [LINE]
    idle = must(state, answered(turn), facts(2)).state
    again = must(idle, wish, facts(3))
    assert again.assign is not None and again.assign.messages == [LINE]
    assert decide(None, wish, facts(1)) is None


def test_a_retry_counts_once_however_often_it_is_asked_for() -> None:
    state, turn = opened()
    wish = RetryRequested("d" * 32, [LINE], AT)
    taken = must(state, wish, facts(2)).state
    assert decide(taken, wish, facts(3)) is None
    done = must(taken, answered(turn), facts(4)).state
    assert decide(done, wish, facts(5)) is None
    assert decide(done, RetryRequested("e" * 32, [LINE], AT), facts(6)) is not None


def test_what_is_retried_comes_before_what_waits() -> None:
    """Else its action, known by the first message of its turn, would be another one."""
    state, turn = opened()
    state = must(state, customer_message("and this?", "2"), facts(2)).state
    state = must(state, RetryRequested("d" * 32, [LINE], AT), facts(3)).state
    done = must(state, answered(turn), facts(4))
    assert done.assign is not None and done.assign.messages[0] == LINE


def test_a_dead_letter_that_finds_no_room_is_set_aside_again() -> None:
    state, _ = opened()
    long = [Line("customer", "x" * 4_000, f"m-{number}", at=AT) for number in range(8)]
    taken = must(state, RetryRequested("d" * 32, long, AT), facts(2))
    assert taken.dead is not None
    assert taken.dead.messages == long and taken.dead.dead_id != "d" * 32
    assert taken.dead.code == "no_room" and "retry" in taken.dead.reason
    assert taken.state.queue == state.queue and not taken.shown


def test_words_that_interrupt_begin_a_new_turn_with_the_old_ones() -> None:
    state, turn = opened()
    more = must(state, customer_message("the one of May", "2"), facts(2, burst="interrupt", deeds=NOTHING))
    assert more.assign is not None
    assert [line.message_id for line in more.assign.messages] == ["m-1", "m-2"]
    assert more.assign.turn_id != turn.turn_id and more.revokes == NOTHING.seq
    assert any(isinstance(shown, RunEnded) and shown.reason == "interrupted" for shown in more.shown)
    assert decide(more.state, answered(turn), facts(3)) is None


def test_nothing_interrupts_past_an_effect_and_nobody_interrupts_without_end() -> None:
    state, _ = opened()
    past = must(state, customer_message("wait", "2"), facts(2, burst="interrupt", deeds=BEGUN))
    assert past.assign is None and [line.text for line in past.state.queue] == ["wait"]
    assigned = []
    for seq in range(2, 12):
        step = must(state, customer_message("and", str(seq)), facts(seq, burst="interrupt", deeds=NOTHING))
        assigned.append(step.assign is not None)
        state = step.state
    assert any(assigned) and not assigned[-1]


def test_a_specialty_that_queues_answers_one_message_a_turn() -> None:
    state, turn = opened()
    for seq in (2, 3):
        state = must(state, customer_message(str(seq), str(seq)), facts(seq, burst="queue")).state
    first = must(state, answered(turn), facts(4, burst="queue"))
    assert first.assign is not None and [line.text for line in first.assign.messages] == ["2"]
    second = must(first.state, answered(first.assign), facts(5, burst="queue"))
    assert second.assign is not None and [line.text for line in second.assign.messages] == ["3"]
    assert second.state.queue == []


def test_every_answer_names_the_messages_that_it_answers_and_its_epoch() -> None:
    state, turn = opened()
    state = must(state, customer_message("and", "2"), facts(2)).state
    done = must(state, answered(turn), facts(3))
    first = done.shown[0]
    assert isinstance(first, MessageShown) and (first.answers, first.epoch) == (["m-1"], 1)
    assert done.assign is not None
    failed = must(done.state, TurnDue(done.assign.turn_id, 1), facts(4))
    told = next(shown for shown in failed.shown if isinstance(shown, MessageShown))
    assert told.answers == ["m-2"]
    cancelled = must(done.state, CancelRequested(IDENTITY, AT), facts(4)).shown[0]
    assert isinstance(cancelled, RunEnded) and cancelled.answers == ["m-2"]


@pytest.mark.parametrize(
    ("entry", "burst", "expected"),
    [
        (CancelRequested(IDENTITY, AT), "merge", True),
        (customer_message("x", "2"), "merge", False),
        (customer_message("x", "2"), "interrupt", True),
        (TurnDue(TURN, 1), "merge", False),
    ],
)
def test_only_what_could_end_the_open_turn_has_its_journal_read(entry: Entry, burst: Any, expected: bool) -> None:
    state, _ = opened()
    assert may_end_turn(state, entry, burst) is expected
    assert not may_end_turn(None, entry, burst)
    assert isinstance(entry, CustomerMessage | CancelRequested | TurnDue)


def test_an_owner_changes_only_with_its_turn_revoked() -> None:
    state, turn = opened()
    moved = must(state, HandoffRequested(**outcome(turn), to="technical", summary=SUMMARY), facts(2, deeds=NOTHING))
    assert any(isinstance(shown, OwnerChanged) for shown in moved.shown)
    assert isinstance(moved.steps[0], TurnRevoked) and moved.revokes == NOTHING.seq


def test_who_asks_for_a_person_again_later_asks_for_something_new() -> None:
    """A ticket is kept by the words that asked for it: the second wish must not find the first one's."""
    state, _ = opened()
    wishes = []
    for seq in (2, 4):
        asked = must(state, PersonRequested(IDENTITY, AT), facts(seq, deeds=NOTHING))
        assert asked.assign is not None
        wishes.append(asked.assign.messages[-1].message_id)
        ended = must(asked.state, answered(asked.assign), facts(seq + 1))
        said = ended.shown[0]
        assert isinstance(said, MessageShown) and not set(wishes) & set(said.answers)
        state = msgspec.structs.replace(ended.state, owner="billing")
    assert len(set(wishes)) == 2
