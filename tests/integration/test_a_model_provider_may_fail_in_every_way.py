"""Whatever a provider does, a completion ends once, truthfully, and leaves no socket behind."""

from __future__ import annotations

import asyncio

import pytest
from llm_provider_fixtures import KEY, asking, gateway, settings_for, told

from parley_llm_gateway.errors import ProviderFailed
from parley_llm_gateway.settings import Settings
from parley_llm_gateway.target import _First
from parley_mesh.tasks import end
from parley_proto.errors import PermanentError, TransientError
from parley_proto.llm import Alive, ChatMessage, StreamReset, TextDelta, ToolCall, ToolSpec, Usage
from parley_testkit import fake_provider as play
from parley_testkit.fake_provider import FakeProvider


async def test_a_stream_comes_through_with_usage_and_the_model_that_answered() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.answer("Hel", "lo ", "there."))
        got = await told(completions, asking(temperature=0.2, max_tokens=50))
    assert got.text == "Hello there."
    assert (got.finished.reason, got.finished.model) == ("stop", "fake-model-1")
    assert got.finished.usage == Usage(11, 7)
    assert not got.finished.offline
    sent = provider.requests[0]
    assert sent["stream"] is True
    assert (sent["temperature"], sent["max_tokens"], sent["model"]) == (0.2, 50, "fake-model-1")
    assert provider.headers[0]["Authorization"] == f"Bearer {KEY}"


async def test_tools_travel_both_ways() -> None:
    messages = [
        ChatMessage("system", "Be kind."),
        ChatMessage("user", "Where is it?"),
        ChatMessage("assistant", tool_calls=[ToolCall("c1", "track", '{"id": "ORD-1"}')]),
        ChatMessage("tool", '{"ok": true}', tool_call_id="c1", name="track"),
    ]
    tool = ToolSpec("track", "Find an order.", {"type": "object", "properties": {"id": {"type": "string"}}})
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.tool_calls(("a", "track", '{"id": "ORD-7"}'), ("b", "track", '{"id": "ORD-8"}')))
        got = await told(completions, asking(messages=messages, tools=[tool]))
    assert got.calls == [ToolCall("a", "track", '{"id": "ORD-7"}'), ToolCall("b", "track", '{"id": "ORD-8"}')]
    assert got.finished.reason == "tool_calls"
    sent = provider.requests[0]
    assert sent["tools"][0]["function"]["name"] == "track"
    assert sent["messages"][2]["content"] is None
    assert sent["messages"][2]["tool_calls"][0]["function"] == {"name": "track", "arguments": '{"id": "ORD-1"}'}
    assert sent["messages"][3]["tool_call_id"] == "c1"


@pytest.mark.parametrize(
    "first",
    [
        play.failing(500),
        play.failing(503),
        play.busy(0.01),
        play.garbage(),
        play.error_inside(),
        play.cut_after(),
        play.without_finish(),
        play.answer(),
    ],
    ids=["500", "503", "429", "garbage", "error in a 200", "cut", "no finish reason", "empty"],
)
async def test_before_the_first_word_a_failure_is_tried_once_more(first: play.Script) -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(first, play.answer("Here I am."))
        got = await told(completions, asking())
        assert (got.text, provider.opened) == ("Here I am.", 2)
        assert got.finished.reason == "stop"


@pytest.mark.parametrize(
    ("script", "code", "retryable", "attempts"),
    [
        (play.failing(500), "provider_error", True, 2),
        (play.busy(0), "rate_limited", True, 2),
        (play.garbage(), "provider_garbage", True, 2),
        (play.error_inside(), "provider_error", True, 2),
        (play.without_finish(), "stream_cut", True, 2),
        (play.failing(400, message="Unknown parameter"), "provider_refused", False, 1),
        (play.failing(400, "context_length_exceeded"), "context_length", False, 1),
        (play.failing(404, "model_not_found"), "unknown_model", False, 1),
        (play.failing(302), "provider_refused", False, 1),
        (play.failing(401), "provider_key_refused", False, 1),
        (play.failing(429, "insufficient_quota"), "provider_quota", False, 1),
        (play.error_inside("content_filter"), "content_filter", False, 1),
    ],
)
async def test_a_failure_has_a_code_of_its_own(script: play.Script, code: str, retryable: bool, attempts: int) -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(script)
        got = await told(completions, asking())
        assert (got.failed.code, got.failed.retryable) == (code, retryable)
        assert provider.opened == attempts
        assert KEY not in got.failed.message


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (play.cut_after("Half an ans"), "stream_cut"),
        (play.without_finish("Half an ans"), "stream_cut"),
        (play.error_inside("server_error", "Half an ans"), "provider_error"),
        ([*play.texts("Half an ans"), *play.garbage()], "provider_garbage"),
    ],
)
async def test_after_the_first_word_a_new_answer_begins_with_a_reset_and_nothing_is_spliced(
    script: play.Script, code: str
) -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(script, play.answer("Another answer."))
        got = await told(completions, asking())
        assert (got.text, got.finished.reason, provider.opened) == ("Another answer.", "stop", 2)
        assert got.resets in ([], [StreamReset(2, code)])
        assert "ans" not in got.text.replace("Another answer.", "")


