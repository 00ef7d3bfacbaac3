from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from parley_proto.envelope import Identity
from parley_specialist import backoffice as client
from parley_specialist.backoffice import NOT_FOUND, BackofficeClient, CustomerBackoffice
from parley_specialist.settings import Settings
from parley_specialist.tools import ToolRefusedError

NOTHING = '{"code": "not_found", "message": "Customer cus_0004 has no subscription."}'


@asynccontextmanager
async def answering(*answers: tuple[int, str]) -> AsyncIterator[CustomerBackoffice]:
    """A back office that gives `answers` in turn, the last one again and again."""
    left = list(answers)

    async def answer(_request: web.Request) -> web.Response:
        status, text = left.pop(0) if len(left) > 1 else left[0]
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        made = BackofficeClient(Settings(backoffice_url=str(server.make_url("")), backoffice_token="t" * 16))
        try:
            yield made.of(Identity("default", "anna", "cus_0004"), "key")
        finally:
            await made.close()


async def test_what_the_customer_does_not_have_has_a_code_of_its_own() -> None:
    async with answering((404, NOTHING)) as office:
        with pytest.raises(ToolRefusedError, match="has no subscription") as refused:
            await office.get("/subscription")
    assert refused.value.code == NOT_FOUND


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (500, "down"),
        (503, '{"code": "unavailable"}'),
        (404, "<h1>nginx</h1>"),
        (409, NOTHING),
        (404, '{"code": "gone"}'),
        (200, "{"),
    ],
)
async def test_nothing_else_says_that_there_is_nothing(status: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE_S", 0.2)
    async with answering((status, text)) as office:
        with pytest.raises(ToolRefusedError) as refused:
            await office.get("/subscription")
    assert refused.value.code != NOT_FOUND


async def test_a_refusal_is_certain_only_where_no_earlier_try_may_have_been_carried_out() -> None:
    async with answering((409, NOTHING)) as office:
        with pytest.raises(ToolRefusedError) as refused:
            await office.send("POST", "/refund", {})
    assert not refused.value.uncertain
    async with answering((502, "bad gateway"), (404, "<h1>nginx</h1>")) as office:
        with pytest.raises(ToolRefusedError) as refused:
            await office.send("POST", "/refund", {})
    assert refused.value.uncertain
