"""The official openai and anthropic clients get the same from the llm-gateway as from the provider behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
import pytest
from llm_provider_fixtures import gateway, settings_for
from test_openai_clients_speak_to_the_llm_gateway import served

from parley_llm_gateway.completions import Bounds, Completions
from parley_llm_gateway.config_file import parse
from parley_llm_gateway.models import Models
from parley_testkit import fake_provider as play
from parley_testkit.fake_provider import MODEL, FakeProvider

_ASKED: list[Any] = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is ORD-7?"}]
_SCHEMA = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
_TOOLS: list[Any] = [{"type": "function", "function": {"name": "track", "description": "", "parameters": _SCHEMA}}]
_THEIR_TOOLS: list[Any] = [{"name": "track", "description": "", "input_schema": _SCHEMA}]
_CLAUDE = """
[providers.claude]
kind = "anthropic"
base_url = "{url}"
[models.{model}]
provider = "claude"
[tiers.standard]
candidates = ["{model}"]
"""


def _openai(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key="unused", max_retries=0, timeout=10)


async def _streamed(client: openai.AsyncOpenAI, **more: Any) -> dict[str, Any]:
    options: Any = {"include_usage": True}
    stream = await client.chat.completions.create(
        model=MODEL, messages=_ASKED, stream=True, stream_options=options, **more
    )
    text, reason, usage, calls = "", None, None, {}
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
            for call in choice.delta.tool_calls or []:
                name, arguments = calls.get(call.index, ("", ""))
                assert call.function
                calls[call.index] = (name + (call.function.name or ""), arguments + (call.function.arguments or ""))
    assert usage
    return {"text": text, "reason": reason, "calls": calls, "usage": usage.to_dict(), "model": chunk.model}


@pytest.mark.parametrize(
    ("script", "more"),
    [
        (play.answer("It is ", "on its way."), {"temperature": 0.3, "max_tokens": 99, "stop": ["END"], "seed": 7}),
        (play.answer("cut", reason="length"), {"top_p": 0.5}),
        (play.tool_calls(("c1", "track", '{"id": "ORD-7"}'), ("c2", "track", '{"id": "ORD-8"}')), {"tools": _TOOLS}),
    ],
    ids=["text", "length", "tool calls"],
)
async def test_openai_streams_are_the_same(script: play.Script, more: dict[str, Any]) -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(script)
        direct = await _streamed(_openai(provider.url), **more)
        async with served(completions) as url:
            assert await _streamed(_openai(url), **more) == direct
        first, second = provider.requests
        assert {name: second.get(name) for name in more} == {name: first.get(name) for name in more}


async def test_pictures_and_wishes_reach_the_provider_as_they_were() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/broken.png", "detail": "low"}}
    asked: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}]
    wishes: dict[str, Any] = {"response_format": {"type": "json_object"}, "tool_choice": "required", "tools": _TOOLS}
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions, served(completions) as url:
        await _openai(url).chat.completions.create(model=MODEL, messages=asked, **wishes)
        sent = provider.requests[0]
    assert sent["messages"][0]["content"] == asked[0]["content"]
    assert {name: sent[name] for name in ("response_format", "tool_choice")} == {
        "response_format": {"type": "json_object"},
        "tool_choice": "required",
    }


async def test_openai_embeddings_are_the_same_and_go_upstream_together() -> None:
    text = "[providers.a]\nkind = 'openai'\nbase_url = '{url}'\n"
    text += "[models.vec]\nprovider = 'a'\ncapabilities = ['embeddings']\n"
    text += "[tiers.standard]\ncandidates = ['vec']\n[embeddings]\nmodel = 'vec'\n"
    async with FakeProvider() as provider, _configured(text.format(url=provider.url)) as url:
        direct = await _openai(provider.url).embeddings.create(model="vec", input=["late parcel", "refund"])
        through = await _openai(url).embeddings.create(model="vec", input=["late parcel", "refund"])
        plain = await _openai(url).embeddings.create(model="vec", input="refund", encoding_format="float")
    assert [row.embedding for row in through.data] == [row.embedding for row in direct.data]
    assert plain.data[0].embedding == direct.data[1].embedding
    assert through.usage.to_dict() == direct.usage.to_dict()


_ERRORS: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
}


@pytest.mark.parametrize("status", _ERRORS)
async def test_openai_errors_are_of_the_same_class(status: int) -> None:
    code = {400: "invalid_value", 404: "model_not_found", 429: "rate_limit_exceeded"}[status]
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions, served(completions) as url:
        provider.play(play.failing(status, code))
        for address in (provider.url, url):
            with pytest.raises(_ERRORS[status]):
                await _openai(address).chat.completions.create(model=MODEL, messages=_ASKED)


async def test_an_unknown_model_and_a_deadline_in_the_past_call_nobody() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions, served(completions) as url:
        with pytest.raises(openai.NotFoundError):
            await _openai(url).chat.completions.create(model="invented", messages=_ASKED)
        late = _openai(url).with_options(default_headers={"X-Parley-Deadline": "1"})
        with pytest.raises(openai.InternalServerError):
            await late.chat.completions.create(model=MODEL, messages=_ASKED)
        assert not provider.requests


@asynccontextmanager
async def _configured(text: str) -> AsyncIterator[str]:
    models = Models(parse(text, "llm.toml", {}))
    try:
        async with served(Completions(models, Bounds(16, 10))) as url:
            yield url
    finally:
        await models.retire(None, 0.0)


async def _message(url: str, **more: Any) -> dict[str, Any]:
    client = anthropic.AsyncAnthropic(base_url=url.removesuffix("/v1"), api_key="unused", max_retries=0, timeout=10)
    asked: list[Any] = [{"role": "user", "content": "Where is ORD-7?"}]
    async with client.messages.stream(model=MODEL, max_tokens=99, system="Be kind.", messages=asked, **more) as stream:
        message = await stream.get_final_message()
    found = message.to_dict()
    usage: Any = found["usage"]
    return {name: found[name] for name in ("content", "stop_reason", "role", "model")} | {"out": usage["output_tokens"]}


@pytest.mark.parametrize(
    ("script", "more"),
    [
        (play.claude("It is ", "on its way."), {}),
        (play.claude_calls("toolu_1", "track", '{"id": ', '"ORD-7"}'), {"tools": _THEIR_TOOLS}),
    ],
    ids=["text", "tool call"],
)
async def test_anthropic_streams_are_the_same(script: play.Script, more: dict[str, Any]) -> None:
    async with FakeProvider() as provider:
        provider.play(script)
        direct = await _message(provider.url, **more)
        async with _configured(_CLAUDE.format(url=provider.url, model=MODEL)) as url:
            assert await _message(url, **more) == direct
        first, second = provider.requests
        assert second["max_tokens"] == first["max_tokens"]
        assert second.get("tools") == first.get("tools")
        assert second["system"] == first["system"]


async def test_each_dialect_reaches_the_other_provider() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions, served(completions) as url:
        provider.play(play.answer("It is ", "on its way."))
        found = await _message(url)
    assert (found["content"][0]["text"], found["stop_reason"]) == ("It is on its way.", "end_turn")
    async with FakeProvider() as provider:
        provider.play(play.claude("It is ", "on its way."))
        async with _configured(_CLAUDE.format(url=provider.url, model=MODEL)) as url:
            streamed = await _streamed(_openai(url))
    assert (streamed["text"], streamed["reason"]) == ("It is on its way.", "stop")