async def test_a_second_failure_after_words_ends_it_marked_as_partial() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.cut_after("Half an ans"))
        got = await told(completions, asking())
        assert (got.failed.code, got.failed.partial, provider.opened) == ("stream_cut", True, 2)


async def test_an_answer_without_done_and_usage_is_whole() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.without_done("All of it."))
        got = await told(completions, asking("12345678"))
        assert (got.text, got.finished.usage) == ("All of it.", Usage(2, 3))


async def test_silence_before_the_first_word_is_noticed_in_spite_of_pings() -> None:
    async with FakeProvider() as provider:
        async with gateway(settings_for(provider, first_delta_s=1.5)) as completions:
            provider.play(play.silent(), play.answer("Awake."))
            got = await told(completions, asking())
        assert (got.text, provider.opened) == ("Awake.", 2)
        await provider.until(lambda: provider.cancelled == 1)


async def test_silence_in_mid_answer_is_noticed() -> None:
    async with FakeProvider() as provider:
        async with gateway(settings_for(provider, inter_delta_s=0.15)) as completions:
            provider.play(play.stalled_after("Well"))
            got = await told(completions, asking())
        assert (got.text, got.failed.code) == ("Well", "stalled")
        await provider.until(lambda: provider.cancelled == 1)


async def test_an_answer_without_end_is_cut_off() -> None:
    async with FakeProvider() as provider:
        async with gateway(settings_for(provider, max_output_chars=1000)) as completions:
            provider.play([*play.texts(*["x" * 100] * 50), play.Hang()])
            got = await told(completions, asking())
        assert got.failed.code == "answer_too_long"
        assert len(got.text) <= 1000


async def test_nobody_at_the_address_is_told_without_a_stack_trace() -> None:
    settings = Settings(base_url="http://127.0.0.1:1/v1", model="m")
    async with gateway(settings) as completions:
        got = await told(completions, asking())
    assert (got.failed.code, got.failed.retryable) == ("unreachable", True)
    assert "127.0.0.1:1" in got.failed.message


async def test_a_cancel_closes_the_providers_socket() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.stalled_after("Once upon a time"))
        request, got = asking(), []
        async for event in completions.events(request):
            got.append(event)
            if isinstance(event, TextDelta):
                completions.running.cancel(request.request_id)
        assert got[-1].code == "cancelled"
        await provider.until(lambda: provider.cancelled == 1)
        assert len(completions.running) == 0


async def test_a_cancel_that_comes_before_its_request_still_counts() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        request = asking()
        completions.running.cancel(request.request_id)
        got = await told(completions, request)
        assert got.failed.code == "cancelled"
        assert provider.opened == 0


async def test_a_caller_that_goes_away_closes_the_providers_socket() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.stalled_after("Once upon a time"))
        events = completions.events(asking())
        async for event in events:
            if isinstance(event, TextDelta):
                break
        await events.aclose()
        await provider.until(lambda: provider.cancelled == 1)
        assert len(completions.running) == 0


async def test_the_deadline_ends_a_stream_and_its_socket() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.stalled_after("Once upon a time"))
        got = await told(completions, asking(seconds=2))
        assert (got.failed.code, got.failed.retryable) == ("deadline", False)
        await provider.until(lambda: provider.cancelled == 1)


async def test_the_longest_time_ends_a_stream_that_drips() -> None:
    async with FakeProvider() as provider:
        async with gateway(settings_for(provider, total_s=2)) as completions:
            drip = [step for _ in range(200) for step in (*play.texts("."), play.Wait(0.05))]
            provider.play(drip)
            got = await told(completions, asking())
        assert (got.failed.code, got.failed.retryable) == ("timeout", True)
        assert got.text


async def test_past_its_deadline_no_provider_is_called() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        got = await told(completions, asking(seconds=-1))
        assert (got.failed.code, provider.opened) == ("deadline", 0)


