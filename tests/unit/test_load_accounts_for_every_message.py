"""What becomes of each message of a load test is told apart exactly, by the ids on the wire."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import pytest

from parley_testkit.requirements import project_root

sys.path.append(str(project_root() / "loadtest"))

from generator import frames
from generator.account import Account, Message
from generator.tally import Tally, Tick, joined

from parley_proto.envelope import digest
from parley_testkit.load_provider import Own, mark

THREAD = "c_0123456789abcdef"


class Page:
    """A customer's page whose frames the test writes; times are seconds of the run."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.tally.began = 0.0
        self.account = Account(self.tally)
        self.account.thread = THREAD

    def send(self, name: str, due: float = 0.0, at: float = 0.0) -> Message:
        message = Message(name, "Where is it?", due, at)
        self.account.send(message)
        return message

    def hear(self, at: float, **frame: Any) -> bool:
        return self.account.take(frames.read(msgspec.json.encode(frame).decode()), at)

    def ack(self, name: str, at: float = 0.1) -> None:
        self.hear(at, type="ack", id=name, messageId=log_id(name), seq=1, duplicate=False)

    def answer(self, *names: str, at: float, text: str = "Here.", reply: str = "r1", kind: str = "grounded") -> bool:
        self.event(at, type="TEXT_MESSAGE_START", messageId=reply, role="assistant")
        self.event(at, type="TEXT_MESSAGE_CONTENT", messageId=reply, delta=text)
        facts = {"parley": {"answers": [log_id(name) for name in names], "kind": kind}}
        return self.event(at, 9, type="TEXT_MESSAGE_END", messageId=reply, metadata=facts)

    def event(self, at: float, seq: int = 0, **ev: Any) -> bool:
        return self.hear(at, type="event", threadId=THREAD, seq=seq, ev=ev)

    @property
    def total(self) -> Tick:
        (tick,) = joined([msgspec.structs.replace(tick, second=0) for tick in self.tally.take()])
        return tick


def log_id(name: str) -> str:
    return digest("default", THREAD, name)


@pytest.fixture
def page() -> Page:
    return Page()


def test_an_answer_counts_once_and_takes_the_providers_own_time_off(page: Page) -> None:
    message = page.send("m1", due=0.0, at=0.002)
    page.ack("m1")
    page.event(0.160, type="TEXT_MESSAGE_START", messageId="r1", role="assistant")
    page.event(0.160, type="TEXT_MESSAGE_CONTENT", messageId="r1", delta="Here ")
    page.event(0.470, type="TEXT_MESSAGE_CONTENT", messageId="r1", delta=mark(Own(2, 150.0, 455.0)))
    facts = {"parley": {"answers": [log_id("m1")], "kind": "grounded"}}
    assert page.event(0.480, 7, type="TEXT_MESSAGE_END", messageId="r1", metadata=facts)
    assert message.settled and page.account.since == 7
    tick = page.total
    assert (tick.sent, tick.accepted, tick.answered, tick.duplicated, tick.calls, tick.waiting) == (1, 1, 1, 0, 2, 0)
    spent = {name: sum(counts.values()) for name, counts in tick.times.items()}
    assert spent == dict.fromkeys(("ack", "first_token", "answer", "overhead", "overhead_first", "overhead_end"), 1)


def test_the_echo_of_the_customers_own_words_is_no_answer(page: Page) -> None:
    message = page.send("m1")
    page.event(0.1, type="TEXT_MESSAGE_START", messageId=log_id("m1"), role="user")
    page.event(0.1, type="TEXT_MESSAGE_CONTENT", messageId=log_id("m1"), delta="Where is it?")
    assert not page.event(0.1, 2, type="TEXT_MESSAGE_END", messageId=log_id("m1"))
    assert not message.settled and not message.first_at


def test_a_second_answer_is_one_too_many_and_a_repeated_one_is_not(page: Page) -> None:
    page.send("m1")
    page.ack("m1")
    page.answer("m1", at=1, reply="r1")
    page.answer("m1", at=2, reply="r1")
    assert page.answer("m1", at=3, reply="r2") is False
    tick = page.total
    assert (tick.answered, tick.duplicated) == (1, 1)


def test_one_answer_may_be_for_several_messages(page: Page) -> None:
    for name in ("m1", "m2"):
        page.send(name)
        page.ack(name)
    assert page.answer("m1", "m2", at=1)
    assert page.total.answered == 2 and page.account.unsettled == []


def test_what_is_retracted_answers_nothing(page: Page) -> None:
    message = page.send("m1")
    page.ack("m1")
    page.event(0.2, type="TEXT_MESSAGE_START", messageId="r1", role="assistant")
    page.event(0.3, type="TEXT_MESSAGE_END", messageId="r1")
    assert not message.settled and page.account.unsettled == [message]


def test_a_refusal_with_a_time_to_come_again_is_no_error_and_one_without_is(page: Page) -> None:
    page.send("m1")
    page.send("m2")
    assert page.hear(0.1, type="error", id="m1", code="overloaded", message="…", retryAfterMs=1000)
    assert page.hear(0.1, type="error", id="m2", code="overloaded", message="…")
    tick = page.total
    assert (tick.refused, tick.errors, tick.waiting) == (1, 1, 0)


def test_a_turn_that_failed_is_answered_and_an_error(page: Page) -> None:
    page.send("m1")
    page.ack("m1")
    page.answer("m1", at=1, kind="failed")
    tick = page.total
    assert (tick.answered, tick.failed, tick.errors, tick.kinds) == (1, 1, 1, {"failed": 1})
    assert "overhead" not in tick.times


def test_an_answer_without_a_mark_is_timed_but_not_charged(page: Page) -> None:
    page.send("m1")
    page.answer("m1", at=1)
    tick = page.total
    assert (tick.accepted, tick.answered, tick.unmarked) == (1, 1, 1)
    assert "answer" in tick.times and "overhead" not in tick.times


def test_what_is_said_again_in_another_conversation_is_known_there(page: Page) -> None:
    message = page.send("m1")
    page.account.thread = "c_another_conversation"
    page.account.readdress([message])
    name = digest("default", "c_another_conversation", "m1")
    page.hear(1, type="ack", id="m1", messageId=name, seq=3)
    assert message.acked and page.total.errors == 0
