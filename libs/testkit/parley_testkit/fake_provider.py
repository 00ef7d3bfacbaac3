"""A model provider that plays scripts: a real HTTP server with OpenAI's chat completions and every way to fail.

async with FakeProvider() as provider:
    provider.play(busy(1), answer("Hello there."))
    ... point a client at provider.url ...
    assert provider.opened == 2
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import msgspec
from aiohttp import web

MODEL = "fake-model-1"
DONE = b"data: [DONE]\n\n"


class Send(msgspec.Struct, frozen=True):
    """Bytes on the wire, in one write."""

    data: bytes


class Wait(msgspec.Struct, frozen=True):
    seconds: float


class Hang(msgspec.Struct, frozen=True):
    """Say nothing more until the client leaves."""


class Cut(msgspec.Struct, frozen=True):
    """Close the socket in the middle of the stream."""


class Refuse(msgspec.Struct, frozen=True):
    """An answer with this status instead of a stream."""

    status: int
    body: dict[str, Any] = {}
    headers: dict[str, str] = {}


Step = Send | Wait | Hang | Cut | Refuse
Script = list[Step]


def chunk(delta: dict[str, Any] | None = None, reason: str | None = None, **more: Any) -> bytes:
    """One event of a stream."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    body = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
    return b"data: " + msgspec.json.encode(body | {"choices": choices} | more) + b"\n\n"


def usage(prompt: int = 11, completion: int = 7) -> bytes:
    counted = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return chunk(usage=counted)


ROLE = chunk({"role": "assistant", "content": ""})


def texts(*parts: str) -> list[Step]:
    return [Send(chunk({"content": part})) for part in parts]


def ending(reason: str = "stop") -> list[Step]:
    return [Send(chunk({}, reason)), Send(usage()), Send(DONE)]


def answer(*parts: str, reason: str = "stop") -> Script:
    """A stream as it should be."""
    return [Send(ROLE), *texts(*parts), *ending(reason)]


def tool_calls(*calls: tuple[str, str, str], piece: int = 5) -> Script:
    """Tool calls (id, name, arguments) whose arguments come in pieces of `piece` characters."""
    steps: Script = [Send(ROLE)]
    for index, (call_id, name, arguments) in enumerate(calls):
        head = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        steps.append(Send(chunk({"tool_calls": [head]})))
        for start in range(0, len(arguments), piece):
            part = {"index": index, "function": {"arguments": arguments[start : start + piece]}}
            steps.append(Send(chunk({"tool_calls": [part]})))
    return [*steps, *ending("tool_calls")]


def cut_after(*parts: str) -> Script:
    """A stream that breaks off."""
    return [Send(ROLE), *texts(*parts), Cut()]


def without_finish(*parts: str) -> Script:
    """A stream that ends politely, but without a finish reason."""
    return [Send(ROLE), *texts(*parts), Send(DONE)]


def without_done(*parts: str) -> Script:
    """A whole answer that ends without `[DONE]` and without usage."""
    return [Send(ROLE), *texts(*parts), Send(chunk({}, "stop"))]


def silent() -> Script:
    """Pings and a role, but never a word."""
    return [Send(ROLE), Send(b": ping\n\n"), Hang()]


def stalled_after(*parts: str) -> Script:
    return [Send(ROLE), *texts(*parts), Hang()]


def garbage() -> Script:
    return [Send(b"data: {this is not json\n\n"), Send(DONE)]


def error_inside(code: str = "server_error", *parts: str) -> Script:
    """A 200 with an error in it, after `parts`."""
    error = {"error": {"message": "The engine is overloaded.", "type": "server_error", "code": code}}
    return [*texts(*parts), Send(b"data: " + msgspec.json.encode(error) + b"\n\n")]


def failing(status: int = 500, code: str = "", message: str = "no") -> Script:
    return [Refuse(status, {"error": {"message": message, "type": "error", "code": code or None}})]


def busy(retry_after: float | str) -> Script:
    body = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
    return [Refuse(429, body, {"Retry-After": str(retry_after)})]


class FakeProvider:
    """Plays one script a request, in order; the last one again for every further request."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.opened = 0
        self.finished = 0
        self.cancelled = 0
        self._scripts: deque[Script] = deque([answer("Hello.")])
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def play(self, *scripts: Sequence[Step]) -> None:
        """What to answer from the next request on."""
        self._scripts = deque([list(script) for script in scripts])

    async def until(self, reached: Callable[[], bool], seconds: float = 5.0) -> None:
        """Wait until `reached()`, looked at whenever a stream opens or ends. Raises TimeoutError."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(reached)

    async def __aenter__(self) -> FakeProvider:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(msgspec.json.decode(await request.read()))
        self.headers.append(dict(request.headers))
        script = self._scripts.popleft() if len(self._scripts) > 1 else self._scripts[0]
        await self._count(opened=1)
        try:
            response = await self._play(request, script)
        except (asyncio.CancelledError, ConnectionResetError):
            await self._count(cancelled=1)
            raise
        await self._count(finished=1)
        return response

    async def _play(self, request: web.Request, script: Script) -> web.StreamResponse:
        if script and isinstance(script[0], Refuse):
            refusal = script[0]
            return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for step in script:
            await self._step(request, response, step)
        return response

    async def _step(self, request: web.Request, response: web.StreamResponse, step: Step) -> None:
        match step:
            case Send(data):
                await response.write(data)
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case Hang():
                await asyncio.Event().wait()
            case Cut() if request.transport:
                request.transport.abort()

    async def _count(self, opened: int = 0, finished: int = 0, cancelled: int = 0) -> None:
        self.opened += opened
        self.finished += finished
        self.cancelled += cancelled
        async with self._changed:
            self._changed.notify_all()
