"""The hot window and the summary share 32 KB with everything else that a conversation has to remember."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley_conversation.domain import decide
from parley_conversation.recap import (
    CHECKPOINT_BYTES,
    OFFER_BYTES,
    PENDING_BYTES,
    WINDOW_BYTES,
    after,
    cut,
    fit,
    has_room,
    to_summarise,
)
from parley_conversation.transition import Facts
from parley_proto.conversation import (
    CancelRequested,
    Checkpoint,
    Entry,
    OpenTurn,
    PersonRequested,
    RetryRequested,
    SummaryWritten,
    TurnDue,
)
from parley_proto.envelope import Identity, decode, digest, encode
from parley_proto.specialist import Fact, Line, Offer, RouteHint, Summary
from parley_recap.bounds import bounded
from parley_testkit.samples import AT, CONVERSATION, RECAP, TURN, answered, customer_message

ALL = ["account", "billing", "escalation", "returns", "technical"]
# As long as the gateway lets a session's claims be.
SOMEBODY = Identity("t" * 64, "ü" * 128, "ü" * 128, "ü" * 128, ["g" * 63] * 32)


def facts(seq: int, **more: Any) -> Facts:
    known = Facts(CONVERSATION, seq, AT + seq, 60_000, ALL, RouteHint("billing", 0.95))
    return msgspec.structs.replace(known, **more)


def line(number: int, text: str = "a word or two", role: str = "") -> Line:
    who: Any = role or ("assistant" if number % 2 else "customer")
    return Line(who, text, digest(str(number)), "billing" if who == "assistant" else "", AT)


def talk(count: int, text: str = "a word or two") -> list[Line]:
    return [line(number, f"{text} {number}") for number in range(count)]


def state(**changes: Any) -> Checkpoint:
    return msgspec.structs.replace(Checkpoint(CONVERSATION, SOMEBODY, AT, owner="billing", epoch=1), **changes)


# Whole texts of one awkward character, and mixtures; the gateway takes up to 8,000 bytes of a customer.
AWKWARD = st.sampled_from(["x", "é", "語", "😀", '"', "\\", "\n", "\x01", "\u2028", "I will call. "])
TEXTS = st.one_of(
    st.builds(
        lambda char, count: (char * count).encode()[:8000].decode("utf-8", "ignore"), AWKWARD, st.integers(1, 8000)
    ),
    st.text(min_size=1, max_size=300),
)
OFFERS = st.builds(lambda text: Offer("refund_payment", {"payment_id": text}, text), TEXTS)
STEPS = st.one_of(
    st.tuples(st.just("message"), TEXTS),
    st.tuples(st.just("answer"), TEXTS),
    st.tuples(st.just("offer"), OFFERS),
    st.tuples(st.sampled_from(["cancel", "due", "person", "retry", "summary"]), st.just("")),
)
BURSTS = st.sampled_from(["merge", "queue", "interrupt"])


def entry(kind: str, what: Any, seq: int, known: Checkpoint | None) -> Entry | None:
    turn = known.turn if known else None
    if kind == "message":
        return customer_message(what, str(seq), identity=SOMEBODY, message_id=digest(str(seq)), body_hash=digest(what))
    if kind == "cancel":
        return CancelRequested(SOMEBODY, AT)
    if kind == "person":
        return PersonRequested(SOMEBODY, AT, ALL[seq % len(ALL)])
    if kind == "retry":
        return RetryRequested("d" * 32, [line(seq, "once more", "customer")], AT)
    if kind == "summary" and known and known.window:
        return SummaryWritten(known.window[0].message_id, Summary([], [Fact("I will call.", ["a" * 32])] * 300), AT)
    if turn is None:
        return None
    if kind == "due":
        return TurnDue(turn.turn_id, turn.epoch)
    offer = what if kind == "offer" else None
    return answered(turn, "Shall I?" if offer else what, offer=offer)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=60), BURSTS)
def test_no_history_of_any_texts_makes_a_checkpoint_larger_than_32_kb(
    history: list[tuple[str, Any]], burst: Any
) -> None:
    known: Checkpoint | None = None
    for seq, (kind, what) in enumerate([("message", "hello"), *history], start=1):
        happened = entry(kind, what, seq, known)
        step = decide(known, happened, facts(seq, burst=burst)) if happened else None
        if step:
            known = step.state
            assert len(encode(known)) <= CHECKPOINT_BYTES
    assert known is not None and decode(encode(known), Checkpoint) == known


def full(char: str) -> Checkpoint:
    """Everything that a checkpoint may hold, at its largest, and more lines than have room."""
    text, held = char * 8_000, [line(900, cut(char * 2_000), "customer")]
    while has_room([*held, line(901, char * 400, "customer")]):
        held.append(line(901, char * 400, "customer"))
    size = next(size for size in range(2_400, 0, -10) if len(encode(Offer("refund", {}, char * size))) <= OFFER_BYTES)
    return state(
        turn=OpenTurn(TURN, 9_999, "escalation", AT, AT, held[:1]),
        queue=held[1:],
        window=[line(number, text[:2_000]) for number in range(40)],
        recap=bounded(
            Summary([], [Fact(f"I will call {number}. {text}", [digest(str(number))]) for number in range(99)])
        ),
        offer=Offer("refund", {}, char * size),
        recent={digest("r", str(n)): digest("b", str(n)) for n in range(64)},
        notices_seen=[f"notice-{10**9 + n}" for n in range(50)],
    )


@pytest.mark.parametrize("char", ["x", "é", "語", "😀", '"', "\\", "\n", "\x01"], ids=ascii)
def test_everything_at_its_largest_fits_together(char: str) -> None:
    whole = full(char)
    kept = fit(whole)
    assert len(encode(kept)) <= CHECKPOINT_BYTES < len(encode(whole))
    assert (kept.turn, kept.queue, kept.offer, kept.recent) == (whole.turn, whole.queue, whole.offer, whole.recent)
    assert kept.recap.promises[:5] == whole.recap.promises[:5]


def test_a_text_is_cut_only_where_its_json_would_be_too_long() -> None:
    assert cut("語" * 2666) == "語" * 2666
    worst = cut("\x01" * 8000)
    assert 1_900 < len(worst) < 2_000 and has_room([line(1, worst, "customer")])


def test_very_many_short_messages_do_not_fill_the_queue_without_end() -> None:
    known = decide(None, customer_message(identity=SOMEBODY), facts(1))
    assert known is not None
    held = known.state
    for seq in range(2, 300):
        step = decide(held, customer_message("x", str(seq), identity=SOMEBODY, message_id=digest(str(seq))), facts(seq))
        assert step is not None
        held = step.state
    assert sum(len(encode(waiting)) for waiting in held.queue) <= PENDING_BYTES
    assert 50 < len(held.queue) < 150


def test_lines_that_leave_take_their_promises_into_the_summary() -> None:
    promise = line(1, "I will send you a voucher of 20 pounds.")
    held = fit(state(window=[line(0), promise, *talk(120)[2:]]))
    assert promise not in held.window and held.window[0].role == "customer"
    assert held.recap.promises == [Fact("I will send you a voucher of 20 pounds.", [promise.message_id])]
    assert fit(held) == held


def test_a_card_number_is_masked_before_a_text_is_shortened() -> None:
    told = line(0, "my number is " + "x" * 130 + " 4111 1111 1111 1111 is it")
    facts_kept = fit(state(window=[told, *talk(120)[1:]])).recap.facts
    assert "1111 1111" not in facts_kept[0].text and told.message_id in facts_kept[0].message_ids


def test_an_offer_beyond_its_bound_is_none_so_a_yes_runs_nothing() -> None:
    small, big = Offer("refund", {"id": "PAY-1"}, "Shall I?"), Offer("refund", {"id": "x" * 9_000}, "Shall I?")
    assert fit(state(offer=small)).offer == small
    assert fit(state(offer=big)).offer is None


def test_within_its_budget_nothing_is_summarised() -> None:
    assert to_summarise(state(window=talk(20)), 1_000) == []


def test_past_its_budget_the_oldest_half_is_and_begins_and_ends_between_exchanges() -> None:
    held = state(window=talk(60))
    gone = to_summarise(held, 1_500)
    assert gone == held.window[: len(gone)] and 20 < len(gone) < 45
    assert held.window[len(gone)].role == "customer"
    assert len(encode(held.window[0])) * (60 - len(gone)) <= 1_500 * 4 / 2 + 400


def test_one_huge_line_is_not_taken_from_under_the_customer() -> None:
    answer = line(1, "x" * 9_000)
    assert to_summarise(state(window=[line(0), answer]), 1_000) == [line(0)]
    assert to_summarise(state(window=[answer]), 1_000) == []


def test_what_waits_for_an_answer_is_never_summarised() -> None:
    lines = talk(60)
    # As a checkpoint of an earlier version has it: there the window held the open turn's lines as well.
    held = state(window=lines, turn=OpenTurn(TURN, 1, "billing", AT, AT, [lines[10]]), queue=[lines[4]])
    assert to_summarise(held, 1_000) == lines[:4]


def test_a_summary_takes_the_place_of_its_lines() -> None:
    held = state(window=talk(20))
    step = decide(held, SummaryWritten(held.window[9].message_id, RECAP, AT), facts(7))
    assert step is not None and step.assign is None and step.shown == [] and step.steps == []
    assert step.state.window == held.window[10:] and step.state.recap == RECAP and step.state.last_in_seq == 7


def test_a_late_or_repeated_summary_changes_nothing() -> None:
    held = state(window=talk(20))
    written = SummaryWritten(held.window[9].message_id, RECAP, AT)
    step = decide(held, written, facts(7))
    assert step is not None
    assert decide(step.state, written, facts(8)) is None
    assert after(step.state, held.window[9].message_id) is None
    assert decide(None, written, facts(8)) is None


def test_a_summary_that_comes_during_a_turn_leaves_the_turn_and_the_queue_alone() -> None:
    asked = decide(state(window=talk(20)), customer_message("and now?", "31", identity=SOMEBODY), facts(7))
    assert asked is not None and asked.assign is not None
    waiting = decide(asked.state, customer_message("hello?", "32", identity=SOMEBODY), facts(8))
    assert waiting is not None
    summed = decide(waiting.state, SummaryWritten(waiting.state.window[9].message_id, RECAP, AT), facts(9))
    assert summed is not None
    assert (summed.state.turn, summed.state.queue) == (waiting.state.turn, waiting.state.queue)
    done = decide(summed.state, answered(asked.assign), facts(10))
    assert done is not None and done.assign is not None
    assert done.assign.recap == RECAP and [line.text for line in done.assign.messages] == ["hello?"]
    assert [line.text for line in done.assign.window[-2:]] == ["and now?", answered(asked.assign).text]


def test_lines_join_the_window_when_their_turn_has_ended_and_once() -> None:
    first = decide(None, customer_message(identity=SOMEBODY), facts(1))
    assert first is not None and first.assign is not None and first.state.window == []
    done = decide(first.state, answered(first.assign), facts(2))
    assert done is not None
    assert [each.role for each in done.state.window] == ["customer", "assistant"]
    old = msgspec.structs.replace(first.state, window=first.assign.messages)
    again = decide(old, answered(first.assign), facts(2))
    assert again is not None and again.state.window == done.state.window


@pytest.mark.parametrize("old", [b'"summary":"",', b'"summary":"They talked.",'])
def test_a_checkpoint_with_the_summary_of_an_earlier_version_is_still_read(old: bytes) -> None:
    body = encode(state(window=talk(2)))
    assert decode(body[:1] + old + body[1:], Checkpoint) == state(window=talk(2))


def test_the_bounds_of_the_parts_leave_a_window() -> None:
    assert WINDOW_BYTES > 8_000
    assert len(encode(fit(state(window=talk(200))))) > 16_000
