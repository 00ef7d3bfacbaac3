"""The outbox: the first word at once, then bundles; a reset voids what was said; the end comes exactly once."""

from __future__ import annotations

import asyncio

from parley_llm_gateway.outbox import Outbox
from parley_proto.llm import (
    Alive,
    CompletionEvent,
    Failed,
    Finished,
    StreamReset,
    TextDelta,
    ToolCall,
    ToolCalled,
    Usage,
)

_END = Finished("stop", "m", Usage(1, 1))
_CALL = ToolCalled(ToolCall("c", "track", "{}"))


async def _all(outbox: Outbox) -> list[CompletionEvent]:
    events: list[CompletionEvent] = []
    while not outbox.over:
        events += await outbox.take()
    return events


async def test_the_first_text_goes_out_alone_and_the_rest_in_a_bundle() -> None:
    outbox = Outbox("r" * 20)
    for text in ("Hel", "lo ", "you"):
        outbox.add(TextDelta(text))
    outbox.end(_END)
    assert await _all(outbox) == [Alive("r" * 20), TextDelta("Hel"), TextDelta("lo you"), _END]


async def test_a_bundle_is_sent_when_its_time_is_over_though_nothing_follows() -> None:
    outbox = Outbox("r" * 20)
    outbox.add(TextDelta("a"))
    outbox.add(TextDelta("b"))
    assert (await outbox.take())[-1] == TextDelta("a")
    async with asyncio.timeout(5):
        assert await outbox.take() == [TextDelta("b")]


async def test_silence_is_broken_by_a_sign_of_life() -> None:
    outbox = Outbox("r" * 20)
    assert await outbox.take() == [Alive("r" * 20)]
    async with asyncio.timeout(5):
        assert await outbox.take() == [Alive("r" * 20)]


async def test_words_that_were_heard_are_taken_back_by_a_reset() -> None:
    outbox = Outbox("r" * 20)
    outbox.add(TextDelta("wrong"))
    await outbox.take()
    outbox.add(TextDelta(" unheard"))
    outbox.reset(StreamReset(2, "stream_cut"))
    outbox.add(TextDelta("right"))
    outbox.end(_END)
    assert await _all(outbox) == [StreamReset(2, "stream_cut"), TextDelta("right"), _END]


async def test_words_that_nobody_heard_yet_leave_without_a_trace() -> None:
    outbox = Outbox("r" * 20)
    outbox.add(TextDelta("wrong"))
    outbox.reset(StreamReset(2, "stream_cut"))
    outbox.add(TextDelta("right"))
    outbox.end(_END)
    assert await _all(outbox) == [Alive("r" * 20), TextDelta("right"), _END]
    assert not any(isinstance(event, StreamReset) for event in await _all(outbox))


async def test_a_tool_call_follows_the_text_before_it() -> None:
    outbox = Outbox("r" * 20)
    for piece in (TextDelta("a"), TextDelta("b"), _CALL):
        outbox.add(piece)
    outbox.end(Failed("timeout", "Too long.", True))
    events = await _all(outbox)
    assert events[1:4] == [TextDelta("a"), TextDelta("b"), _CALL]
    assert outbox.called
