"""The official OpenAI client, and bare HTTP, against the llm-gateway's endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import openai
import pytest
from llm_provider_fixtures import gateway, settings_for

from parley_llm_gateway.completions import Completions
from parley_llm_gateway.config import CallerConfig
from parley_llm_gateway.door import Door
from parley_llm_gateway.offline import MODEL
from parley_llm_gateway.settings import Settings
from parley_llm_gateway.web import web
from parley_mesh.health import HealthServer
from parley_testkit import fake_provider as play
from parley_testkit.fake_provider import FakeProvider

KEY = "a-callers-own-key-1"
SHOP = (CallerConfig("shop", KEY, "larkfield"),)


@asynccontextmanager
async def served(completions: Completions, callers: Sequence[CallerConfig] = ()) -> AsyncIterator[str]:
    app = web(completions, Door(lambda: callers), max_bytes=100_000, total_s=10)
    server = HealthServer("127.0.0.1", 0, lambda: "", app)
    await server.start()
    try:
        await _listening(server.port)
        yield f"http://127.0.0.1:{server.port}/v1"
    finally:
        await server.stop()


async def _listening(port: int) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


@asynccontextmanager
async def served_offline(callers: Sequence[CallerConfig] = ()) -> AsyncIterator[str]:
    async with gateway(Settings()) as completions, served(completions, callers) as url:
        yield url


def _client(url: str, key: str = "unused") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=10)


_HELLO = [{"role": "user", "content": "What is the capital of France?"}]
_TRACK = {
    "type": "function",
    "function": {
        "name": "order_status",
        "description": "Tell where an order is.\nUse when: where is my order; track my parcel",
        "parameters": {
            "type": "object",
            "properties": {"order_id": {"type": "string", "pattern": "^ORD-[0-9]{1,12}$", "description": "the order"}},
            "required": ["order_id"],
        },
    },
}


async def test_the_official_client_streams_from_the_offline_model() -> None:
    async with served_offline() as url, _client(url) as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=_HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "offline model" in text
    assert "Paris" not in text
    assert sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in chunks) > 1
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0
    assert {chunk.model for chunk in chunks} == {MODEL}


async def test_the_official_client_gets_a_whole_answer_and_the_models() -> None:
    async with served_offline() as url, _client(url) as client:
        whole = await client.chat.completions.create(model=MODEL, messages=_HELLO)
        models = [model.id async for model in client.models.list()]
    assert whole.choices[0].finish_reason == "stop"
    assert "offline model" in (whole.choices[0].message.content or "")
    assert whole.usage is not None
    assert models == [MODEL]


@pytest.mark.parametrize("streamed", [True, False])
async def test_the_official_client_gets_tool_calls(streamed: bool) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "Where is my order ord-100001?"}]}]
    async with served_offline() as url, _client(url) as client:
        if streamed:
            async with client.chat.completions.stream(model=MODEL, messages=messages, tools=[_TRACK]) as stream:
                answer = await stream.get_final_completion()
        else:
            answer = await client.chat.completions.create(model=MODEL, messages=messages, tools=[_TRACK])
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    call = choice.message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("order_status", '{"order_id":"ORD-100001"}')


async def test_http_and_nats_share_the_path_to_the_provider() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions, served(completions) as url:
        provider.play(play.failing(500), play.answer("From ", "the provider."))
        async with _client(url) as client:
            stream = await client.chat.completions.create(model="fake-model-1", messages=_HELLO, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
        assert (text, provider.opened) == ("From the provider.", 2)


async def test_a_failure_before_the_first_word_has_a_status_of_its_own() -> None:
    async with (
        FakeProvider() as provider,
        gateway(settings_for(provider)) as completions,
        served(completions) as url,
        _client(url) as client,
    ):
        provider.play(play.busy(0))
        with pytest.raises(openai.RateLimitError) as busy:
            await client.chat.completions.create(model="fake-model-1", messages=_HELLO, stream=True)
        assert busy.value.code == "rate_limited"
        provider.play(play.failing(500))
        with pytest.raises(openai.InternalServerError) as failed:
            await client.chat.completions.create(model="fake-model-1", messages=_HELLO)
        assert (failed.value.status_code, failed.value.code) == (502, "provider_error")


async def test_a_failure_in_mid_answer_reaches_the_client_as_an_error() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions, served(completions) as url:
        provider.play(play.cut_after("Half an ans"))
        async with _client(url) as client:
            stream = await client.chat.completions.create(model="fake-model-1", messages=_HELLO, stream=True)
            with pytest.raises(openai.APIError) as caught:
                async for _ in stream:
                    pass
        assert caught.value.code == "stream_cut"


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_hangs_up_closes_the_providers_socket(streamed: bool) -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions, served(completions) as url:
        provider.play([play.Hang()])
        body = {"model": "fake-model-1", "messages": _HELLO, "stream": streamed}
        async with aiohttp.ClientSession() as session:
            with pytest.raises(TimeoutError):
                await session.post(url + "/chat/completions", json=body, timeout=aiohttp.ClientTimeout(total=0.3))
        await provider.until(lambda: provider.cancelled == 1)


async def test_a_client_that_hangs_up_in_mid_stream_closes_the_providers_socket() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions, served(completions) as url:
        provider.play(play.stalled_after("Once upon"))
        async with _client(url) as client:
            stream = await client.chat.completions.create(model="fake-model-1", messages=_HELLO, stream=True)
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    break
            await stream.close()
        await provider.until(lambda: provider.cancelled == 1)


@pytest.mark.parametrize("key", ["", "another-key-of-someone", KEY + "x"])
async def test_a_wrong_key_is_refused(key: str) -> None:
    async with served_offline(SHOP) as url, _client(url, key or "none") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(model=MODEL, messages=_HELLO)
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()


async def test_the_right_key_opens() -> None:
    async with served_offline(SHOP) as url, _client(url, KEY) as client:
        assert (await client.chat.completions.create(model=MODEL, messages=_HELLO)).choices


async def _post(url: str, body: bytes, **headers: str) -> tuple[int, str]:
    given = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + "/chat/completions", data=body, headers=given) as response,
    ):
        answer = await response.json()
        assert set(answer["error"]) == {"message", "type", "param", "code"}
        return response.status, answer["error"]["code"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"{", 400, "malformed"),
        (b"[" * 50_000, 400, "malformed"),
        (b'{"messages": "hello"}', 400, "malformed"),
        (b'{"messages": [{"role": "wizard", "content": "x"}]}', 400, "malformed"),
        (b'{"messages": []}', 400, "empty_messages"),
        (b'{"messages": [{"role": "user", "content": "x"}], "model": "gpt-99"}', 404, "model_not_found"),
        (b'{"messages": [{"role": "user", "content": "x"}], "temperature": 3}', 400, "bad_temperature"),
        (b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}', 400, "malformed"),
        (b'{"messages": [{"role": "user", "content": "x"}], "n": 2}', 400, "unsupported"),
        (b'{"messages": [{"role": "user", "content": "x"}], "tool_choice": "perhaps"}', 400, "malformed"),
        (
            b'{"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}}',
            400,
            "no_candidate",
        ),
        (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', 400, "empty_messages"),
        (b'{"messages": [{"role": "user", "content": "' + b"x" * 200_000 + b'"}]}', 413, "too_large"),
        (b'{"messages": [{"role": "user", "content": "\xff"}]}', 400, "malformed"),
    ],
)
async def test_bad_bodies_meet_a_clear_refusal(body: bytes, status: int, code: str) -> None:
    async with served_offline() as url:
        assert await _post(url, body) == (status, code)


async def test_pages_of_others_can_not_reach_an_endpoint_without_keys() -> None:
    body = b'{"messages": [{"role": "user", "content": "x"}]}'
    async with served_offline() as url:
        assert await _post(url, body, Content_Type="text/plain") == (415, "bad_content_type")
        assert await _post(url, body, Host="rebound.example.com") == (403, "not_local")
        assert await _post(url, body, X_Forwarded_For="203.0.113.7") == (403, "not_local")
