"""The llm-gateway as its callers meet it: a process with a TOML file, asked through NATS and through HTTP."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from parley_mesh.jetstream import NatsBus
from parley_mesh.topology import apply
from parley_proto import subjects
from parley_proto.envelope import decode, encode, new_id, now_ms
from parley_proto.errors import ParleyError
from parley_proto.llm import (
    ChatMessage,
    CompletionEvent,
    CompletionRequest,
    Failed,
    Finished,
    StreamReset,
    TextDelta,
    ToolCalled,
)
from parley_testkit.fake_provider import FakeProvider
from parley_testkit.nats_server import PASSWORD, NatsServer
from parley_testkit.ports import free_port

PATHS = ("nats", "http")
# Which limit a test waits for, it says itself: the others are far away on however slow a machine.
_CONFIG = """
[providers.a]
kind = "openai"
base_url = "{a}"
[providers.b]
kind = "openai"
base_url = "{b}"
region = "eu"
[models.a-model]
provider = "a"
price = {{ input = 1000000, output = 1000000 }}
context = {context}
[models.b-model]
provider = "b"
price = {{ input = 1000000, output = 1000000 }}
capabilities = ["tools", "json", "vision", "embeddings"]
[tiers.standard]
candidates = ["a-model", "b-model"]
[tiers.fast]
candidates = ["a-model"]
[timeouts]
connect_s = 0.5
first_delta_s = {first_delta_s}
first_delta_floor_s = {first_delta_s}
inter_delta_s = {inter_delta_s}
slow_window_s = {slow_window_s}
min_chars_per_s = 20.0
[breaker]
rest_s = {rest_s}
longest_s = {rest_s}
[concurrency]
start = {most}
least = 1
most = {most}
[queue]
length = 2
wait_s = 30.0
[embeddings]
model = "b-model"
{more}
"""


class Answer(msgspec.Struct):
    """What a caller got. `status` is HTTP's, 0 on NATS; `code` is empty for a success."""

    text: str = ""
    code: str = ""
    message: str = ""
    model: str = ""
    status: int = 0
    resets: int = 0
    partial: bool = False
    done: bool = False
    calls: list[str] = []
    retry_after: str = ""


