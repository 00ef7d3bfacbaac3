"""Frames from outside: every bad one meets a clear refusal before it can do anything."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_gateway import domain, frames
from parley_gateway.domain import Bucket, Buckets, Seats, Session, answered_at, still_waiting, too_deep
from parley_proto.conversation import Checkpoint, MessageShown, OpenTurn, RunEnded, Shown
from parley_proto.envelope import Identity
from parley_proto.errors import ParleyError, PermanentError
from parley_proto.specialist import Line

SAY = {"type": "message.send", "id": "1", "content": "Hello"}


def code_of(frame: str) -> str:
    with pytest.raises(frames.BadFrame) as bad:
        frames.read(frame)
    return bad.value.code


def test_what_takes_long_to_go_through_is_refused_unread() -> None:
    with pytest.raises(frames.BadFrame, match="10,000 lists and objects"):
        frames.read('{"type": "message.send", "x": [' + "[]," * 10_000 + "[]]}")
    said = frames.read(json.dumps(SAY | {"content": "[" * 7_900}))
    assert isinstance(said, frames.Said)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "null",
        "[]",
        '"x"',
        "NaN",
        '{"type": NaN}',
        '{"type": "ping"',
        '{"type": 7}',
        '{"type": "message.send", "id": "1"}',
        '{"type": "message.send", "id": 1, "content": "Hello"}',
        '{"type": "message.send", "id": "1", "content": ["Hello"]}',
        '{"type": "message.send", "id": "1", "content": "\\ud800"}',
        '{"type": "message.send", "id": "1", "content": "Hello", "role": "system"}',
        '{"type": "message.send", "id": "1", "content": "Hello", "identity": {"tenant": "x"}}',
        '{"type": "hello", "ticket": "x", "since": ' + "9" * 10_000 + "}",
        '{"type": "hello", "ticket": "x", "since": 1e999}',
        '{"type": "hello", "ticket": "x", "since": "0"}',
        '{"type": "feedback", "messageId": "m", "rating": "best"}',
        "[" * 60_000,
        '{"a":' * 10_000,
        '{"type": "ping", "id": ' + "[" * 17 + "]" * 17 + "}",
    ],
)
def test_what_is_no_frame_is_malformed(text: str) -> None:
    assert code_of(text) == "malformed"


def test_a_frame_of_another_protocol_is_named() -> None:
    with pytest.raises(frames.BadFrame) as bad:
        frames.read('{"type": "message.delete", "id": "7"}')
    assert (bad.value.code, bad.value.client_id) == ("unknown_type", "7")


def test_size_is_counted_in_bytes_before_anything_is_parsed() -> None:
    assert code_of("x" * (domain.MAX_FRAME + 1)) == "too_large"
    assert code_of('{"type": "ping", "id": "' + "€" * (domain.MAX_FRAME // 3) + '"}') == "too_large"


def test_the_last_of_two_keys_counts_for_everybody() -> None:
    frame = frames.read('{"type": "message.send", "id": "1", "id": "2", "content": "a", "content": "b"}')
    assert isinstance(frame, frames.Said)
    assert (frame.id, frame.content) == ("2", "b")


@pytest.mark.parametrize("content", ["", "   ", "\n\t", "\u200b\u200d", "a\x00b", "x" * 8001])
def test_a_message_without_words_is_refused(content: str) -> None:
    with pytest.raises(PermanentError) as refused:
        frames.Said("1", content).check()
    assert refused.value.code == "bad_content"


@pytest.mark.parametrize(
    "content", ["x" * 8000, "نعم", "👋", "<script>alert(1)</script>", "a\r\nPUB conv.1.x 5", "\ufeffx"]
)
def test_words_of_every_kind_are_taken(content: str) -> None:
    frames.Said("1", content).check()


@pytest.mark.parametrize("name", ["", " ", "x" * 129, "5\x00", "a\r\nPUB x 0", "\u202e", "\n"])
def test_an_id_that_can_not_be_printed_is_refused(name: str) -> None:
    with pytest.raises(PermanentError) as refused:
        frames.Said(name, "Hello").check()
    assert refused.value.code == "bad_id"


@pytest.mark.parametrize("name", ["a.b", "*", ">", "../x", "$JS.API.STREAM.DELETE.X", "with space", "é", "e\u0301"])
def test_an_odd_id_is_taken_and_never_stands_in_a_subject(name: str) -> None:
    frames.Said(name, "Hello").check()
    assert domain.message_id("default", "c" * 23, name).isalnum()


def test_two_spellings_of_an_accent_are_two_ids() -> None:
    one, two = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")
    assert domain.message_id("t", "c", one) != domain.message_id("t", "c", two)


def test_the_same_id_in_two_conversations_is_two_messages() -> None:
    assert domain.message_id("t", "c1", "1") != domain.message_id("t", "c2", "1")
    assert domain.message_id("t1", "c", "1") != domain.message_id("t2", "c", "1")


@pytest.mark.parametrize(
    "thread", ["a.b", "*", ">", "", " " * 20, "x\r\nPUB a 0\r\n\r\n", "c" * 5000, "c\x00" * 10, "é" * 20, "../" * 8]
)
def test_a_thread_that_can_not_be_one_of_ours_is_refused(thread: str) -> None:
    hello = frames.read(json.dumps({"type": "hello", "ticket": "x", "threadId": thread}))
    assert isinstance(hello, frames.Hello)
    with pytest.raises(frames.BadFrame) as bad:
        frames.check_hello(hello)
    assert bad.value.code == "bad_id"


@pytest.mark.parametrize("since", [-1, 2**53, 2**62])
def test_a_place_that_can_not_be_is_refused(since: int) -> None:
    with pytest.raises(frames.BadFrame) as bad:
        frames.check_hello(frames.Hello("x", since=since))
    assert bad.value.code == "bad_seq"


@pytest.mark.parametrize("to", ["", "Billing", "a.b", ">", "x" * 64])
def test_only_a_name_can_be_asked_for(to: str) -> None:
    with pytest.raises(ParleyError):
        frames.AskPerson(to=to).check()


@given(st.recursive(st.none() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=30))
def test_depth_is_counted_as_a_parser_would(value: Any) -> None:
    def depth(item: Any) -> int:
        return 1 + max((depth(one) for one in item), default=0) if isinstance(item, list) else 0

    for limit in range(4):
        assert too_deep(json.dumps(value), limit) is (depth(value) > limit)


def test_brackets_in_a_text_do_not_count() -> None:
    assert not too_deep(json.dumps({"content": "[[[[" * 100 + '"{{{{'}))


def test_a_bucket_gives_what_it_has_and_fills_up_again() -> None:
    bucket = Bucket(60, 0.0)
    assert [bucket.take(0.0) for _ in range(60)] == [0] * 60
    assert bucket.take(0.0) == 1000
    assert bucket.take(0.5) == 500
    assert bucket.take(1.0) == 0
    assert [bucket.take(1000.0) for _ in range(61)][-1] > 0


def test_one_caller_does_not_use_up_what_another_needs() -> None:
    buckets = Buckets(1, limit=2)
    assert buckets.take("a", 0.0) == 0
    assert buckets.take("a", 0.0) > 0
    assert buckets.take("b", 0.0) == 0


def test_a_caller_is_forgotten_once_its_past_makes_no_difference() -> None:
    buckets = Buckets(60, limit=2)
    for at in (0.0, 0.0, 0.5):
        buckets.take("a", at)
    buckets.take("b", 2.0)
    assert len(buckets) == 2, "a has said three and got two of them back"
    buckets.take("b", 3.0)
    assert len(buckets) == 1
    for name in ("c", "d"):
        buckets.take(name, 3.0)
    assert len(buckets) == 2


def test_seats_are_counted_in_all_and_for_each() -> None:
    seats = Seats(total=2, each=1)
    ada, visitor = Session("t", "ada"), Session("t", "anonymous")
    assert seats.enter()
    assert seats.enter()
    assert not seats.enter()
    seats.leave()
    assert seats.enter()
    assert seats.claim(ada)
    assert not seats.claim(ada)
    seats.release(ada)
    assert seats.claim(ada)
    assert all(seats.claim(visitor) for _ in range(5))


ME = Identity("t", "p", "cus_0001")


def test_a_message_waits_until_its_owner_has_answered_it() -> None:
    line = Line("customer", "Hello", "m-1")
    turn = OpenTurn("t1", 1, "billing", 0, 0, [line])
    recent = {"m-1": "hash"}
    assert still_waiting(None, 5, "m-1")
    assert still_waiting(Checkpoint("c", ME, 0, last_in_seq=4), 5, "m-1")
    assert still_waiting(Checkpoint("c", ME, 0, last_in_seq=5, turn=turn, recent=recent), 5, "m-1")
    assert still_waiting(Checkpoint("c", ME, 0, last_in_seq=9, queue=[line], recent=recent), 5, "m-1")
    assert not still_waiting(Checkpoint("c", ME, 0, last_in_seq=9, recent=recent), 5, "m-1")
    # A repeat beyond the log's window changes nothing: `last_in_seq` never reaches it.
    assert not still_waiting(Checkpoint("c", ME, 0, last_in_seq=9, recent=recent), 12, "m-1")


def said(name: str) -> MessageShown:
    return MessageShown(name, "customer", "Hello", 0)


def answer(name: str, *answers: str) -> MessageShown:
    return MessageShown(name, "assistant", "Yes", 0, turn_id=name, final=True, answers=list(answers))


def numbered(*entries: Shown) -> list[tuple[int, Shown]]:
    return list(enumerate(entries, start=1))


def test_a_message_is_answered_by_what_names_it_whenever_it_was_sent() -> None:
    shown = numbered(said("m-1"), said("m-2"), answer("a", "m-1"), said("m-3"), answer("b", "m-2", "m-4"))
    assert answered_at(shown, "m-1") == 3
    assert answered_at(shown, "m-2") == 5
    assert answered_at(shown, "m-3") == 0


def test_a_cancelled_turn_answers_and_so_does_a_refusal_but_not_an_interruption() -> None:
    busy = MessageShown("own", "assistant", "Later", 0, answers=["m-2"])
    cancelled, interrupted = RunEnded("t1", "cancelled", 0, ["m-1"]), RunEnded("t0", "interrupted", 0)
    shown = numbered(said("m-1"), interrupted, said("m-2"), busy, cancelled)
    assert answered_at(shown, "m-1") == 5
    assert answered_at(shown, "m-2") == 4