async def test_a_retry_that_does_not_fit_the_deadline_is_not_tried() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.busy(60), play.answer("Too late."))
        got = await told(completions, asking(seconds=5))
        assert (got.failed.code, provider.opened) == ("rate_limited", 1)


async def test_signs_of_life_fill_the_silence() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play([play.Wait(1.2), *play.answer("Finally.")])
        got = await told(completions, asking())
        assert got.text == "Finally."
        assert sum(isinstance(event, Alive) for event in got.events) >= 2


async def test_small_pieces_travel_in_bundles() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.answer(*"a very long answer in single letters " * 10))
        got = await told(completions, asking())
        deltas = [event for event in got.events if isinstance(event, TextDelta)]
        assert got.text == "a very long answer in single letters " * 10
        assert 2 <= len(deltas) < 60


async def test_a_refused_key_makes_the_service_unready_until_it_works_again() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.failing(401), play.answer("Fine."))
        assert (await told(completions, asking())).failed.code == "provider_key_refused"
        assert "PARLEY_LLM_GATEWAY_API_KEY" in completions.out_of_order()
        again = await told(completions, asking())
        assert (again.failed.code, provider.opened) == ("provider_key_refused", 1)


async def test_an_open_breaker_spares_the_provider() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.failing(500))
        codes = [(await told(completions, asking())).failed.code for _ in range(25)]
        assert (codes[0], codes[-1]) == ("provider_error", "provider_resting")
        assert provider.opened == 20
        assert completions.breakers()["fake-model-1"] == "open"


async def test_more_than_it_takes_is_refused_early() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider, max_running=2)) as completions:
        provider.play([play.Hang()])
        running = [asyncio.create_task(told(completions, asking(seconds=5))) for _ in range(2)]
        await provider.until(lambda: provider.opened == 2)
        with pytest.raises(TransientError, match="as many") as caught:
            await told(completions, asking())
        assert caught.value.code == "overloaded"
        for task in running:
            task.cancel()
        await asyncio.wait(running)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"messages": []}, "empty_messages"),
        ({"messages": [ChatMessage("user", "  ")]}, "empty_messages"),
        ({"model": "gpt-99"}, "unknown_model"),
        ({"temperature": float("nan")}, "bad_temperature"),
        ({"temperature": -0.1}, "bad_temperature"),
        ({"max_tokens": 0}, "bad_max_tokens"),
        ({"request_id": "a.b"}, "bad_id"),
        ({"tools": [ToolSpec("t", "", {"type": "array"})]}, "bad_tool"),
        ({"tools": [ToolSpec("no spaces", "", {})]}, "bad_tool"),
    ],
)
async def test_an_unsound_request_reaches_no_provider(changes: dict[str, object], code: str) -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        with pytest.raises(PermanentError) as caught:
            await told(completions, asking(**changes))
        assert (caught.value.code, provider.opened) == (code, 0)


async def test_a_follower_whose_leader_left_is_told_that_the_words_so_far_are_void() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.drip("You may return it within thirty days", 0.05), play.answer("Returns are free."))
        heard = asyncio.Event()

        async def leading() -> None:
            async for event in completions.events(asking(cacheable=True)):
                if isinstance(event, TextDelta):
                    heard.set()

        leader = asyncio.create_task(leading())
        await asyncio.wait_for(heard.wait(), 10)
        follower = asyncio.create_task(told(completions, asking(cacheable=True)))
        async with asyncio.timeout(10):
            while not any(shared._waiters for shared in completions._flights._shared.values()):
                await asyncio.sleep(0.01)
        await end(leader)
        got = await asyncio.wait_for(follower, 10)
        assert (got.text, len(got.resets), got.finished.reason) == ("Returns are free.", 1, "stop")


async def test_a_model_that_became_slow_is_given_more_time_again() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider, first_delta_s=20)) as completions:
        target = completions.plant.targets["fake-model-1"]
        for _ in range(10):
            target._first_delta.seen(0.8)
        learned = target._first_delta.seconds()
        for _ in range(10):
            slot = target.limiter.try_enter()
            assert slot
            with pytest.raises(ProviderFailed):
                await target.guarded(_silent, slot, _First(lambda _piece: None), force=True)
        assert learned < 6 < target._first_delta.seconds()


async def _silent() -> None:
    raise ProviderFailed("No word came.", code="no_first_delta")


async def test_a_connection_that_a_reload_closed_is_opened_again() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.answer("Still here."))
        assert (await told(completions, asking())).text == "Still here."
        for one in completions.plant.providers.values():
            await one.close()
        assert (await told(completions, asking())).text == "Still here."
