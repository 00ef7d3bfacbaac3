"""The recorder's side of the checker: frames in, a history out that says neither more nor less than they do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from parley_mesh.bus import Stored
from parley_proto.conversation import CustomerMessage, MessageShown, NoticeShown, OwnerChanged, RunEnded
from parley_proto.envelope import digest, encode
from parley_proto.errors import ConflictError
from parley_testkit.history.reading import read
from parley_testkit.history.recorder import Recorder
from parley_testkit.history.records import Answer, Commit, Fail, Info, Invoke, Ok, Record
from parley_testkit.history.scripts import Act, Ask, script
from parley_testkit.history.server import commit_of
from parley_testkit.history.verdict import judge
from parley_testkit.history.witness import Witness

THREAD = "cAAAAAAAAAAAAAAAAAAAAAA"


class Wire:
    """Plays a client's frames to a witness and reads back what it wrote."""

    def __init__(self, recorder: Recorder) -> None:
        self.witness = Witness(recorder)
        self.path = recorder.path

    def send(self, name: str) -> None:
        self.witness.sent(THREAD, {"type": "message.send", "id": name, "content": "hello"})

    def ack(self, name: str, seq: int, *, duplicate: bool = False) -> None:
        frame = {"type": "ack", "id": name, "messageId": f"log-{name}", "seq": seq, "duplicate": duplicate}
        self.witness.received(THREAD, frame)

    def refuse(self, name: str, code: str, **more: Any) -> None:
        self.witness.received(THREAD, {"type": "error", "id": name, "code": code, "message": "No.", **more})

    def echo(self, name: str, seq: int) -> None:
        self._end(f"log-{name}", {"clientId": name}, seq)

    def answer(self, answer: str, seq: int, *names: str, **facts: Any) -> None:
        self._end(answer, {"kind": "grounded", "answers": [f"log-{name}" for name in names], **facts}, seq)

    def _end(self, shown: str, facts: dict[str, Any], seq: int) -> None:
        ev = {"type": "TEXT_MESSAGE_END", "messageId": shown, "metadata": {"parley": facts}}
        self.witness.received(THREAD, {"type": "event", "threadId": THREAD, "ev": ev, "seq": seq})

    def end_run(self, run: str, seq: int, **facts: Any) -> None:
        ev = {"type": "RUN_FINISHED", "runId": run, "outcome": {"type": "cancelled"}, "metadata": {"parley": facts}}
        self.witness.received(THREAD, {"type": "event", "threadId": THREAD, "ev": ev, "seq": seq})

    @property
    def records(self) -> list[Record]:
        return [record for _, record in read(self.path)]

    @property
    def kinds(self) -> list[type]:
        return [type(record) for record in self.records]


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    with Recorder(tmp_path / "history.jsonl") as recorder:
        yield Wire(recorder)


def test_a_message_and_its_answer_are_told_by_the_clients_own_id(wire: Wire) -> None:
    wire.send("m")
    wire.ack("m", 3)
    wire.echo("m", 4)
    wire.answer("a", 7, "m", specialty="billing", epoch=2)
    _, ok, answer = wire.records
    assert isinstance(ok, Ok) and (ok.message, ok.seq, ok.log_id) == ("m", 3, "log-m")
    assert isinstance(answer, Answer) and (answer.messages, answer.answer) == (["m"], "a")
    assert (answer.epoch, answer.owner, answer.seq, answer.told) == (2, "billing", 7, "")
    assert wire.witness.accepted == wire.witness.answered == {"m"} and not wire.witness.waiting


def test_what_was_lost_with_its_connection_is_in_doubt_until_a_resend_is_acked(wire: Wire) -> None:
    wire.send("m")
    wire.witness.lost(THREAD)
    wire.send("m")
    wire.ack("m", 3, duplicate=True)
    assert wire.kinds == [Invoke, Info, Invoke, Ok]
    assert [record.attempt for record in wire.records if isinstance(record, Invoke)] == [1, 2]


def test_a_resend_after_a_silence_says_that_the_first_is_in_doubt(wire: Wire) -> None:
    wire.send("m")
    wire.send("m")
    assert wire.kinds == [Invoke, Info, Invoke]


def test_an_acked_message_is_not_in_doubt_when_the_connection_is_lost(wire: Wire) -> None:
    wire.send("m")
    wire.ack("m", 3)
    wire.witness.lost(THREAD)
    assert wire.kinds == [Invoke, Ok] and wire.witness.waiting == {"m"}


@pytest.mark.parametrize("code", ["bad_content", "id_reused", "bad_id"])
def test_a_refusal_for_good_is_a_failure(wire: Wire, code: str) -> None:
    wire.send("m")
    wire.refuse("m", code)
    assert wire.kinds == [Invoke, Fail]


def test_a_refusal_for_good_does_not_take_back_an_earlier_doubt(wire: Wire) -> None:
    wire.send("m")
    wire.refuse("m", "unavailable", retryAfterMs=200)
    wire.send("m")
    wire.refuse("m", "id_reused")
    assert wire.kinds == [Invoke, Info, Invoke, Info]


def test_too_fast_leaves_nothing_in_doubt(wire: Wire) -> None:
    wire.send("m")
    wire.refuse("m", "rate_limited", retryAfterMs=20)
    wire.send("m")
    wire.refuse("m", "bad_content")
    assert wire.kinds == [Invoke, Invoke, Fail]


