"""From the resume log over the gateway's wire to the client: which messages an answer is to, and in which epoch."""

from __future__ import annotations

from typing import Any

from parley_cli.transcript import Message, Transcript
from parley_gateway.agui import Translator
from parley_proto.conversation import MessageShown, RunEnded

THREAD = "cAAAAAAAAAAAAAAAAAAAAAA"
FIRST, SECOND = "1" * 32, "2" * 32


def echo(log_id: str, client_id: str) -> MessageShown:
    return MessageShown(log_id, "customer", "hello", 1, client_id=client_id)


def answer(name: str, turn: str, *answers: str, **more: Any) -> MessageShown:
    return MessageShown(
        name, "assistant", "Yes.", 1, turn_id=turn, kind="grounded", final=True, answers=list(answers), **more
    )


class Client:
    """A transcript at the other end of a translator."""

    def __init__(self) -> None:
        self.transcript = Transcript()
        self._translator = Translator(THREAD)
        self._seq = 0

    def shown(self, *entries: MessageShown | RunEnded) -> list[Message]:
        """What the runs that end with `entries` have answered with."""
        done: list[Message] = []
        for entry in entries:
            self._seq += 1
            for said in self._translator.shown(self._seq, entry):
                done += self.transcript.apply(said.ev, said.seq)
        return done


def test_an_answer_names_the_messages_it_answers_and_its_epoch_on_the_wire() -> None:
    client = Client()
    (done,) = client.shown(echo(FIRST, "one"), answer("a" * 32, "t" * 32, FIRST, epoch=3))
    assert (done.facts["answers"], done.facts["epoch"]) == ([FIRST], 3)


def test_an_echo_answers_nothing() -> None:
    client = Client()
    client.shown(echo(FIRST, "one"))
    assert "answers" not in client.transcript.messages[FIRST].facts


def test_a_message_that_waits_behind_a_turn_is_not_answered_by_it() -> None:
    client = Client()
    done = client.shown(echo(FIRST, "one"), echo(SECOND, "two"), answer("a" * 32, "t" * 32, FIRST))
    assert client.transcript.answering("one", "", done) == done
    assert client.transcript.answering("two", "", done) == []
    later = client.shown(answer("b" * 32, "u" * 32, SECOND))
    assert client.transcript.answering("two", "", later) == later


def test_one_answer_to_two_messages_is_to_both() -> None:
    client = Client()
    done = client.shown(echo(FIRST, "one"), echo(SECOND, "two"), answer("a" * 32, "t" * 32, FIRST, SECOND))
    assert client.transcript.answering("one", "", done) == client.transcript.answering("two", "", done) == done


def test_a_message_without_an_echo_is_known_by_the_id_of_its_ack() -> None:
    client = Client()
    done = client.shown(answer("a" * 32, "t" * 32, FIRST))
    assert client.transcript.answering("one", FIRST, done) == done
    assert client.transcript.answering("one", "", done) == []


def test_a_cancelled_run_names_what_it_leaves_unanswered() -> None:
    client = Client()
    done = client.shown(echo(FIRST, "one"), RunEnded("t" * 32, "cancelled", 1, [FIRST]))
    assert [(one.facts["kind"], one.facts["answers"]) for one in done] == [("cancelled", [FIRST])]
    assert client.transcript.answering("one", "", done) == done


def test_an_interrupted_run_answers_nothing_and_the_next_one_does() -> None:
    client = Client()
    assert client.shown(echo(FIRST, "one"), RunEnded("t" * 32, "interrupted", 1)) == []
    done = client.shown(echo(SECOND, "two"), answer("b" * 32, "u" * 32, FIRST, SECOND))
    assert client.transcript.answering("one", "", done) == done


def test_where_the_mesh_does_not_say_it_a_run_after_the_echo_counts() -> None:
    client = Client()
    before = client.shown(answer("a" * 32, "t" * 32))
    assert client.transcript.answering("one", FIRST, before) == []
    after = client.shown(echo(FIRST, "one"), answer("b" * 32, "u" * 32))
    assert client.transcript.answering("one", "", after) == after
