"""The ASGI side of one WebSocket connection, and how it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from parley_gateway import frames
from parley_gateway.adapters import dropper
from parley_gateway.frames import BadFrame

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[Any], Awaitable[None]]


class Ending(msgspec.Struct, frozen=True):
    """Why a connection ends; `code` 0 when the other side has gone. `flush` sends first what waits."""

    code: int
    reason: str = ""
    flush: bool = True


class Ended(Exception):
    """Raised where a connection's own task finds that it is over."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.ending = Ending(code, reason)


class Socket:
    """Text frames in and out; `drop` cuts off a peer that does not read."""

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self._scope_headers = scope["headers"]
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.drop = dropper(scope)
        self._receive = receive
        self._send = send

    async def accept(self) -> None:
        await self._receive()
        await self._send({"type": "websocket.accept"})
        # For the handshake only; 5,000 sockets would keep theirs, and a browser sends many.
        self.headers.clear()
        self._scope_headers.clear()

    async def refuse(self) -> None:
        """Before the handshake: the client sees HTTP 403."""
        await self._receive()
        await self._send({"type": "websocket.close", "code": frames.POLICY})

    async def read(self) -> str:
        """The next text frame; BadFrame for a binary one, Ended when the client has gone."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            raise Ended(0, "the client left")
        text = message.get("text")
        if text is None:
            raise BadFrame("Frames are text, in JSON; binary ones are not read.")
        return str(text)

    async def write(self, frame: dict[str, Any]) -> None:
        await self._send({"type": "websocket.send", "text": frames.encode(frame)})

    async def close(self, ending: Ending) -> None:
        await self._send({"type": "websocket.close", "code": ending.code, "reason": ending.reason})
