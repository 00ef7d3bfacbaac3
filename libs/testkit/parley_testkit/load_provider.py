"""A provider for load: the same words to everyone, encoded once. Run it as a process.

python -m parley_testkit.load_provider --deltas 30 --interval-ms 0      prints {"url": ...}
python -m parley_testkit.load_provider --profile realistic              for a whole mesh
GET /streams tells what it counted; each stream's record ends when the client has left.

With a profile each answer ends in a mark: how long this provider has worked for the turn, so that who reads the answer
can subtract it exactly, whatever caches and retries there are on the way. A customer who says LOOK_UP makes it call a
tool that only reads before it answers; the time of that call travels in the call's id. One who says HAND_OVER makes it
hand the conversation to another specialty, which then answers; there the time travels in the reason. It writes
summaries as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from typing import Any, Literal

import msgspec
import uvloop
from aiohttp import web

from parley_testkit.fake_provider import DONE, ROLE, chunk, usage

LOOK_UP = "Please look that up in my records."
HAND_OVER = "Please hand me over to a colleague."
PROFILES = {"realistic": (0.150, 0.010), "none": (0.0, 0.0)}
TOKENS = 30
_MARK = re.compile(r"\(own (\d+) (\d+\.\d+) (\d+\.\d+)\)")
_CALL = re.compile(r"own-(\d+)-\d+")
_READS = ("list_", "show_")
_HANDOFF, _HANDED = "handoff", '"handed_over_from"'
# Cites the first passage, as a good answer does.
_ANSWER = """Thank you for your patience while I went through this with you. As far as I can see all is as it should \
be [1], and you need not do anything more right now."""


class Own(msgspec.Struct, frozen=True):
    """The provider's own time for one turn: `calls` of it, to the first word and to the last one of the answer."""

    calls: int
    first_ms: float
    total_ms: float


def mark(own: Own) -> str:
    return f"(own {own.calls} {own.first_ms:.3f} {own.total_ms:.3f})"


def read_mark(text: str) -> Own | None:
    """The mark in an answer; None where some other model, or nobody, has answered."""
    found = _MARK.search(text)
    return Own(int(found[1]), float(found[2]), float(found[3])) if found else None


class Called(msgspec.Struct):
    id: str = ""


class Said(msgspec.Struct):
    role: str
    content: str | None = None
    tool_calls: list[Called] | None = None


