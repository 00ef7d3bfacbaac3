"""What makes no sense is refused with OpenAI's envelope and a code, and no provider hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from llm_provider_fixtures import gateway, settings_for
from test_openai_clients_speak_to_the_llm_gateway import KEY, SHOP, served

from parley_testkit.fake_provider import FakeProvider

_HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]


class Door:
    """The endpoint with a key of tenant larkfield, and the provider behind it."""

    def __init__(self, url: str, provider: FakeProvider, session: aiohttp.ClientSession) -> None:
        self.url, self.provider, self.session = url, provider, session

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
        own = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        own |= {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.session.post(f"{self.url}{path}", headers=own, **given) as response:
            return response.status, await response.json()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with (
        FakeProvider() as provider,
        gateway(settings_for(provider)) as completions,
        served(completions, SHOP) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Door(url, provider, session)


_TOOL = {"type": "function", "function": {"name": "t", "parameters": {"type": "object", "properties": []}}}
_RESULT = {"role": "tool", "tool_call_id": "nobody", "content": "x"}
_FILE = {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": "invented"}, 404, "model_not_found"),
        ({"messages": []}, 400, "empty_messages"),
        ({"messages": [{"role": "user", "content": " "}]}, 400, "empty_messages"),
        ({"messages": [*_HELLO, _RESULT]}, 400, "bad_message"),
        ({"messages": [{"role": "user", "content": [_FILE]}]}, 400, "bad_message"),
        ({"tools": [_TOOL]}, 400, "bad_tool"),
        ({"tool_choice": {"type": "function", "function": {"name": "absent"}}}, 400, "bad_tool"),
        ({"temperature": 9}, 400, "bad_temperature"),
        ({"top_p": 0}, 400, "bad_temperature"),
        ({"max_tokens": -1}, 400, "bad_max_tokens"),
        ({"n": 2}, 400, "unsupported"),
        ({"stop": ["x"] * 17}, 400, "malformed"),
    ],
)
async def test_a_senseless_completion(door: Door, change: dict[str, Any], status: int, code: str) -> None:
    got, body = await door.post("/chat/completions", {"messages": _HELLO} | change)
    assert (got, body["error"]["code"]) == (status, code)
    assert set(body["error"]) >= {"message", "type", "param", "code"}
    assert not door.provider.requests


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
async def test_a_temperature_that_is_no_number(door: Door, number: bytes) -> None:
    data = b'{"messages": [{"role": "user", "content": "x"}], "temperature": ' + number + b"}"
    status, body = await door.post("/chat/completions", data)
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    assert not door.provider.requests


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"X_Parley_Tenant": "other"}, 403, "wrong_tenant"),
        ({"X_Parley_Deadline": "soon"}, 400, "bad_header"),
        ({"X_Parley_Deadline": "1"}, 504, "deadline"),
        ({"X_Parley_Epoch": "-1"}, 400, "bad_header"),
        ({"X_Parley_Conversation": "a.b"}, 400, "bad_header"),
        ({"X_Parley_Residency": "mars"}, 400, "no_candidate"),
        ({"Authorization": "Bearer wrong-wrong-wrong"}, 401, "invalid_api_key"),
        ({"Content_Type": "text/plain"}, 415, "bad_content_type"),
    ],
)
async def test_a_senseless_header(door: Door, headers: dict[str, str], status: int, code: str) -> None:
    got, body = await door.post("/chat/completions", {"messages": _HELLO}, **headers)
    assert (got, body["error"]["code"]) == (status, code)
    assert not door.provider.requests


async def test_ten_megabytes_are_too_much(door: Door) -> None:
    huge = [{"role": "user", "content": "x" * 10_000_000}]
    status, body = await door.post("/chat/completions", {"messages": huge})
    assert (status, body["error"]["code"]) == (413, "too_large")
    assert not door.provider.requests


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"input": []}, 400),
        ({"input": ["a", ""]}, 400),
        ({"input": [[1, 2]]}, 400),
        ({"input": "a", "model": "invented"}, 404),
        ({"input": "a", "dimensions": 0}, 400),
        ({"input": "a", "encoding_format": "hex"}, 400),
    ],
)
async def test_senseless_embeddings(door: Door, body: dict[str, Any], status: int) -> None:
    got, _ = await door.post("/embeddings", body)
    assert got == status
    assert not door.provider.requests


async def test_anthropics_shape_is_refused_in_anthropics_envelope(door: Door) -> None:
    status, body = await door.post("/messages", {"messages": _HELLO, "max_tokens": 5, "model": "invented"})
    assert (status, body["type"], body["error"]["type"]) == (404, "error", "not_found_error")
    status, body = await door.post("/messages", {"messages": _HELLO})
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    assert not door.provider.requests


async def test_a_body_that_stops_half_way_costs_nothing(door: Door) -> None:
    host, port = door.url.removeprefix("http://").removesuffix("/v1").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\n"
    writer.write((head + "Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{").encode())
    await writer.drain()
    writer.close()
    status, _ = await door.post("/chat/completions", {"messages": _HELLO})
    assert (status, len(door.provider.requests)) == (200, 1)