class Outside:
    """One gateway with two providers behind it, `a` first in tier standard and alone in tier fast."""

    def __init__(self, a: FakeProvider, b: FakeProvider, url: str, bus: NatsBus, file: Path, options: dict[str, Any]):
        self.a, self.b, self.url, self.bus, self.file = a, b, url, bus, file
        self._options = options
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def ask(self, path: str, **wishes: Any) -> Answer:
        """A completion through `path`. Wishes: text, tier, deadline_s, tenant, headers, and request fields."""
        return await (self.nats(**wishes) if path == "nats" else self.http(**wishes))

    async def nats(
        self, text: str = "Hello", tier: str = "standard", deadline_s: float = 60, headers: Any = None, **more: Any
    ) -> Answer:
        answer = Answer()
        request = request_of(text, tier, deadline_s, **more)
        try:
            async for data in self.bus.stream(subjects.complete(tier), encode(request), idle=60):
                _hear(answer, decode(data, CompletionEvent))
        except ParleyError as error:
            answer.code, answer.message = error.code, error.message
        return answer

    async def http(
        self,
        text: str = "Hello",
        tier: str = "standard",
        deadline_s: float = 60,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        body = {"model": tier, "stream": True, "messages": [{"role": "user", "content": text}]}
        body |= {name: value for name, value in more.items() if name in ("max_tokens", "temperature")}
        own = {"X-Parley-Deadline": str(now_ms() + int(deadline_s * 1000))} | (headers or {})
        async with self.session.post(f"{self.url}/v1/chat/completions", json=body, headers=own) as response:
            return _read(response.status, response.headers.get("Retry-After", ""), await response.text())

    async def metric(self, name: str) -> float:
        """The sum of a counter's series."""
        async with self.session.get(f"{self.url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def write(self, **changes: Any) -> None:
        made = self.file.with_suffix(".new")
        made.write_text(config(self.a, self.b, **(self._options | changes)))
        made.replace(self.file)


def request_of(text: str, tier: str, deadline_s: float, **more: Any) -> CompletionRequest:
    request = CompletionRequest(
        new_id("r"),
        "default",
        more.pop("conversation", new_id("c")),
        [ChatMessage("user", text)],
        now_ms() + int(deadline_s * 1000),
        tier=tier,  # type: ignore[arg-type]
    )
    return msgspec.structs.replace(request, **more)


def config(
    a: FakeProvider,
    b: FakeProvider,
    *,
    rest_s: float = 5.0,
    most: int = 64,
    context: int = 0,
    first_delta_s: float = 30.0,
    inter_delta_s: float = 30.0,
    slow_window_s: float = 30.0,
    more: str = "",
) -> str:
    return _CONFIG.format(
        a=a.url,
        b=b.url,
        rest_s=rest_s,
        most=most,
        context=context,
        first_delta_s=first_delta_s,
        inter_delta_s=inter_delta_s,
        slow_window_s=slow_window_s,
        more=more,
    )


@asynccontextmanager
async def outside(server: NatsServer, **options: Any) -> AsyncIterator[Outside]:
    """A fresh gateway: breakers, budgets and limits know nothing yet."""
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(FakeProvider())
        b = await stack.enter_async_context(FakeProvider())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file, port = folder / "llm.toml", free_port()
        file.write_text(config(a, b, **options))
        await apply(await server.connect(), (), shards=0)
        process = _start(server, file, port)
        stack.callback(_end, process)
        url = f"http://127.0.0.1:{port}"
        client = await server.connect("billing")
        found = Outside(a, b, url, NatsBus(client), file, options)
        stack.push_async_callback(found.session.close)
        await _until_ready(found, process)
        yield found


def _start(server: NatsServer, file: Path, port: int) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    own = {
        "PARLEY_CONFIG": os.devnull,
        "PARLEY_LLM_GATEWAY_CONFIG": str(file),
        "PARLEY_MESH_NATS_URL": server.url,
        "PARLEY_MESH_NATS_USER": "llm-gateway",
        "PARLEY_MESH_NATS_PASSWORD": PASSWORD,
        "PARLEY_MESH_HEALTH_PORT": str(port),
        "PARLEY_MESH_DRAIN_S": "2",
    }
    return subprocess.Popen([sys.executable, "-m", "parley_llm_gateway"], env=kept | own, stderr=subprocess.DEVNULL)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


async def _until_ready(found: Outside, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(90):
        while process.poll() is None:
            try:
                async with found.session.get(f"{found.url}/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                # It is not listening yet: the timeout above bounds how often this is asked.
                await asyncio.sleep(0.05)
    raise AssertionError("the llm-gateway ended before it was ready")


def _hear(answer: Answer, event: CompletionEvent) -> None:
    match event:
        case TextDelta(text):
            answer.text += text
        case ToolCalled(call):
            answer.calls.append(call.arguments)
        case StreamReset():
            answer.text, answer.resets = "", answer.resets + 1
        case Finished():
            answer.done, answer.model = True, event.model
        case Failed():
            answer.code, answer.message, answer.partial = event.code, event.message, event.partial


def _read(status: int, retry_after: str, text: str) -> Answer:
    answer = Answer(status=status, retry_after=retry_after)
    if status != 200:
        error = msgspec.json.decode(text)["error"]
        answer.code, answer.message = error["code"], error["message"]
        return answer
    for block in text.split("\n\n"):
        _event(answer, block)
    return answer


def _event(answer: Answer, block: str) -> None:
    data = block.rpartition("data: ")[2]
    if block.startswith("event: stream.reset"):
        answer.text, answer.resets = "", answer.resets + 1
    elif data == "[DONE]":
        answer.done = True
    elif block.startswith("data: "):
        body = msgspec.json.decode(data)
        if "error" in body:
            answer.code, answer.message = body["error"]["code"], body["error"]["message"]
            answer.partial = body["error"].get("partial", False)
        for choice in body.get("choices", []):
            answer.text += choice["delta"].get("content") or ""
            answer.model = body["model"]


def silent(answers: Sequence[Answer]) -> list[str]:
    """The codes of those that failed."""
    return sorted(answer.code for answer in answers if answer.code)
