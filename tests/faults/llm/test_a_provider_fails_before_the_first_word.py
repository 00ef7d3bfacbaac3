"""Each fault before the first word: the caller gets one whole answer, from whoever can give it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from outside import PATHS, Outside, outside

from parley_testkit import fake_provider as play
from parley_testkit.nats_server import NatsServer


@pytest.fixture
async def gateway(nats_server: NatsServer) -> AsyncIterator[Outside]:
    async with outside(nats_server, first_delta_s=2.0) as found:
        found.b.play(play.answer("From ", "B."))
        yield found


FAILS_OVER = {
    "hang before headers": (play.hang_headers(), 1),
    "hang before the first token": (play.silent(), 1),
    "200 with an error in JSON": (play.json_error(), 2),
    "200 with an error in the stream": (play.error_inside(), 2),
    "429 with a long Retry-After": (play.busy(120), 1),
    "401": (play.failing(401), 1),
    "malformed JSON": (play.garbage(), 2),
    "500": (play.failing(500), 2),
    "empty answer": (play.answer(), 2),
    "cut without a word": (play.cut_after(), 2),
    "error in mid tool call": (play.cut_in_tool_call(), 2),
    "unknown there": (play.failing(404, "model_not_found"), 1),
}


@pytest.mark.parametrize("fault", FAILS_OVER)
async def test_the_next_candidate_answers(gateway: Outside, fault: str) -> None:
    script, asked = FAILS_OVER[fault]
    for path in PATHS:
        before = len(gateway.a.requests)
        gateway.a.play(script)
        answer = await gateway.ask(path)
        assert (answer.text, answer.code, answer.done) == ("From B.", "", True), path
        # At most two attempts a target, in one layer; a refused key is not tried again at all.
        again = 0 if fault == "401" and path == "http" else asked
        assert len(gateway.a.requests) - before == again, path


async def test_hard_down(gateway: Outside) -> None:
    await gateway.a.down()
    for path in PATHS:
        answer = await gateway.ask(path)
        assert (answer.text, answer.done) == ("From B.", True)
        alone = await gateway.ask(path, tier="fast")
        assert alone.code in ("unreachable", "provider_resting")


@pytest.mark.parametrize("path", PATHS)
async def test_a_short_retry_after_is_waited_for(gateway: Outside, path: str) -> None:
    gateway.a.play(play.busy(0.1), play.answer("From A."))
    answer = await gateway.ask(path)
    assert (answer.text, len(gateway.a.requests), len(gateway.b.requests)) == ("From A.", 2, 0)


REFUSED = {
    "400": (play.failing(400, "invalid_value", "temperature is odd"), "provider_refused"),
    "context length": (play.failing(400, "context_length_exceeded"), "context_length"),
    "content filter": (play.failing(400, "content_filter"), "content_filter"),
}


@pytest.mark.parametrize("fault", REFUSED)
async def test_a_refusal_is_told_once_and_counts_against_nobody(gateway: Outside, fault: str) -> None:
    script, code = REFUSED[fault]
    gateway.a.play(script)
    for number, path in enumerate(PATHS, start=1):
        answer = await gateway.ask(path, tier="fast")
        shown = {"context_length": ("context_length", "context_length_exceeded")}.get(code, (code,))
        assert answer.code in shown
        assert (len(gateway.a.requests), len(gateway.b.requests)) == (number, 0)
    for _ in range(25):
        await gateway.ask("nats", tier="fast")
    gateway.a.play(play.answer("Still here."))
    assert (await gateway.ask("nats", tier="fast")).text == "Still here."


@pytest.mark.parametrize("path", PATHS)
async def test_too_long_for_one_goes_to_the_larger_one(nats_server: NatsServer, path: str) -> None:
    async with outside(nats_server, context=100_000) as gateway:
        gateway.a.play(play.failing(400, "context_length_exceeded"))
        gateway.b.play(play.answer("I have room."))
        assert (await gateway.ask(path)).text == "I have room."


@pytest.mark.parametrize("path", PATHS)
async def test_the_first_error_is_not_hidden_by_the_fallbacks(gateway: Outside, path: str) -> None:
    gateway.a.play(play.failing(500))
    gateway.b.play(play.failing(400, "invalid_value", "B is picky"))
    answer = await gateway.ask(path)
    assert answer.code == "provider_error"
    assert "B is picky" not in answer.message


@pytest.mark.parametrize("path", PATHS)
async def test_a_key_that_was_refused_is_not_used_again(gateway: Outside, path: str) -> None:
    gateway.a.play(play.failing(401))
    answers = [await gateway.ask(path, tier="fast") for _ in range(3)]
    assert {answer.code for answer in answers} == {"provider_key_refused"}
    assert len(gateway.a.requests) == 1


@pytest.mark.parametrize("path", PATHS)
async def test_a_missing_done_is_forgiven(gateway: Outside, path: str) -> None:
    gateway.a.play(play.without_done("All of it."))
    answer = await gateway.ask(path)
    assert (answer.text, answer.done, len(gateway.b.requests)) == ("All of it.", True, 0)


@pytest.mark.parametrize("path", PATHS)
async def test_a_deadline_in_the_past_costs_nothing(gateway: Outside, path: str) -> None:
    answer = await gateway.ask(path, deadline_s=-1)
    assert answer.code == "deadline"
    assert not gateway.a.requests


@pytest.mark.parametrize("path", PATHS)
async def test_retries_have_a_budget(gateway: Outside, path: str) -> None:
    gateway.a.play(play.failing(500))
    await asyncio.gather(*(gateway.ask(path, tier="fast") for _ in range(10)))
    # Ten calls, three second attempts: without the budget it would be twenty.
    assert len(gateway.a.requests) == 13
