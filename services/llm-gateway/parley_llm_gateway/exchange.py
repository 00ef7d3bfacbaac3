"""One HTTP request and its answer over ASGI, without a framework in between: streams are counted by the thousand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from parley_mesh.health import Receive, Scope, Send
from parley_proto.errors import PermanentError

_STREAM = {"content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no"}


class Gone(Exception):
    """The client hung up."""


class Exchange:
    """The request's parts, and the ways to answer it. Header names are lower case."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.host: str = (scope.get("client") or ("",))[0]
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.started = False

    async def body(self, limit: int) -> bytes:
        """The whole body. PermanentError `too_large` as soon as it is known to be."""
        length = self.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > limit:
            raise _too_large(limit)
        body = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            body += message.get("body", b"")
            if len(body) > limit:
                raise _too_large(limit)
            if not message.get("more_body"):
                return bytes(body)

    async def reply(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        data = msgspec.json.encode(body)
        own = {"content-type": "application/json", "content-length": str(len(data))}
        await self._start(status, own | dict(headers or {}))
        await self._send({"type": "http.response.body", "body": data})

    async def begin(self) -> None:
        """An answer in pieces; `say` and `done` follow."""
        await self._start(200, _STREAM)

    async def say(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def done(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[None, None]:
        """While this is open, a client that hangs up ends the block at once, with Gone."""
        block = asyncio.current_task()
        left = False

        async def watch() -> None:
            nonlocal left
            while (await self._receive())["type"] != "http.disconnect":
                continue
            left = True
            if block:
                block.cancel()

        watcher = asyncio.create_task(watch())
        try:
            yield
        except asyncio.CancelledError:
            if left and block and block.uncancel() == 0:
                raise Gone from None
            raise
        finally:
            watcher.cancel()

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self.started = True
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})


def _too_large(limit: int) -> PermanentError:
    return PermanentError(f"The request has more than {limit} bytes.", code="too_large")
