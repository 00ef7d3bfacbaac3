"""Whatever happens to a conversation, in whatever order it is heard: the events are legal and the text is the log's."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from gateway_agui import Screen, Verifier
from hypothesis import given, settings
from hypothesis import strategies as st

from parley_gateway.agui import Translator
from parley_gateway.said import Said
from parley_gateway.shadow import Shadow
from parley_proto.broadcast import Notice
from parley_proto.conversation import (
    Delta,
    MessageShown,
    NoticeShown,
    OwnerChanged,
    RunEnded,
    StepShown,
    ToolShown,
)
from parley_proto.specialist import Citation
from parley_testkit.samples import AT

TURNS = [f"t{n}" * 16 for n in range(2)]
names = st.sampled_from(["m-1", "m-2", "m-5"])
turns = st.sampled_from(["", TURNS[0], *TURNS])
words = st.text("ab c", max_size=6)
attempts = st.sampled_from([1, 1, 1, 2])
states = st.sampled_from(["started", "finished"])

message = st.builds(
    MessageShown,
    names,
    st.sampled_from(["customer", "assistant", "system"]),
    words,
    st.just(AT),
    turn_id=turns,
    client_id=st.sampled_from(["", "1"]),
    kind=st.sampled_from(["", "grounded", "failed"]),
    citations=st.sampled_from([[], [Citation(1, "Fees")]]),
    final=st.sampled_from([False, False, True]),
)
changed = st.builds(
    OwnerChanged,
    st.sampled_from(["billing", "technical"]),
    st.sampled_from(["", "account"]),
    st.integers(1, 9),
    st.sampled_from(["routed", "handoff", "customer_choice", "released"]),
    st.just(AT),
    turns,
)
notice_shown = st.builds(NoticeShown, st.sampled_from(["n-1", "n-2"]), words, st.just("info"), st.just(AT))
ended = st.builds(RunEnded, turns, st.just("cancelled"), st.just(AT))
entry = st.one_of(message, message, changed, notice_shown, ended)
delta = st.builds(
    Delta,
    st.sampled_from(TURNS),
    attempts,
    names,
    st.just("billing"),
    st.sampled_from([0, 0, 0, 1, 4]),
    words.filter(bool),
)
step = st.builds(StepShown, st.sampled_from(TURNS), attempts, st.sampled_from(["retrieve", "complete"]), states)
tool = st.builds(
    ToolShown, st.sampled_from(TURNS), attempts, st.sampled_from(["c-1", "c-2"]), st.just("list_payments"), states
)
broadcast = st.builds(Notice, st.sampled_from(["n-1", "n-2", "n-3"]), st.just("outage"), words, st.just(AT + 1000))
history = st.lists(st.one_of(message, entry, delta, delta, delta, step, tool, broadcast), max_size=30)


def tell(translator: Translator, what: Any, seq: int) -> list[Said]:
    if isinstance(what, Notice):
        return translator.notice(what)
    if isinstance(what, Delta | StepShown | ToolShown):
        return translator.live(what)
    return translator.shown(seq, what)


def committed(told: list[Any]) -> dict[str, str]:
    """The text of each message as the log has it: what comes first under an id stands."""
    texts: dict[str, str] = {}
    for what in told:
        if isinstance(what, MessageShown):
            texts.setdefault(what.message_id, what.text)
    return {name: text for name, text in texts.items() if text}


@settings(max_examples=400, deadline=None)
@given(history)
def test_a_socket_gets_legal_events_and_the_committed_texts(told: list[Any]) -> None:
    translator, verifier, screen = Translator("c1"), Verifier(), Screen(replaces=True)
    numbers: list[int] = []
    for seq, what in enumerate([*told, RunEnded(TURNS[0], "done", AT)], start=1):
        for said in tell(translator, what, seq):
            verifier.feed(said.ev)
            screen.feed(said.ev)
            numbers += [said.seq] if said.seq else []
    assert not verifier.in_run
    assert numbers == sorted(set(numbers))
    shown = {m["id"]: m["content"] for m in screen.messages if m["content"]}
    assert shown == committed(told)


@settings(max_examples=400, deadline=None)
@given(history, st.booleans())
def test_a_stock_client_gets_one_legal_run_and_the_committed_texts(told: list[Any], fails: bool) -> None:
    mine: list[dict[str, Any]] = [{"id": "1", "role": "user", "content": "Hello"}]
    translator = Translator("thread", run_id="run", hidden="m-5", shadow=Shadow(mine))
    verifier, screen = Verifier(), Screen(replaces=False, messages=mine)
    said = translator.begin()
    for seq, what in enumerate(told, start=1):
        said += tell(translator, what, seq)
    said += translator.fail("timeout", "Later.") if fails else translator.end()
    for item in said:
        verifier.feed(item.ev)
        screen.feed(item.ev)
    assert verifier.runs == 1
    assert not verifier.in_run
    shown = {m["id"]: m["content"] for m in screen.messages if m.get("content") and m["id"] != "1"}
    expected = committed(told)
    expected.pop("m-5", None)
    shown.pop("m-5", None)
    assert shown == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(entry, max_size=25), st.integers(0, 25))
def test_a_resume_tells_exactly_what_was_missed(entries: list[Any], since: int) -> None:
    whole, resumed = Translator("c1"), Translator("c1")
    first = [said for seq, what in enumerate(entries, start=1) for said in whole.shown(seq, what)]
    resumed.skip_to(since)
    second = [said for seq, what in enumerate(entries, start=1) for said in resumed.shown(seq, what)]
    verifier = Verifier()
    for said in second:
        verifier.feed(said.ev)
    missed = {said.seq for said in first if said.seq > since}
    again = {said.seq for said in second if said.seq}
    assert missed <= again
    assert all(seq > since for seq in again)


@st.composite
def streamed(draw: st.DrawFn) -> tuple[list[str], list[Delta]]:
    """The texts of some attempts at one answer, and their deltas as a reader may hear them: cut, lost, mixed up."""
    texts = draw(st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=3))
    deltas = []
    for attempt, text in enumerate(texts, start=1):
        cuts = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=5))})
        pieces = [Delta(TURNS[0], attempt, "m-1", "billing", a, text[a:b]) for a, b in pairwise(cuts)]
        deltas += [piece for piece in pieces if draw(st.sampled_from([True, True, True, False]))]
    late = draw(st.lists(st.integers(0, max(len(deltas) - 1, 0)), max_size=2))
    return texts, deltas + [deltas[n] for n in late if n < len(deltas)]


@settings(max_examples=400, deadline=None)
@given(streamed())
def test_what_is_streamed_is_always_the_beginning_of_an_attempt(case: tuple[list[str], list[Delta]]) -> None:
    texts, deltas = case
    translator, verifier, screen = Translator("c1"), Verifier(), Screen(replaces=True)
    newest = 0
    for item in deltas:
        newest = max(newest, item.attempt)
        for said in translator.live(item):
            verifier.feed(said.ev)
            screen.feed(said.ev)
        assert texts[newest - 1].startswith(screen.texts().get("m-1", ""))