class Function(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class Offered(msgspec.Struct):
    function: Function


class Ask(msgspec.Struct):
    """What matters of a request."""

    messages: list[Said]
    tools: list[Offered] | None = None
    response_format: Any = None


class Plan(msgspec.Struct, frozen=True):
    """What to answer: a summary, a call of `tool`, or words. `calls_ms` is how long each earlier call has taken.

    `to` is the specialty that a handoff goes to.
    """

    kind: Literal["summary", "call", "words"]
    tool: str = ""
    to: str = ""
    calls_ms: tuple[float, ...] = ()


def plan(ask: Ask) -> Plan:
    """Pure: the request says where its turn stands."""
    if ask.response_format:
        return Plan("summary")
    last = max((place for place, said in enumerate(ask.messages) if said.role == "user"), default=-1)
    words, rest = (ask.messages[last].content or "") if last >= 0 else "", ask.messages[last + 1 :]
    handed = [said.content for said in rest if said.content and _HANDED in said.content]
    traces = [call.id for said in rest for call in said.tool_calls or []] + handed
    calls = tuple(int(found[1]) / 1000 for text in traces if (found := _CALL.search(text)))
    tool, to = _reading(ask.tools or []), _other(ask.tools or [])
    if HAND_OVER in words and to and not handed:
        return Plan("call", _HANDOFF, to)
    if LOOK_UP in words and tool and not calls:
        return Plan("call", tool)
    return Plan("words", calls_ms=calls)


def _reading(tools: list[Offered]) -> str:
    """A tool that changes nothing and needs no arguments; empty where there is none."""
    names = [one.function.name for one in tools if not one.function.parameters.get("required")]
    return next((name for name in names if name.startswith(_READS)), "")


def _other(tools: list[Offered]) -> str:
    """A specialty that the conversation can be handed to; empty where there is none."""
    handing = [one.function.parameters for one in tools if one.function.name == _HANDOFF]
    return next((to for one in handing for to in one["properties"]["to"]["enum"]), "")


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
        began = time.perf_counter()
        body = await request.read()
        self.opened += 1
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            await response.prepare(request)
            await self._speak(response, body, began)
        except (asyncio.CancelledError, ConnectionError):
            self.cancelled += 1
            self.left_at.append(time.time())
            raise
        self.finished += 1
        return response

    async def _speak(self, response: web.StreamResponse, _body: bytes, _began: float) -> None:
        await response.write(ROLE)
        if self._first_s:
            await asyncio.sleep(self._first_s)
        for delta in self._deltas:
            await response.write(delta)
            if self._interval_s:
                await asyncio.sleep(self._interval_s)
        for data in self._end:
            await response.write(data)


class TurnProvider(LoadProvider):
    """Answers whatever a mesh asks a model for, each answer with its mark."""

    def __init__(self, interval_s: float, first_s: float) -> None:
        super().__init__(0, interval_s, first_s)
        self._deltas = [chunk({"content": f"{word} "}) for word in _ANSWER.split()[: TOKENS - 1]]
        self._asks = msgspec.json.Decoder(Ask)
        self._calls = 0

    async def _speak(self, response: web.StreamResponse, body: bytes, began: float) -> None:
        asked = plan(self._asks.decode(body))
        if asked.kind == "words":
            await self._answer(response, asked, began)
            return
        await self._pause(began, self._first_s)
        said = self._call(asked, began) if asked.kind == "call" else [chunk({"content": _SUMMARY})]
        reason = "tool_calls" if asked.kind == "call" else "stop"
        await response.write(b"".join([ROLE, *said, chunk({}, reason), usage(), DONE]))

    async def _answer(self, response: web.StreamResponse, asked: Plan, began: float) -> None:
        """Each word at its own time, so that a late one delays no other; without pauses all of them are one write."""
        before, calls = sum(asked.calls_ms), len(asked.calls_ms) + 1
        await self._pause(began, self._first_s)
        first = before + _since(began)
        if self._interval_s:
            await response.write(ROLE)
            for number, delta in enumerate(self._deltas):
                await self._pause(began, self._first_s + number * self._interval_s)
                await response.write(delta)
            await self._pause(began, self._first_s + len(self._deltas) * self._interval_s)
        words = b"" if self._interval_s else ROLE + b"".join(self._deltas)
        last = chunk({"content": mark(Own(calls, first, before + _since(began)))})
        await response.write(b"".join([words, last, *self._end]))

    def _call(self, asked: Plan, began: float) -> list[bytes]:
        self._calls += 1
        name = f"own-{int(_since(began) * 1000)}-{self._calls}"
        arguments = json.dumps({"to": asked.to, "reason": f"The customer asks for it, {name}."}) if asked.to else "{}"
        head = {"index": 0, "id": name, "type": "function", "function": {"name": asked.tool, "arguments": arguments}}
        return [chunk({"tool_calls": [head]})]

    async def _pause(self, began: float, until_s: float) -> None:
        left = until_s - (time.perf_counter() - began)
        if left > 0:
            await asyncio.sleep(left)


# Rests on the first line that it was shown, and so counts as grounded.
_SUMMARY = msgspec.json.encode(
    {"facts": [{"text": "The customer asked.", "ids": ["l1"]}], "promises": [], "open_questions": [], "kept": []}
).decode()


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def _provider(options: argparse.Namespace) -> LoadProvider:
    if options.profile:
        first_s, interval_s = PROFILES[options.profile]
        return TurnProvider(interval_s, first_s)
    return LoadProvider(options.deltas, options.interval_ms / 1000, options.first_token_ms / 1000)


async def _serve(options: argparse.Namespace) -> None:
    runner = web.AppRunner(_provider(options).app(), handler_cancellation=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", options.port, backlog=4096).start()
    port: Any = runner.addresses[0][1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}/v1"}), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A model provider for load tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="")
    parser.add_argument("--deltas", type=int, default=30)
    parser.add_argument("--interval-ms", type=float, default=0)
    parser.add_argument("--first-token-ms", type=float, default=0)
    uvloop.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
