"""The outbox: words are put together, nothing else is dropped, and there is an end to it."""

from __future__ import annotations

import asyncio

import pytest

from parley_gateway import events
from parley_gateway.outbox import MAX_CHARACTERS, Outbox, Plain
from parley_gateway.said import Said


def words(text: str, message: str = "m") -> Said:
    return Said(events.text_content(message, text))


async def test_words_of_one_message_become_one_event() -> None:
    outbox = Outbox(lambda: None)
    outbox.push(Said(events.text_start("m", "assistant")))
    for word in ("one ", "two ", "three"):
        outbox.push(words(word))
    outbox.push(Said(events.text_end("m"), 7))
    start, content, end = await outbox.take()
    assert isinstance(content, Said)
    assert content.ev["delta"] == "one two three"
    assert isinstance(start, Said)
    assert (start.ev["type"], end) == ("TEXT_MESSAGE_START", Said(events.text_end("m"), 7))


async def test_words_of_two_messages_stay_apart() -> None:
    outbox = Outbox(lambda: None)
    for item in (words("a"), words("b", "other"), words("c"), Plain({"type": "pong"}), words("d")):
        outbox.push(item)
    assert len(await outbox.take()) == 5


async def test_what_was_taken_does_not_change_any_more() -> None:
    outbox = Outbox(lambda: None)
    outbox.push(words("a"))
    (taken,) = await outbox.take()
    outbox.push(words("b"))
    assert isinstance(taken, Said)
    assert taken.ev["delta"] == "a"


async def test_a_full_outbox_overflows_and_takes_nothing_more() -> None:
    told: list[str] = []
    outbox = Outbox(lambda: told.append("overflow"), limit=4)
    for number in range(6):
        outbox.push(Plain({"n": number}))
    assert outbox.overflowed and told == ["overflow"]
    assert [item for item in outbox.drain() if isinstance(item, Plain)] == [Plain({"n": n}) for n in range(4)]
    outbox.push(Plain({"n": 9}))
    assert len(outbox) == 0


async def test_endless_words_overflow_too() -> None:
    outbox = Outbox(lambda: None)
    for _ in range(MAX_CHARACTERS // 10_000 + 1):
        outbox.push(words("x" * 10_000))
    assert outbox.overflowed


async def test_a_replay_waits_for_a_slow_reader() -> None:
    outbox = Outbox(lambda: None, limit=4)
    outbox.push(Plain({}))
    outbox.push(Plain({}))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outbox.roomy(), 0.01)
    waiting = asyncio.create_task(outbox.roomy())
    await outbox.take()
    await waiting


async def test_a_closed_outbox_gives_out_what_it_has_and_then_nothing() -> None:
    outbox = Outbox(lambda: None)
    outbox.push(Plain({"n": 1}))
    outbox.close()
    outbox.push(Plain({"n": 2}))
    assert await outbox.take() == [Plain({"n": 1})]
    assert await outbox.take() == []
