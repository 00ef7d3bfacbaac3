"""The OpenAI-compatible endpoint: `POST /v1/chat/completions` and `GET /v1/models`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.response import Stream

from parley_llm_gateway.completions import Completions
from parley_llm_gateway.door import Door
from parley_llm_gateway.openai_api import Reply, error_body, read_body, status_of, to_request
from parley_mesh.telemetry import log
from parley_proto.envelope import new_id, now_ms
from parley_proto.errors import ParleyError, PermanentError
from parley_proto.llm import Alive, CompletionEvent, CompletionRequest, Failed, Finished

T = TypeVar("T")
Http = Request[Any, Any, State]
Events = AsyncGenerator[CompletionEvent, None]

_STATUS_CODES = {404: "not_found", 405: "not_found", 413: "too_large"}


def web(completions: Completions, door: Door, *, max_bytes: int, total_s: float) -> Litestar:
    """The ASGI app; a completion over HTTP has `total_s` seconds."""

    @post("/v1/chat/completions", status_code=200)
    async def complete(request: Http) -> Response[Any]:
        caller = door.caller(request.headers, request.client.host if request.client else "")
        _check_content_type(request)
        body = read_body(await request.body())
        asked = to_request(body, new_id("http-"), caller, now_ms() + int(total_s * 1000))
        reply = Reply(asked, asked.model or completions.models[0], int(time.time()))
        if not body.stream:
            return await _unless_gone(request, _whole(completions, asked, reply))
        events = completions.events(asked)
        first = await _unless_gone(request, _first(events))
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        return Stream(_chunks(events, first, reply, with_usage), media_type="text/event-stream", headers=_NO_CACHE)

    @get("/v1/models")
    async def models(request: Http) -> dict[str, Any]:
        door.caller(request.headers, request.client.host if request.client else "")
        known = [{"id": name, "object": "model", "created": 0, "owned_by": "parley"} for name in completions.models]
        return {"object": "list", "data": known}

    return Litestar(
        route_handlers=[complete, models],
        exception_handlers={ParleyError: _refused, HTTPException: _http_failed, Exception: _failed},
        request_max_body_size=max_bytes,
        openapi_config=None,
        logging_config=None,
    )


_NO_CACHE = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def _check_content_type(request: Http) -> None:
    # A page elsewhere can send plain text to this machine without asking, but not JSON.
    if request.content_type[0] != "application/json":
        raise PermanentError("The request must be application/json.", code="bad_content_type")


async def _whole(completions: Completions, asked: CompletionRequest, reply: Reply) -> Response[Any]:
    async with aclosing(completions.events(asked)) as events:
        async for event in events:
            reply.add(event)
            if isinstance(event, Failed):
                return _error(event.code, event.message)
            if isinstance(event, Finished):
                return Response(reply.whole(event))
    return _error("internal", "The answer has no end.")


async def _first(events: Events) -> CompletionEvent:
    """The first event that says something: an error before it still gets its own status."""
    async for event in events:
        if isinstance(event, Failed):
            await events.aclose()
            raise PermanentError(event.message, code=event.code)
        if not isinstance(event, Alive):
            return event
    raise PermanentError("The answer has no end.", code="internal")


async def _chunks(events: Events, first: CompletionEvent, reply: Reply, usage: bool) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        yield reply.opening()
        yield _bytes(first, reply, usage)
        async for event in events:
            yield _bytes(event, reply, usage)


def _bytes(event: CompletionEvent, reply: Reply, usage: bool) -> bytes:
    return reply.ending(event, usage) if isinstance(event, Finished) else reply.chunk(event)


async def _unless_gone(request: Http, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the client hangs up."""
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise PermanentError("The client hung up.", code="cancelled")
        return task.result()
    finally:
        gone.cancel()
        task.cancel()
        await asyncio.wait({task, gone})


async def _hung_up(request: Http) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


def _refused(request: Http, error: ParleyError) -> Response[Any]:
    return _error(error.code, error.message)


def _http_failed(request: Http, error: HTTPException) -> Response[Any]:
    code = _STATUS_CODES.get(error.status_code, "malformed")
    return _error(code, f"{error.detail}.".replace("..", "."))


def _failed(request: Http, error: Exception) -> Response[Any]:
    log("parley.llm").exception("request failed", exc_info=error)
    return _error("internal", "The llm-gateway failed on this request.")


def _error(code: str, message: str) -> Response[Any]:
    status = status_of(code)
    # We have tried again already where it can help: retries of several layers would multiply.
    headers = {"Retry-After": "1"} if status == 429 else {"x-should-retry": "false"}
    return Response(error_body(code, message), status_code=status, headers=headers)
