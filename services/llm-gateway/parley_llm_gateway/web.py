"""The HTTP endpoints in OpenAI's and Anthropic's shapes; the same path as NATS behind them."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Protocol

from parley_llm_gateway import anthropic_api, openai_api
from parley_llm_gateway.completions import Completions
from parley_llm_gateway.config import CallerConfig
from parley_llm_gateway.door import Door
from parley_llm_gateway.exchange import Exchange, Gone
from parley_llm_gateway.wishes import with_wishes
from parley_mesh.health import App, Receive, Scope, Send
from parley_mesh.telemetry import log
from parley_proto.envelope import new_id, now_ms
from parley_proto.errors import ParleyError, PermanentError
from parley_proto.llm import Alive, CompletionEvent, CompletionRequest, Failed, Finished, StreamReset

Events = AsyncGenerator[CompletionEvent, None]
Handler = Callable[[Exchange, CallerConfig], Awaitable[None]]


class Reply(Protocol):
    """One completion on its way out, in somebody's shape."""

    def add(self, event: CompletionEvent) -> None: ...
    def whole(self, finished: Finished) -> dict[str, Any]: ...
    def opening(self) -> bytes: ...
    def chunk(self, event: CompletionEvent) -> bytes: ...
    def ending(self, finished: Finished) -> bytes: ...


def web(completions: Completions, door: Door, *, max_bytes: int, total_s: float) -> App:
    """The ASGI app; a completion over HTTP has `total_s` seconds."""
    return _Web(completions, door, max_bytes, total_s)


class _Web:
    def __init__(self, completions: Completions, door: Door, max_bytes: int, total_s: float) -> None:
        self._completions = completions
        self._door = door
        self._max_bytes = max_bytes
        self._total_s = total_s
        self._routes: dict[tuple[str, str], Handler] = {
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/messages"): self._messages,
            ("POST", "/v1/embeddings"): self._embeddings,
            ("GET", "/v1/models"): self._models,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        try:
            await self._answer(exchange)
        except Gone:
            return
        except ParleyError as error:
            await _refuse(exchange, error.code, error.message, getattr(error, "retry_after", None))
        except Exception:
            log("parley.llm").exception("request failed")
            await _refuse(exchange, "internal", "The llm-gateway failed on this request.", None)

    async def _answer(self, exchange: Exchange) -> None:
        handler = self._routes.get((exchange.method, exchange.path)) or self._model_or_none(exchange)
        caller = self._door.caller(exchange.headers, exchange.host)
        # A page elsewhere can send plain text to this machine without asking, but not JSON.
        if exchange.method == "POST" and not exchange.headers.get("content-type", "").startswith("application/json"):
            raise PermanentError("The request must be application/json.", code="bad_content_type")
        await handler(exchange, caller)

    def _model_or_none(self, exchange: Exchange) -> Handler:
        if exchange.method == "GET" and exchange.path.startswith("/v1/models/"):
            return self._model
        raise PermanentError(f"There is no {exchange.method[:10]} {exchange.path[:100]} here.", code="not_found")

    async def _chat(self, exchange: Exchange, caller: CallerConfig) -> None:
        body = openai_api.read_body(await exchange.body(self._max_bytes))
        asked = self._asked(exchange, caller, lambda *common: openai_api.to_request(body, *common))
        usage = body.stream_options is not None and body.stream_options.include_usage
        reply = openai_api.Reply(asked, asked.model or self._completions.models[0], int(time.time()), usage)
        await self._complete(exchange, asked, reply, stream=bool(body.stream))

    async def _messages(self, exchange: Exchange, caller: CallerConfig) -> None:
        body = anthropic_api.read_body(await exchange.body(self._max_bytes))
        asked = self._asked(exchange, caller, lambda *common: anthropic_api.to_request(body, *common))
        reply = anthropic_api.Reply(asked, asked.model or self._completions.models[0])
        await self._complete(exchange, asked, reply, stream=bool(body.stream))

    async def _embeddings(self, exchange: Exchange, caller: CallerConfig) -> None:
        body = openai_api.read_embeddings(await exchange.body(self._max_bytes))
        request = openai_api.to_vectors(body, new_id("http-"), caller.tenant, caller.name, self._deadline())
        async with exchange.watched():
            vectors = await self._completions.vectors(request)
        await exchange.reply(200, openai_api.embeddings_body(vectors, body.encoding_format))

    async def _models(self, exchange: Exchange, caller: CallerConfig) -> None:
        known = [openai_api.model_body(name) for name in self._completions.models]
        await exchange.reply(200, {"object": "list", "data": known})

    async def _model(self, exchange: Exchange, caller: CallerConfig) -> None:
        name = exchange.path.removeprefix("/v1/models/")
        if name not in self._completions.models:
            raise PermanentError(f"The model {name[:60]!r} is unknown here.", code="unknown_model")
        await exchange.reply(200, openai_api.model_body(name))

    def _asked(
        self, exchange: Exchange, caller: CallerConfig, request: Callable[[str, int], CompletionRequest]
    ) -> CompletionRequest:
        return with_wishes(request(new_id("http-"), self._deadline()), exchange.headers, caller)

    def _deadline(self) -> int:
        return now_ms() + int(self._total_s * 1000)

    async def _complete(self, exchange: Exchange, asked: CompletionRequest, reply: Reply, *, stream: bool) -> None:
        async with aclosing(self._completions.events(asked)) as events, exchange.watched():
            if stream:
                await _stream(exchange, events, reply)
            else:
                await _whole(exchange, events, reply)


async def _whole(exchange: Exchange, events: Events, reply: Reply) -> None:
    async for event in events:
        if isinstance(event, StreamReset):
            reply.add(event)
        elif isinstance(event, Failed):
            await _refuse(exchange, event.code, event.message, event.retry_after)
        elif isinstance(event, Finished):
            await exchange.reply(200, reply.whole(event))
        else:
            reply.add(event)


async def _stream(exchange: Exchange, events: Events, reply: Reply) -> None:
    """Events as they come. Words can't be unsaid in these shapes: a reset ends the stream, unless it was asked for."""
    resets = exchange.headers.get("x-parley-stream") == "reset"
    async for event in events:
        if not exchange.started:
            if isinstance(event, Alive):
                continue
            if isinstance(event, Failed):
                # An error before the first word still gets its own status.
                await _refuse(exchange, event.code, event.message, event.retry_after)
                return
            await exchange.begin()
            await exchange.say(reply.opening() + _piece(event, reply))
        elif isinstance(event, StreamReset) and not resets:
            text = "The answer broke off and would begin again: ask once more."
            await exchange.say(reply.chunk(Failed(event.reason, text, True, partial=True)))
            break
        else:
            await exchange.say(_piece(event, reply))
    await exchange.done()


def _piece(event: CompletionEvent, reply: Reply) -> bytes:
    return reply.ending(event) if isinstance(event, Finished) else reply.chunk(event)


async def _refuse(exchange: Exchange, code: str, message: str, retry_after: float | None) -> None:
    if exchange.started:
        return
    status = openai_api.status_of(code)
    # We have tried again already where it can help: retries of several layers would multiply.
    again = status == 429 and code != "over_budget"
    headers = {} if again else {"x-should-retry": "false"}
    if again or (status == 429 and retry_after):
        headers["retry-after"] = str(max(1, math.ceil(retry_after or 1)))
    shape = anthropic_api if exchange.path == "/v1/messages" else openai_api
    await exchange.reply(status, shape.error_body(code, message), headers)
