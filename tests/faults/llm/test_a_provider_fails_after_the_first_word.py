"""Each fault after the first word: a reset and a clean answer, or an honest end; never two answers in one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from outside import PATHS, Outside, outside

from parley_testkit import fake_provider as play
from parley_testkit.nats_server import NatsServer

FAULTS = {
    "hang mid-stream": (play.stalled_after("Half an"), "stalled"),
    "drip": (play.drip("half an answer, but so very slowly"), "too_slow"),
    "cut": (play.cut_after("Half an"), "stream_cut"),
    "end without a finish reason": (play.without_finish("Half an"), "stream_cut"),
    "mid-stream error": (play.error_inside("server_error", "Half an"), "provider_error"),
    "malformed JSON in mid-stream": (play.malformed_after("Half an"), "provider_garbage"),
}


@pytest.fixture
async def gateway(nats_server: NatsServer) -> AsyncIterator[Outside]:
    async with outside(nats_server, inter_delta_s=0.5, slow_window_s=1.0) as found:
        found.b.play(play.answer("From B."))
        yield found


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_answer_begins_again_with_a_reset(gateway: Outside, fault: str) -> None:
    script, _ = FAULTS[fault]
    for path in PATHS:
        gateway.a.play(script)
        answer = await gateway.ask(path, headers={"X-Parley-Stream": "reset"})
        assert (answer.text, answer.code, answer.done) == ("From B.", "", True), path
        assert answer.resets <= 2


@pytest.mark.parametrize("fault", FAULTS)
async def test_who_can_not_be_reset_is_told_the_truth(gateway: Outside, fault: str) -> None:
    script, code = FAULTS[fault]
    gateway.a.play(script)
    answer = await gateway.ask("http")
    if answer.code:
        assert (answer.code, answer.partial, answer.done) == (code, True, False)
        assert "From B" not in answer.text
    else:
        # The fault came in the same breath as the words, so that none of them had been sent.
        assert (answer.text, answer.done) == ("From B.", True)


@pytest.mark.parametrize("path", PATHS)
async def test_nobody_left_to_begin_again_is_a_partial_failure(gateway: Outside, path: str) -> None:
    gateway.a.play(play.stalled_after("Half an"))
    answer = await gateway.ask(path, tier="fast")
    assert (answer.code, answer.partial, answer.done) == ("stalled", True, False)
