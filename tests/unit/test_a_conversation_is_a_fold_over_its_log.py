"""The owner's decisions, without any I/O."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from parley_conversation import domain
from parley_conversation.domain import dead_letter, decide, route_text
from parley_conversation.transition import Facts, Transition
from parley_proto.conversation import (
    CancelRequested,
    Checkpoint,
    CustomerMessage,
    Entry,
    MessageShown,
    NoticeShown,
    OwnerChanged,
    PersonRequested,
    RetryRequested,
    RunEnded,
    TurnDue,
)
from parley_proto.envelope import Identity, encode
from parley_proto.specialist import (
    AssignTurn,
    EscalationRequested,
    HandoffRequested,
    Line,
    RouteHint,
    TurnAnswered,
    TurnFailed,
    TurnRevoked,
)
from parley_testkit.samples import AT, CONVERSATION, IDENTITY, NOTICE, OFFER, SUMMARY, answered, customer_message

ALL = ["account", "billing", "escalation", "returns", "technical"]
BILLING = RouteHint("billing", 0.95)


def facts(seq: int, hint: RouteHint = BILLING, **more: object) -> Facts:
    known = Facts(CONVERSATION, seq, AT + seq, 60_000, ALL, hint)
    return msgspec.structs.replace(known, **more)


def must(state: Checkpoint | None, entry: Entry, known: Facts) -> Transition:
    transition = decide(state, entry, known)
    assert transition is not None
    return transition


def opened() -> tuple[Checkpoint, AssignTurn]:
    first = must(None, customer_message(), facts(1))
    assert first.assign is not None
    return first.state, first.assign


def outcome(turn: AssignTurn) -> dict[str, object]:
    return {"turn_id": turn.turn_id, "attempt": 1, "epoch": turn.epoch, "specialty": turn.specialty, "at": AT}


def test_a_first_message_is_echoed_routed_and_assigned_in_one_transition() -> None:
    first = must(None, customer_message(), facts(1))
    assert [type(shown) for shown in first.shown] == [MessageShown, OwnerChanged]
    assert first.assign is not None and first.assign.specialty == "billing"
    assert first.state.turn is not None and first.state.turn.turn_id == first.assign.turn_id
    assert (first.state.owner, first.state.epoch, first.state.last_in_seq) == ("billing", 1, 1)


def test_an_unsure_router_asks_back_and_the_next_message_is_routed_with_the_first() -> None:
    asked = must(None, customer_message("hello"), facts(1, RouteHint()))
    question = asked.shown[-1]
    assert isinstance(question, MessageShown) and question.kind == "asked" and question.final
    assert asked.assign is None and not asked.state.owner
    assert route_text(asked.state, customer_message("my invoice", "2")) == "hello\nmy invoice"
    assert must(asked.state, customer_message("my invoice", "2"), facts(2)).state.owner == "billing"


def test_who_stays_unclear_after_two_questions_gets_people() -> None:
    state: Checkpoint | None = None
    for seq in (1, 2):
        state = must(state, customer_message("hm", str(seq)), facts(seq, RouteHint())).state
    assert must(state, customer_message("hm", "3"), facts(3, RouteHint())).state.owner == "escalation"


def test_a_message_id_seen_before_changes_nothing() -> None:
    state, _ = opened()
    assert decide(state, customer_message(), facts(9)) is None


def test_somebody_elses_message_changes_nothing() -> None:
    state, _ = opened()
    stranger = Identity("default", "mallory", "cus_0002")
    assert decide(state, customer_message("hi", "2", identity=stranger), facts(2)) is None
    assert decide(state, CancelRequested(stranger, AT), facts(2)) is None


def test_messages_during_a_turn_wait_and_are_answered_together() -> None:
    state, turn = opened()
    for seq, text in ((2, "and"), (3, "please")):
        waiting = must(state, customer_message(text, str(seq)), facts(seq))
        assert waiting.assign is None
        state = waiting.state
    done = must(state, answered(turn), facts(4))
    assert done.assign is not None
    assert [line.text for line in done.assign.messages] == ["and", "please"]
    assert done.state.queue == []


def test_an_answer_counts_once_and_only_for_the_open_turn() -> None:
    state, turn = opened()
    done = must(state, answered(turn), facts(2))
    final = done.shown[0]
    assert isinstance(final, MessageShown) and final.final and final.citations
    assert decide(done.state, answered(turn), facts(3)) is None
    assert decide(state, answered(turn, epoch=turn.epoch + 1), facts(2)) is None


def test_a_yes_that_was_sent_before_the_question_is_no_yes_to_it() -> None:
    state, turn = opened()
    queued = must(state, customer_message("yes", "2"), facts(2)).state
    done = must(queued, answered(turn, offer=OFFER), facts(3))
    assert done.assign is not None and done.assign.offer is None
    assert done.state.offer is None


def test_other_words_under_a_known_id_are_refused_in_words() -> None:
    state, _ = opened()
    refused = must(state, customer_message("other words", body_hash="1" * 16), facts(9))
    told = refused.shown[0]
    assert isinstance(told, MessageShown) and told.kind == "refused" and refused.assign is None


def test_a_dead_letter_is_skipped_and_told_and_its_resend_is_known() -> None:
    state, _ = opened()
    poison = customer_message("poison", "2")
    buried = dead_letter(state, poison, facts(7), "No rule knows it.")
    assert buried is not None and buried.state.last_in_seq == 7
    echo, told = buried.shown
    assert isinstance(echo, MessageShown) and (echo.role, echo.text) == ("customer", "poison")
    assert isinstance(told, MessageShown) and told.kind == "failed"
    assert buried.dead is not None and [line.text for line in buried.dead.messages] == ["poison"]
    assert buried.dead.reason == "No rule knows it."
    assert decide(buried.state, poison, facts(8)) is None
    assert dead_letter(None, TurnDue("t", 1), facts(7), "No rule knows it.") is None


def test_a_dead_letter_that_should_have_ended_the_turn_ends_it() -> None:
    state, turn = opened()
    state = must(state, customer_message("and this?", "2"), facts(2)).state
    due = TurnDue(turn.turn_id, turn.epoch)
    buried = dead_letter(state, due, facts(7), "A step can't be read.")
    assert buried is not None and buried.dead is not None
    assert [line.message_id for line in buried.dead.messages] == ["m-1"]
    told = [shown for shown in buried.shown if isinstance(shown, MessageShown)]
    assert [(shown.kind, shown.answers) for shown in told] == [("failed", ["m-1"])]
    assert any(isinstance(step, TurnRevoked) for step in buried.steps)
    # And what has waited for it is answered.
    assert buried.assign is not None and [line.text for line in buried.assign.messages] == ["and this?"]
    assert decide(buried.state, due, facts(8)) is None
    late = dead_letter(buried.state, due, facts(9), "A step can't be read.")
    assert late is not None and late.state.turn == buried.state.turn


def test_a_retry_that_is_buried_keeps_the_words() -> None:
    state, _ = opened()
    line = Line("customer", "refund it", "m-9", at=AT)
    buried = dead_letter(state, RetryRequested("d" * 32, [line], AT), facts(7), "No rule knows it.")
    assert buried is not None and buried.dead is not None and buried.dead.messages == [line]


def test_clicking_to_and_fro_does_not_make_the_turn_grow() -> None:
    state, _ = opened()
    for seq in range(2, 40):
        to = "technical" if state.owner != "technical" else "returns"
        state = must(state, PersonRequested(IDENTITY, AT, to), facts(seq)).state
    assert state.turn is not None and len(state.turn.messages) == 2
    assert len(encode(state)) <= 32_768


def test_an_answer_of_any_length_leaves_a_small_checkpoint() -> None:
    state, turn = opened()
    assert len(encode(must(state, answered(turn, "x" * 900_000), facts(2)).state)) <= 32_768


def test_an_offer_lives_for_exactly_one_next_turn() -> None:
    state, turn = opened()
    offered = must(state, answered(turn, offer=OFFER), facts(2)).state
    accepted = must(offered, customer_message("yes please", "2"), facts(3))
    assert accepted.assign is not None and accepted.assign.offer == OFFER
    assert accepted.state.offer is None


def test_a_handoff_moves_ownership_with_its_summary_and_revokes_the_old_turn() -> None:
    state, turn = opened()
    moved = must(state, HandoffRequested(**outcome(turn), to="technical", summary=SUMMARY), facts(2))
    assert moved.state.owner == "technical" and moved.state.epoch == 2
    assert isinstance(moved.steps[0], TurnRevoked) and moved.steps[0].turn_id == turn.turn_id
    assert moved.assign is not None and moved.assign.handoff == SUMMARY and moved.assign.handed_from == "billing"
    assert decide(moved.state, answered(turn), facts(3)) is None


def test_a_loop_of_handoffs_ends_with_people() -> None:
    state, turn = opened()
    for seq in range(2, 12):
        to = "technical" if state.owner == "billing" else "billing"
        moved = must(state, HandoffRequested(**outcome(turn), to=to, summary=SUMMARY), facts(seq))
        assert moved.assign is not None
        state, turn = moved.state, moved.assign
        if state.owner == "escalation":
            break
    assert state.owner == "escalation" and state.handoffs == 4


def test_an_escalation_and_a_customers_wish_both_reach_people() -> None:
    state, turn = opened()
    pleaded = must(state, EscalationRequested(**outcome(turn), urgency="high", summary=SUMMARY), facts(2))
    wished = must(state, PersonRequested(IDENTITY, AT), facts(2))
    for moved in (pleaded, wished):
        assert moved.state.owner == "escalation" and moved.state.escalated
        assert moved.assign is not None and moved.assign.messages[0].text == customer_message().text


def test_a_failed_or_late_turn_is_told_to_the_customer_and_the_next_one_starts() -> None:
    state, turn = opened()
    queued = must(state, customer_message("still there?", "2"), facts(2)).state
    for entry in (TurnFailed(**outcome(turn), code="x", reason="y"), TurnDue(turn.turn_id, turn.epoch)):
        failed = must(queued, entry, facts(3))
        told = failed.shown[0]
        assert isinstance(told, MessageShown) and told.kind == "failed" and told.final
        assert failed.assign is not None and failed.assign.messages[0].text == "still there?"


def test_a_deadline_of_an_answered_turn_changes_nothing() -> None:
    state, turn = opened()
    done = must(state, answered(turn), facts(2)).state
    assert decide(done, TurnDue(turn.turn_id, turn.epoch), facts(3)) is None


def test_a_cancelled_turn_ends_its_run_without_words() -> None:
    state, turn = opened()
    ended = must(state, CancelRequested(IDENTITY, AT), facts(2))
    assert [type(shown) for shown in ended.shown] == [RunEnded]
    assert decide(ended.state, answered(turn), facts(3)) is None


def test_notices_in_force_are_shown_once_and_travel_with_the_turn() -> None:
    first = must(None, customer_message(), facts(1, notices=[NOTICE]))
    assert [shown for shown in first.shown if isinstance(shown, NoticeShown)]
    assert first.assign is not None and first.assign.notices == [NOTICE]
    again = must(first.state, customer_message("more", "2"), facts(2, notices=[NOTICE]))
    assert not [shown for shown in again.shown if isinstance(shown, NoticeShown)]


def test_a_burst_beyond_the_queue_is_refused_in_words_and_the_checkpoint_stays_small() -> None:
    state, _ = opened()
    refused = 0
    for seq in range(2, 60):
        step = must(state, customer_message("x" * 4000, str(seq)), facts(seq))
        refused += any(isinstance(shown, MessageShown) and shown.kind == "refused" for shown in step.shown)
        state = step.state
    assert refused == 56
    assert len(encode(state)) <= 32_768


OUTCOMES = st.sampled_from(["answer", "handoff", "fail", "due", "cancel", "person", "message", "late"])


@given(st.lists(OUTCOMES, max_size=40))
def test_whatever_happens_every_message_is_answered_or_still_waits(history: list[str]) -> None:
    """Folding any history: epochs never fall, one turn at most is open, and no customer line is forgotten."""
    state: Checkpoint | None = None
    turns: list[AssignTurn] = []
    settled: set[str] = set()
    sent: list[CustomerMessage] = []
    for seq, kind in enumerate(["message", *history], start=1):
        entry = _entry(kind, seq, turns)
        if isinstance(entry, CustomerMessage):
            sent.append(entry)
        if entry is None:
            continue
        step = decide(state, entry, facts(seq))
        if step is None:
            continue
        assert step.state.epoch >= (state.epoch if state else 0)
        if state and state.turn and (step.state.turn is None or step.state.turn.turn_id != state.turn.turn_id):
            ended = {line.message_id for line in state.turn.messages}
            settled |= ended if step.state.turn is None or not _carries(step.state, ended) else set()
        if step.assign:
            turns.append(step.assign)
        state = step.state
    assert state is not None
    waiting = {line.message_id for line in state.queue}
    waiting |= {line.message_id for line in state.turn.messages} if state.turn else set()
    assert {message.message_id for message in sent} <= settled | waiting


def _carries(state: Checkpoint, ids: set[str]) -> bool:
    return state.turn is not None and ids <= {line.message_id for line in state.turn.messages}


def _entry(kind: str, seq: int, turns: list[AssignTurn]) -> Entry | None:
    if kind == "message":
        return customer_message(f"text {seq}", str(seq))
    if kind == "cancel":
        return CancelRequested(IDENTITY, AT)
    if kind == "person":
        return PersonRequested(IDENTITY, AT)
    if not turns:
        return None
    turn = turns[0] if kind == "late" else turns[-1]
    made: dict[str, Entry] = {
        "answer": answered(turn),
        "late": answered(turn),
        "handoff": HandoffRequested(**outcome(turn), to="technical", summary=SUMMARY),
        "fail": TurnFailed(**outcome(turn), code="x", reason="y"),
        "due": TurnDue(turn.turn_id, turn.epoch),
    }
    return made[kind]


def test_every_outcome_a_specialist_can_send_has_a_rule() -> None:
    kinds = {TurnAnswered, HandoffRequested, EscalationRequested, TurnFailed}
    assert kinds <= set(domain._RULES)


def test_a_customer_has_the_groups_and_the_name_of_the_session_that_speaks_now() -> None:
    vip = msgspec.structs.replace(IDENTITY, groups=["vip"], name="Ada Lovelace")
    first = must(None, customer_message("my invoice", "1", identity=vip), facts(1))
    assert first.assign is not None and first.assign.identity == vip
    ended = must(first.state, answered(first.assign, "Here."), facts(2))
    second = must(ended.state, customer_message("and now?", "2", identity=IDENTITY), facts(3))
    assert second.assign is not None and second.assign.identity == IDENTITY
