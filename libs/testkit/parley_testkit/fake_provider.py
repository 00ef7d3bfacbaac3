"""A model provider that plays scripts: a real HTTP server with OpenAI's and Anthropic's shapes and every way to fail.

async with FakeProvider() as provider:
    provider.play(busy(1), answer("Hello there."))
    ... point a client at provider.url ...
    assert provider.opened == 2
"""

from __future__ import annotations

import asyncio
from array import array
from base64 import b64encode
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


class Until(msgspec.Struct, frozen=True):
    """Go on when the test says so, whatever the machine's speed."""

    event: asyncio.Event


class Hang(msgspec.Struct, frozen=True):
    """Say nothing more until the client leaves."""


class Cut(msgspec.Struct, frozen=True):
    """Close the socket in the middle of the stream."""


class Refuse(msgspec.Struct, frozen=True):
    """An answer with this status instead of a stream."""

    status: int
    body: dict[str, Any] = {}
    headers: dict[str, str] = {}


class HangHeaders(msgspec.Struct, frozen=True):
    """Take the request and answer nothing at all."""


class Whole(msgspec.Struct, frozen=True):
    """A 200 with this JSON body where a stream was asked for."""

    body: dict[str, Any]


Step = Send | Wait | Until | Hang | Cut | Refuse | HangHeaders | Whole
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


def drip(text: str, every_s: float = 0.1) -> Script:
    """One character at a time, for ever as it seems."""
    steps: Script = [Send(ROLE)]
    for char in text:
        steps += [Send(chunk({"content": char})), Wait(every_s)]
    return [*steps, *ending()]


def hang_headers() -> Script:
    return [HangHeaders()]


def json_error(code: str = "server_error") -> Script:
    """A 200 whose body is an error in JSON."""
    return [Whole({"error": {"message": "The engine is overloaded.", "type": "server_error", "code": code}})]


def malformed_after(*parts: str) -> Script:
    return [Send(ROLE), *texts(*parts), Send(b'data: {"choices": [{"delta": \n\n'), Send(DONE)]


def cut_in_tool_call() -> Script:
    head = {"index": 0, "id": "c1", "type": "function", "function": {"name": "track", "arguments": '{"id": "OR'}}
    return [Send(ROLE), Send(chunk({"tool_calls": [head]})), Cut()]


def claude(*parts: str) -> Script:
    """A stream of Anthropic's messages API, as it should be."""
    start: dict[str, Any] = {"id": "msg_fake", "type": "message", "role": "assistant", "model": MODEL, "content": []}
    start |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 11, "output_tokens": 1}}
    block = {"type": "text", "text": ""}
    said = [_named("content_block_delta", index=0, delta={"type": "text_delta", "text": part}) for part in parts]
    return [
        _named("message_start", message=start),
        _named("ping"),
        _named("content_block_start", index=0, content_block=block),
        *said,
        _named("content_block_stop", index=0),
        *_claude_end("end_turn"),
    ]


def claude_calls(call_id: str, name: str, *pieces: str) -> Script:
    """A tool call in Anthropic's shape, its arguments in `pieces`."""
    block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
    said = [
        _named("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": piece})
        for piece in pieces
    ]
    return [
        claude()[0],
        _named("content_block_start", index=0, content_block=block),
        *said,
        _named("content_block_stop", index=0),
        *_claude_end("tool_use"),
    ]


def _claude_end(reason: str) -> list[Step]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [_named("message_delta", delta=delta, usage={"output_tokens": 7}), _named("message_stop")]


def _named(name: str, **body: Any) -> Send:
    return Send(b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode({"type": name} | body) + b"\n\n")


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
        self._by_model: dict[str, deque[Script]] = {}
        self._choose: Callable[[dict[str, Any]], Script] | None = None
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def play(self, *scripts: Sequence[Step]) -> None:
        """What to answer from the next request on."""
        self._scripts = deque([list(script) for script in scripts])

    def play_for(self, model: str, *scripts: Sequence[Step]) -> None:
        """What to answer those who ask for `model`, whatever the others get."""
        self._by_model[model] = deque([list(script) for script in scripts])

    def play_by(self, choose: Callable[[dict[str, Any]], Script]) -> None:
        """Answer each request with what `choose` makes of its body, instead of with scripts in order."""
        self._choose = choose

    def asked(self, model: str) -> int:
        """How many requests named `model`."""
        return sum(request.get("model") == model for request in self.requests)

    async def down(self) -> None:
        """Nobody listens any more."""
        if self._runner:
            await self._runner.cleanup()

    async def until(self, reached: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until `reached()`, looked at whenever a stream opens or ends. Raises TimeoutError."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(reached)

    async def __aenter__(self) -> FakeProvider:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_post("/v1/messages", self._complete)
        app.router.add_post("/v1/embeddings", self._embed)
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
        script = self._choose(self.requests[-1]) if self._choose else self._next_for(self.requests[-1])
        await self._count(opened=1)
        try:
            response = await self._play(request, script)
        except (asyncio.CancelledError, ConnectionResetError):
            await self._count(cancelled=1)
            raise
        await self._count(finished=1)
        return response

    def _next_for(self, body: dict[str, Any]) -> Script:
        scripts = self._by_model.get(body.get("model", ""), self._scripts)
        return scripts.popleft() if len(scripts) > 1 else scripts[0]

    async def _play(self, request: web.Request, script: Script) -> web.StreamResponse:
        if script and isinstance(script[0], Refuse):
            refusal = script[0]
            return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
        if script and isinstance(script[0], Whole):
            return web.json_response(script[0].body)
        if script and isinstance(script[0], HangHeaders):
            await asyncio.Event().wait()
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
            case Until(event):
                await event.wait()
            case Hang():
                await asyncio.Event().wait()
            case Cut() if request.transport:
                request.transport.abort()

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        """A vector of two numbers for each text: its length and its first letter."""
        body = msgspec.json.decode(await request.read())
        self.requests.append(body)
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        rows = [array("f", [float(len(text)), float(ord(text[0]))]) for text in texts]
        base64 = body.get("encoding_format") == "base64"
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": b64encode(row.tobytes()).decode() if base64 else row.tolist(),
            }
            for index, row in enumerate(rows)
        ]
        used = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return web.json_response({"object": "list", "data": data, "model": body["model"], "usage": used})

    async def _count(self, opened: int = 0, finished: int = 0, cancelled: int = 0) -> None:
        self.opened += opened
        self.finished += finished
        self.cancelled += cancelled
        async with self._changed:
            self._changed.notify_all()