def test_an_echo_alone_says_that_a_message_was_taken(wire: Wire) -> None:
    wire.send("m")
    wire.witness.lost(THREAD)
    wire.echo("m", 4)
    assert wire.witness.waiting == {"m"}
    wire.answer("a", 5, "m")
    verdict = judge(read(wire.path))
    assert verdict.clean and verdict.recovered == 1 and not wire.witness.waiting


def test_a_message_that_was_set_aside_is_known_without_ack_or_echo(wire: Wire) -> None:
    wire.send("m")
    wire.witness.lost(THREAD)
    wire.answer("a", 5, kind="failed", answers=[digest("default", THREAD, "m")])
    verdict = judge(read(wire.path))
    assert verdict.clean and (verdict.recovered, verdict.told) == (1, {"failed": 1})


def test_one_answer_to_two_messages_is_one_record(wire: Wire) -> None:
    for number, name in enumerate(("m", "n"), start=1):
        wire.send(name)
        wire.ack(name, number)
    wire.answer("a", 5, "m", "n")
    wire.answer("a", 5, "m", "n")
    verdict = judge(read(wire.path))
    assert verdict.clean and (verdict.answered, verdict.merged) == (2, 1)
    assert wire.kinds.count(Answer) == 1


@pytest.mark.parametrize("kind", ["failed", "refused"])
def test_an_honest_sentence_answers_and_is_told_apart(wire: Wire, kind: str) -> None:
    wire.send("m")
    wire.ack("m", 1)
    wire.answer("a", 5, "m", kind=kind)
    verdict = judge(read(wire.path))
    assert verdict.clean and verdict.told == {kind: 1}


def test_a_cancelled_run_answers_for_good_what_it_was_to_answer_and_an_interrupted_one_does_not(wire: Wire) -> None:
    wire.send("m")
    wire.ack("m", 1)
    wire.end_run("t", 5, reason="interrupted")
    assert wire.witness.waiting == {"m"}
    wire.end_run("u", 6, reason="cancelled", answers=["log-m"])
    verdict = judge(read(wire.path))
    assert verdict.clean and verdict.told == {"cancelled": 1} and not wire.witness.waiting


def test_an_answer_to_what_this_customer_never_sent_is_a_phantom(wire: Wire) -> None:
    wire.send("m")
    wire.ack("m", 1)
    wire.answer("a", 5, "m", "somebody-elses")
    found = judge(read(wire.path)).violations
    assert [(one.kind, one.message) for one in found] == [("phantom", "log-somebody-elses")]


def test_a_snapshot_tells_answers_and_leaves_out_what_only_the_owner_remembers(wire: Wire) -> None:
    wire.send("m")
    wire.ack("m", 1)
    messages = [
        {"id": "log-m", "role": "user", "metadata": {"parley": {"clientId": "m"}}},
        {"id": "a", "role": "assistant", "metadata": {"parley": {"kind": "grounded", "answers": ["log-m"]}}},
        {"id": "old", "role": "assistant", "metadata": {"parley": {"specialty": "billing"}}},
    ]
    ev = {"type": "MESSAGES_SNAPSHOT", "messages": messages}
    wire.witness.received(THREAD, {"type": "event", "threadId": THREAD, "ev": ev, "seq": 9})
    assert [record.answer for record in wire.records if isinstance(record, Answer)] == ["a"]
    assert judge(read(wire.path)).clean


def test_words_that_are_not_committed_are_no_answer(wire: Wire) -> None:
    wire.send("m")
    wire.ack("m", 1)
    ev = {"type": "TEXT_MESSAGE_END", "messageId": "a"}
    wire.witness.received(THREAD, {"type": "event", "threadId": THREAD, "ev": ev})
    assert wire.kinds == [Invoke, Ok]


def test_a_history_has_one_writer_and_each_line_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with Recorder(path) as recorder:
        recorder.write(Invoke(conversation="c", message="m"))
        ((number, record),) = read(path)
        assert number == 1 and isinstance(record, Invoke) and record.at > 0
        with pytest.raises(ConflictError, match="Somebody else"), Recorder(path):
            pass
    with Recorder(path) as again:
        again.write(Ok(conversation="c", message="m", seq=1, at=5))
    assert [type(one) for _, one in read(path)] == [Invoke, Ok]


def test_the_log_tells_who_showed_what_in_which_epoch() -> None:
    shown = MessageShown("a" * 16, "assistant", "Yes.", 1, specialty="billing", epoch=3)
    change = OwnerChanged("returns", "billing", 4, "handoff", 2)
    assert commit_of(stored(shown)) == Commit(
        conversation=THREAD, message="a" * 16, epoch=3, owner="billing", revision=7, at=9
    )
    assert commit_of(stored(change)) == Commit(conversation=THREAD, epoch=4, owner="returns", revision=7, at=9)


def test_the_customers_words_notices_and_ended_runs_are_nobodys_commits() -> None:
    echo = MessageShown("m" * 16, "customer", "Hello", 1, client_id="m")
    for entry in (echo, NoticeShown("n", "Slow today.", "info", 1), RunEnded("t", "cancelled", 1)):
        assert commit_of(stored(entry)) is None


def test_a_script_follows_from_its_seed_and_ends_in_a_side_effect() -> None:
    one, again, other = script(6, Random("1/0")), script(6, Random("1/0")), script(6, Random("1/1"))
    assert one == again != other
    assert len(one) == 7 and isinstance(one[-1], Act)
    assert isinstance(one[0], Ask) and len(one[0].texts) == 1


def stored(entry: MessageShown | OwnerChanged | NoticeShown | RunEnded | CustomerMessage) -> Stored:
    return Stored(f"out.{THREAD}", 7, encode(entry), {}, 9)
