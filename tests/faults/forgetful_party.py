"""A third party between billing and the sample back office: it keeps a ledger of refunds, and may die upon a call.

Everything is passed on; a refund is carried out once more for each call that it does not recognise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Literal

import aiohttp
from aiohttp import web

Moment = Literal["", "before", "after"]
Kill = Callable[[], Awaitable[None]]
_HOP = {"host", "content-length", "transfer-encoding", "connection"}


class ThirdParty:
    """`async with ThirdParty(url, port, honours=…) as party`. `moments` says when to kill the caller of each refund
    that comes, before it is carried out or after; `kill` does it. `executed` counts what was done by payment.
    """

    def __init__(self, behind: str, port: int, *, honours: bool, kill: Kill) -> None:
        self.executed: Counter[str] = Counter()
        self.kills = 0
        self.moments: list[Moment] = []
        self._behind = behind
        self._port = port
        self._honours = honours
        self._kill = kill
        self._known: dict[str, tuple[int, bytes]] = {}

    async def __aenter__(self) -> ThirdParty:
        self._session = aiohttp.ClientSession(self._behind)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._call)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _call(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.method != "POST" or not request.path.endswith("/refund"):
            return _response(*await self._pass_on(request, body, request.headers.get("Idempotency-Key", "")))
        moment = self.moments.pop() if self.moments else ""
        if moment == "before":
            return await self._die(request)
        answer = await self._refund(request, body)
        return await self._die(request) if moment == "after" else _response(*answer)

    async def _refund(self, request: web.Request, body: bytes) -> tuple[int, bytes]:
        payment, key = request.path.split("/")[-2], request.headers.get("Idempotency-Key", "")
        if self._honours and key in self._known:
            return self._known[key]
        self.executed[payment] += 1
        if payment in self._known:
            # It has forgotten that it did this very thing: the money leaves a second time.
            return self._known[payment]
        answer = await self._pass_on(request, body, key)
        self._known[payment] = self._known[key] = answer
        return answer

    async def _die(self, request: web.Request) -> web.StreamResponse:
        self.kills += 1
        await self._kill()
        # Whoever asked is gone; nobody hears an answer.
        if request.transport:
            request.transport.abort()
        return web.Response(status=500)

    async def _pass_on(self, request: web.Request, body: bytes, key: str) -> tuple[int, bytes]:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        sent = headers | ({"Idempotency-Key": key} if key else {})
        async with self._session.request(request.method, request.path_qs, data=body or None, headers=sent) as response:
            return response.status, await response.read()


def _response(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")
