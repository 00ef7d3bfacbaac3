from __future__ import annotations

from typing import Any

from parley_cli.transcript import Transcript

FACTS = {"metadata": {"parley": {"specialty": "billing", "kind": "grounded"}}}


def start(name: str, role: str = "assistant", **more: Any) -> dict[str, Any]:
    return {"type": "TEXT_MESSAGE_START", "messageId": name, "role": role} | more


def words(name: str, text: str) -> dict[str, Any]:
    return {"type": "TEXT_MESSAGE_CONTENT", "messageId": name, "delta": text}


def end(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "TEXT_MESSAGE_END", "messageId": name} | more


def finished(**more: Any) -> dict[str, Any]:
    return {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"} | more


def follow(transcript: Transcript, *told: tuple[dict[str, Any], int]) -> list[list[str]]:
    return [[message.message_id for message in transcript.apply(ev, seq)] for ev, seq in told]


def test_an_answer_is_what_was_committed_when_the_run_ends() -> None:
    transcript = Transcript()
    done = follow(
        transcript,
        (start("m"), 0),
        (words("m", "It takes "), 0),
        (words("m", "five days."), 0),
        (end("m", **FACTS), 7),
        (finished(), 0),
    )
    assert done[-1] == ["m"] and done[:-1] == [[]] * 4
    assert transcript.answers[0].text == "It takes five days."
    assert transcript.answers[0].facts["specialty"] == "billing"
    assert transcript.since == 7


def test_words_that_were_taken_back_are_not_in_the_answer() -> None:
    transcript = Transcript()
    follow(transcript, (start("m"), 0), (words("m", "Wrong"), 0), (end("m"), 0))
    follow(transcript, (start("m"), 0), (words("m", "Right"), 0), (end("m", **FACTS), 3), (finished(), 0))
    assert [message.text for message in transcript.answers] == ["Right"]


def test_a_message_that_was_withdrawn_answers_nothing() -> None:
    transcript = Transcript()
    withdrawn = {"metadata": {"parley": {"retracted": True}}}
    follow(
        transcript, (start("m"), 0), (words("m", "x"), 0), (end("m"), 0), (start("m", **withdrawn), 0), (end("m"), 0)
    )
    assert follow(transcript, (finished(), 0)) == [[]]
    assert transcript.messages["m"].retracted


def test_the_echo_of_the_customer_is_no_answer() -> None:
    transcript = Transcript()
    follow(transcript, (start("c", "user"), 0), (words("c", "hello"), 0), (end("c"), 2))
    assert follow(transcript, (finished(), 0)) == [[]]


def test_a_run_that_the_customer_stopped_is_told_as_such() -> None:
    transcript = Transcript()
    transcript.apply(finished(outcome={"type": "cancelled"}))
    assert transcript.answers[0].facts["kind"] == "cancelled"


def test_what_is_replayed_is_not_answered_twice() -> None:
    transcript = Transcript()
    for _ in range(2):
        follow(transcript, (start("m"), 0), (words("m", "once"), 0), (end("m", **FACTS), 4), (finished(), 0))
    assert [message.message_id for message in transcript.answers] == ["m"]
    assert transcript.messages["m"].text == "once"


def test_two_different_answers_are_two() -> None:
    transcript = Transcript()
    for name in ("one", "two"):
        follow(transcript, (start(name), 0), (end(name, **FACTS), 4), (finished(), 0))
    assert {message.message_id for message in transcript.answers} == {"one", "two"}


def test_a_snapshot_stands_for_what_was_missed() -> None:
    transcript = Transcript()
    messages = [
        {"id": "c", "role": "user", "content": "hello"},
        {"id": "m", "role": "assistant", "content": "there", **FACTS},
    ]
    transcript.apply({"type": "MESSAGES_SNAPSHOT", "messages": messages}, 9)
    assert transcript.apply(finished())[0].text == "there"
    assert transcript.since == 9


def test_handoffs_and_notices_are_remembered() -> None:
    transcript = Transcript()
    for owner, previous in (("billing", ""), ("returns", "billing")):
        content = {"owner": owner, "previous": previous, "epoch": 2, "reason": "handoff"}
        transcript.apply(
            {"type": "ACTIVITY_SNAPSHOT", "messageId": f"h-{owner}", "activityType": "handoff", "content": content}
        )
    notice = {"text": "closed", "severity": "info"}
    transcript.apply({"type": "ACTIVITY_SNAPSHOT", "messageId": "n", "activityType": "notice", "content": notice})
    assert [(handoff.previous, handoff.owner) for handoff in transcript.handoffs] == [("billing", "returns")]
    assert transcript.notices == {"n": "closed"}
