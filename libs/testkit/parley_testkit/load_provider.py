"""A provider for load: the same answer to everyone, one write a delta, encoded once. Run it as a process.

python -m parley_testkit.load_provider --deltas 30 --interval-ms 0      prints {"url": ...}
GET /streams tells what it counted; each stream's record ends when the client has left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any

import uvloop
from aiohttp import web

from parley_testkit.fake_provider import DONE, ROLE, chunk, usage


class LoadProvider:
    """Streams `deltas` words, `interval_s` apart, the first after `first_s`."""

    def __init__(self, deltas: int, interval_s: float, first_s: float) -> None:
        self._deltas = [chunk({"content": f"word{number} "}) for number in range(deltas)]
        self._end = [chunk({}, "stop"), usage(11, deltas), DONE]
        self._interval_s = interval_s
        self._first_s = first_s
        self.opened = self.finished = self.cancelled = 0
        self.left_at: list[float] = []

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/streams", self._streams)
        return app

    async def _streams(self, request: web.Request) -> web.Response:
        open_now = self.opened - self.finished - self.cancelled
        counted = {"opened": self.opened, "finished": self.finished, "cancelled": self.cancelled, "open": open_now}
        return web.json_response(counted | {"left_at": self.left_at})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.opened += 1
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            await response.prepare(request)
            await self._speak(response)
        except (asyncio.CancelledError, ConnectionError):
            self.cancelled += 1
            self.left_at.append(time.time())
            raise
        self.finished += 1
        return response

    async def _speak(self, response: web.StreamResponse) -> None:
        await response.write(ROLE)
        if self._first_s:
            await asyncio.sleep(self._first_s)
        for delta in self._deltas:
            await response.write(delta)
            if self._interval_s:
                await asyncio.sleep(self._interval_s)
        for data in self._end:
            await response.write(data)


async def _serve(options: argparse.Namespace) -> None:
    provider = LoadProvider(options.deltas, options.interval_ms / 1000, options.first_token_ms / 1000)
    runner = web.AppRunner(provider.app(), handler_cancellation=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", options.port).start()
    port: Any = runner.addresses[0][1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}/v1"}), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A model provider for load tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--deltas", type=int, default=30)
    parser.add_argument("--interval-ms", type=float, default=0)
    parser.add_argument("--first-token-ms", type=float, default=0)
    uvloop.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
