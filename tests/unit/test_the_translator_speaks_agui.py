"""What a reader of a conversation is told: each kind of entry and delta as AG-UI events."""

from __future__ import annotations

from typing import Any

import pytest
from gateway_agui import OutOfOrder, Screen, Verifier

from parley_gateway.agui import Translator
from parley_gateway.said import Said
from parley_gateway.shadow import Shadow
from parley_proto.conversation import (
    Delta,
    MessageShown,
    NoticeShown,
    OwnerChanged,
    RunEnded,
    StepShown,
    ToolShown,
)
from parley_testkit.samples import AT, CITATION, NOTICE, TURN

REPLY = "reply-1"
ECHO = MessageShown("m-1", "customer", "I was charged twice", AT, client_id="1")
ANSWER = MessageShown(
    REPLY,
    "assistant",
    "It was charged twice [1].",
    AT,
    turn_id=TURN,
    specialty="billing",
    kind="grounded",
    model="sample",
    offline=True,
    citations=[CITATION],
    final=True,
)


class Reader:
    """A translator with a verifier and a screen behind it."""

    def __init__(self, translator: Translator | None = None, screen: Screen | None = None) -> None:
        self.translator = translator or Translator("c1")
        self.verifier = Verifier()
        self.screen = screen or Screen(replaces=True)
        self.events: list[Said] = []

    def hears(self, said: list[Said]) -> list[str]:
        for item in said:
            self.verifier.feed(item.ev)
            self.screen.feed(item.ev)
        self.events += said
        return [item.ev["type"] for item in said]

    def shown(self, seq: int, entry: Any) -> list[str]:
        return self.hears(self.translator.shown(seq, entry))

    def live(self, item: Any) -> list[str]:
        return self.hears(self.translator.live(item))


def delta(text: str, offset: int = 0, attempt: int = 1, turn: str = TURN, message: str = REPLY) -> Delta:
    return Delta(turn, attempt, message, "billing", offset, text)


def test_a_message_and_its_streamed_answer_are_one_run() -> None:
    reader = Reader()
    assert reader.shown(2, ECHO) == ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"]
    assert reader.live(delta("It was ")) == ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"]
    assert reader.live(delta("charged twice [1].", 7)) == ["TEXT_MESSAGE_CONTENT"]
    assert reader.shown(5, ANSWER) == ["TEXT_MESSAGE_END", "RUN_FINISHED"]
    assert [said.seq for said in reader.events if said.seq] == [2, 5]
    assert reader.screen.texts("user") == {"m-1": "I was charged twice"}
    assert reader.screen.texts() == {REPLY: ANSWER.text}


def test_the_end_of_an_answer_tells_what_parley_knows_of_it() -> None:
    reader = Reader()
    reader.shown(2, ECHO)
    reader.shown(5, ANSWER)
    end = next(said.ev for said in reader.events if said.seq == 5)
    facts = end["metadata"]["parley"]
    assert facts["offline"] is True
    assert facts["specialty"] == "billing"
    assert facts["citations"][0]["title"] == CITATION.title


def test_a_new_attempt_takes_back_the_words_of_the_last() -> None:
    reader = Reader()
    reader.shown(2, ECHO)
    reader.live(delta("Some wrong"))
    assert reader.live(delta("It was", attempt=2)) == ["TEXT_MESSAGE_END", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"]
    assert reader.live(delta(" words", 10)) == []
    assert reader.screen.texts() == {REPLY: "It was"}


def test_after_a_gap_no_words_are_shown_until_the_text_is_committed() -> None:
    reader = Reader()
    reader.shown(2, ECHO)
    reader.live(delta("It was "))
    assert reader.live(delta("twice", 15)) == []
    assert reader.live(delta("charged", 7)) == []
    reader.shown(5, ANSWER)
    assert reader.screen.texts() == {REPLY: ANSWER.text}


def test_words_that_were_not_committed_are_replaced() -> None:
    reader = Reader()
    reader.live(delta("Something else entirely"))
    reader.shown(5, ANSWER)
    assert reader.screen.texts() == {REPLY: ANSWER.text}


def test_words_for_a_committed_message_are_dropped() -> None:
    reader = Reader()
    reader.shown(5, ANSWER)
    assert reader.live(delta("It was")) == []


def test_an_entry_is_told_once() -> None:
    reader = Reader()
    reader.shown(5, ANSWER)
    assert reader.shown(5, ANSWER) == []
    assert reader.shown(2, ECHO) == []


def test_a_handoff_is_an_activity_and_a_change_of_state() -> None:
    reader = Reader()
    reader.shown(2, ECHO)
    reader.live(StepShown(TURN, 1, "retrieve", "started"))
    reader.live(delta("Let me hand you"))
    kinds = reader.shown(4, OwnerChanged("technical", "billing", 2, "handoff", AT, TURN))
    assert kinds[-2:] == ["ACTIVITY_SNAPSHOT", "STATE_DELTA"]
    assert reader.screen.texts() == {}
    assert reader.screen.state["parley"] == {"owner": "technical", "epoch": 2}
    assert reader.events[-1].seq == 4
    assert reader.live(delta(" over", 15)) == []
    reader.live(delta("Try this", turn="t" + "1" * 32, message="reply-2"))
    assert reader.screen.texts() == {"reply-2": "Try this"}


def test_steps_and_tools_are_closed_before_the_run() -> None:
    reader = Reader()
    reader.live(StepShown(TURN, 1, "retrieve", "started"))
    reader.live(ToolShown(TURN, 1, "call-1", "list_payments", "started"))
    reader.live(ToolShown(TURN, 1, "call-2", "find_order", "started"))
    reader.live(ToolShown(TURN, 1, "call-1", "list_payments", "finished"))
    kinds = reader.shown(5, ANSWER)
    assert kinds.count("TOOL_CALL_END") == 1
    assert kinds[-1] == "RUN_FINISHED"
    assert not reader.verifier.in_run


def test_a_repeated_call_of_a_new_attempt_is_another_call() -> None:
    reader = Reader()
    for attempt in (1, 2):
        reader.live(ToolShown(TURN, attempt, "call-1", "list_payments", "started"))
    started = [said.ev["toolCallId"] for said in reader.events if said.ev["type"] == "TOOL_CALL_START"]
    assert len(set(started)) == 2


def test_a_cancelled_turn_ends_its_run_and_keeps_nothing() -> None:
    reader = Reader()
    reader.shown(2, ECHO)
    reader.live(delta("It was"))
    assert reader.shown(4, RunEnded(TURN, "cancelled", AT))[-1] == "RUN_FINISHED"
    assert reader.events[-1].ev["outcome"] == {"type": "cancelled"}
    assert reader.events[-1].seq == 4
    assert reader.screen.texts() == {}
    assert reader.live(delta(" late", 6)) == []


def test_a_notice_between_runs_is_a_short_run_and_told_once() -> None:
    reader = Reader()
    assert reader.hears(reader.translator.notice(NOTICE)) == ["RUN_STARTED", "ACTIVITY_SNAPSHOT", "RUN_FINISHED"]
    assert reader.shown(3, NoticeShown(NOTICE.notice_id, NOTICE.text, "warning", AT)) == []
    reader.shown(4, ECHO)
    assert reader.shown(5, NoticeShown("notice-2", "Slow today.", "info", AT)) == ["ACTIVITY_SNAPSHOT"]


def test_an_unsolicited_message_is_its_own_short_run() -> None:
    reader = Reader()
    kinds = reader.shown(3, MessageShown("m-9", "assistant", "Are you still there?", AT))
    assert (kinds[0], kinds[-1]) == ("RUN_STARTED", "RUN_FINISHED")
    assert not reader.verifier.in_run


def test_a_failed_answer_is_text_and_no_error() -> None:
    reader = Reader()
    reader.shown(2, ECHO)
    reader.live(delta("It was"))
    failed = MessageShown(REPLY, "assistant", "Please ask me again.", AT, turn_id=TURN, kind="failed", final=True)
    assert reader.shown(5, failed)[-1] == "RUN_FINISHED"
    assert reader.screen.texts() == {REPLY: "Please ask me again."}


def test_a_message_during_a_run_stays_in_it() -> None:
    reader = Reader()
    reader.shown(2, ECHO)
    reader.live(delta("It was"))
    reader.shown(3, MessageShown("m-2", "customer", "Hello?", AT, client_id="2"))
    reader.shown(5, ANSWER)
    assert reader.verifier.runs == 1
    assert reader.screen.texts("user") == {"m-1": "I was charged twice", "m-2": "Hello?"}


def test_a_stock_client_sees_the_committed_text_only() -> None:
    mine: list[dict[str, Any]] = [{"id": "1", "role": "user", "content": "I was charged twice"}]
    translator = Translator("thread", run_id="run-1", hidden="m-1", shadow=Shadow(mine))
    reader = Reader(translator, Screen(replaces=False, messages=mine))
    reader.hears(translator.begin())
    assert reader.shown(2, ECHO) == []
    reader.live(ToolShown(TURN, 1, "call-1", "list_payments", "started"))
    reader.live(ToolShown(TURN, 1, "call-1", "list_payments", "finished"))
    reader.live(delta("Some wrong"))
    reader.live(delta("Still wr", attempt=2))
    reader.shown(5, ANSWER)
    assert reader.hears(translator.end()) == ["RUN_FINISHED"]
    assert reader.screen.texts() == {REPLY: ANSWER.text}
    assert reader.screen.texts("user") == {"1": "I was charged twice"}
    assert {said.ev["runId"] for said in reader.events if "runId" in said.ev} == {"run-1"}


def test_a_fixed_run_can_fail() -> None:
    translator = Translator("thread", run_id="run-1", shadow=Shadow([]))
    reader = Reader(translator, Screen(replaces=False))
    reader.hears(translator.begin())
    reader.live(delta("It was"))
    assert reader.hears(translator.fail("timeout", "Later."))[-1] == "RUN_ERROR"


@pytest.mark.parametrize(
    "broken",
    [
        [{"type": "TEXT_MESSAGE_END", "messageId": "m"}],
        [{"type": "RUN_STARTED", "threadId": "t", "runId": "r"}] * 2,
        [
            {"type": "RUN_STARTED", "threadId": "t", "runId": "r"},
            {"type": "STEP_STARTED", "stepName": "s"},
            {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"},
        ],
        [
            {"type": "RUN_STARTED", "threadId": "t", "runId": "r"},
            {"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"},
            {"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"},
        ],
    ],
)
def test_the_verifier_catches_what_a_client_would_refuse(broken: list[dict[str, Any]]) -> None:
    verifier = Verifier()
    for event in broken[:-1]:
        verifier.feed(event)
    with pytest.raises(OutOfOrder):
        verifier.feed(broken[-1])
