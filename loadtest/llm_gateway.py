"""What the llm-gateway itself costs: CPU a streamed completion over HTTP and NATS, memory over many, cancels.

.venv/bin/python loadtest/llm_gateway.py --streams 3000 --rss-streams 100000
Prints a table; the last line is one JSON object, also written to loadtest/out/llm_gateway.json. With
--litellm PYTHON (an interpreter that has litellm's proxy) the same work goes through that proxy in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil
import uvloop

from parley_mesh.jetstream import NatsBus
from parley_mesh.topology import apply
from parley_proto import subjects
from parley_proto.envelope import encode, new_id, now_ms
from parley_proto.llm import ChatMessage, CompletionRequest
from parley_testkit.nats_server import PASSWORD, NatsServer
from parley_testkit.ports import free_port

MODEL = "load-model"
OUT = Path(__file__).parent / "out"
CONFIG = """
[providers.load]
kind = "openai"
base_url = "{url}"
[models.{model}]
provider = "load"
price = {{ input = 150000, output = 600000 }}
[tiers.standard]
candidates = ["{model}"]
[concurrency]
start = 512
most = 1000
[[budgets]]
scope = "tenant"
amount = "1000000"
[[budgets]]
scope = "conversation"
amount = "1000"
[timeouts]
first_delta_s = 10
"""
Once = Callable[[], Awaitable[None]]


class Row(msgspec.Struct):
    """One path's figures; CPU of the gateway's own process, in milliseconds a stream."""

    path: str
    streams: int
    per_s: float
    cpu_ms: float
    per_s_core: float
    p50_ms: float
    p95_ms: float


@asynccontextmanager
async def process(*command: str, **environ: str) -> AsyncIterator[subprocess.Popen[str]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    with (OUT / "stderr.log").open("w") as errors:
        child = subprocess.Popen(command, env=kept | environ, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(10)


@asynccontextmanager
async def provider(options: argparse.Namespace, interval_ms: float) -> AsyncIterator[str]:
    command = ["-m", "parley_testkit.load_provider", "--deltas", str(options.deltas), "--interval-ms", str(interval_ms)]
    async with process(sys.executable, *command) as child:
        assert child.stdout
        yield json.loads(await asyncio.to_thread(child.stdout.readline))["url"]


@asynccontextmanager
async def gateway(server: NatsServer, upstream: str) -> AsyncIterator[tuple[str, psutil.Process]]:
    port = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(CONFIG.format(url=upstream, model=MODEL))
        file.flush()
        async with process(
            sys.executable,
            "-m",
            "parley_llm_gateway",
            PARLEY_CONFIG=os.devnull,
            PARLEY_LLM_GATEWAY_CONFIG=file.name,
            PARLEY_LLM_GATEWAY_MAX_RUNNING="1000",
            PARLEY_MESH_NATS_URL=server.url,
            PARLEY_MESH_NATS_USER="llm-gateway",
            PARLEY_MESH_NATS_PASSWORD=PASSWORD,
            PARLEY_MESH_HEALTH_PORT=str(port),
            PARLEY_MESH_LOG_LEVEL="WARNING",
        ) as child:
            await until_up(f"http://127.0.0.1:{port}/readyz")
            yield f"http://127.0.0.1:{port}/v1", psutil.Process(child.pid)


async def until_up(url: str, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.05)


def over_http(session: aiohttp.ClientSession, url: str) -> Once:
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "Where is my parcel? " * 20}]}
    data = msgspec.json.encode(body)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}

    async def once() -> None:
        async with session.post(f"{url}/chat/completions", data=data, headers=headers) as response:
            text = await response.read()
            if b"[DONE]" not in text:
                raise SystemExit(f"A stream failed: {text[-300:]!r}")

    return once


def asking() -> CompletionRequest:
    messages = [ChatMessage("user", "Where is my parcel? " * 20)]
    return CompletionRequest(new_id("r"), "default", new_id("c"), messages, now_ms() + 60_000, model=MODEL, lease_s=60)


def over_nats(bus: NatsBus) -> Once:
    async def once() -> None:
        last = b""
        async for data in bus.stream(subjects.complete("standard"), encode(asking()), idle=10):
            last = data
        if b"Finished" not in last:
            raise SystemExit(f"A stream failed: {last[-300:]!r}")

    return once


async def many(once: Once, count: int, at_once: int) -> list[float]:
    """Seconds of each of `count` calls, `at_once` under way."""
    left = iter(range(count))
    took: list[float] = []

    async def worker() -> None:
        for _ in left:
            start = time.perf_counter()
            await once()
            took.append(time.perf_counter() - start)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return took


async def measure(path: str, once: Once, watched: psutil.Process, options: argparse.Namespace) -> Row:
    await many(once, 200, options.concurrency)
    before, start = _cpu(watched), time.perf_counter()
    took = await many(once, options.streams, options.concurrency)
    seconds, cpu = time.perf_counter() - start, (_cpu(watched) - before) * 1000 / options.streams
    cuts = statistics.quantiles(took, n=20)
    p50, p95 = statistics.median(took) * 1000, cuts[18] * 1000
    row = Row(path, options.streams, options.streams / seconds, cpu, 1000 / cpu, p50, p95)
    speed = f"{row.per_s:>9.0f}/s{cpu:>9.2f} ms CPU{row.per_s_core:>8.0f}/s/core"
    print(f"{path:<14}{speed}{p50:>8.1f}{p95:>8.1f} ms p50/p95")
    return row


def _cpu(watched: psutil.Process) -> float:
    family = [watched, *watched.children(recursive=True)]
    return sum(one.cpu_times().user + one.cpu_times().system for one in family)


async def memory(once: Once, watched: psutil.Process, options: argparse.Namespace) -> dict[str, float]:
    """RSS in MB after a tenth, a half and all of the streams; drift in percent between the first and the last."""
    marks: dict[str, float] = {}
    done = 0
    for name, share in (("tenth", 0.1), ("half", 0.5), ("all", 1.0)):
        await many(once, int(options.rss_streams * share) - done, options.concurrency)
        done = int(options.rss_streams * share)
        marks[name] = watched.memory_info().rss / 1e6
        print(f"RSS after {done} streams: {marks[name]:.1f} MB", flush=True)
    return marks | {"drift_percent": 100 * (marks["all"] - marks["tenth"]) / marks["tenth"]}


async def cancels(url: str, upstream: str, bus: NatsBus, count: int = 100) -> dict[str, Any]:
    """How many of `count` streams still generate 50 ms after their end was asked for, and the median of the delay."""
    found: dict[str, Any] = {}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for path, ending in (("http", _hang_up), ("nats", _cancel)):
            seen = len((await _counted(session, upstream))["left_at"])
            asked_at = await ending(session, url, bus, upstream, count)
            async with asyncio.timeout(10):
                while len(left := (await _counted(session, upstream))["left_at"][seen:]) < count:
                    await asyncio.sleep(0.02)
            delays = sorted(at - asked_at for at in left)
            late = sum(delay > 0.05 for delay in delays)
            found[path] = {"late_50_ms": late, "median_ms": 1000 * delays[count // 2], "worst_ms": 1000 * delays[-1]}
            print(
                f"cancel {path}: {late} of {count} later than 50 ms, median {1000 * delays[count // 2]:.1f} ms, "
                f"worst {1000 * delays[-1]:.1f} ms"
            )
        metrics = await (await session.get(url.replace("/v1", "/metrics"))).text()
    lines = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line.startswith("parley_llm_settled_total"))
    return found | {"settled": float(lines.get("parley_llm_settled_total", 0))}


async def _counted(session: aiohttp.ClientSession, upstream: str) -> dict[str, Any]:
    async with session.get(upstream.replace("/v1", "/streams")) as response:
        counted: dict[str, Any] = await response.json()
        return counted


async def _until_open(session: aiohttp.ClientSession, upstream: str, count: int) -> None:
    async with asyncio.timeout(60):
        while (await _counted(session, upstream))["open"] < count:
            await asyncio.sleep(0.02)


async def _hang_up(session: aiohttp.ClientSession, url: str, bus: NatsBus, upstream: str, count: int) -> float:
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "Tell me a long story."}]}
    posts = [session.post(f"{url}/chat/completions", json=body) for _ in range(count)]
    responses = await asyncio.gather(*posts)
    await _until_open(session, upstream, count)
    asked_at = time.time()
    for response in responses:
        response.close()
    return asked_at


async def _cancel(session: aiohttp.ClientSession, url: str, bus: NatsBus, upstream: str, count: int) -> float:
    requests = [asking() for _ in range(count)]

    async def listen(request: CompletionRequest) -> None:
        async for _ in bus.stream(subjects.complete("standard"), encode(request), idle=10):
            continue

    tasks = [asyncio.create_task(listen(request)) for request in requests]
    await _until_open(session, upstream, count)
    asked_at = time.time()
    for request in requests:
        await bus.publish(subjects.cancel(request.request_id), b"")
    await asyncio.gather(*tasks)
    return asked_at


async def litellm(options: argparse.Namespace, upstream: str) -> Row | None:
    """The same work through litellm's proxy, where it is installed."""
    if not options.litellm:
        print("litellm: skipped, no --litellm PYTHON was given")
        return None
    port = free_port()
    config = OUT / "litellm.json"
    params = {"model": f"openai/{MODEL}", "api_base": upstream, "api_key": "none"}
    config.write_text(json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": params}]}))
    command = str(Path(options.litellm).parent / "litellm")
    async with process(command, "--config", str(config), "--port", str(port), "--num_workers", "1") as child:
        await until_up(f"http://127.0.0.1:{port}/health/liveliness", 120)
        fewer = argparse.Namespace(**vars(options) | {"streams": min(options.streams, 300)})
        async with aiohttp.ClientSession() as session:
            return await measure(
                "litellm HTTP", over_http(session, f"http://127.0.0.1:{port}/v1"), psutil.Process(child.pid), fewer
            )


async def run(options: argparse.Namespace) -> dict[str, Any]:
    OUT.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        server = await enter(NatsServer())
        await apply(await server.connect(), (), shards=0)
        upstream = await enter(provider(options, options.interval_ms))
        url, watched = await enter(gateway(server, upstream))
        session = await enter(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        bus = NatsBus(await server.connect("billing"))
        rows = [
            await measure("gateway HTTP", over_http(session, url), watched, options),
            await measure("gateway NATS", over_nats(bus), watched, options),
        ]
        peer = await litellm(options, upstream)
        result: dict[str, Any] = {"rows": [msgspec.to_builtins(row) for row in [*rows, *([peer] if peer else [])]]}
        if options.rss_streams:
            result["rss_mb"] = await memory(over_http(session, url), watched, options)
        slow = await enter(provider(argparse.Namespace(deltas=2000), 10))
        slow_url, _ = await enter(gateway(server, slow))
        # Two gateways share the queue on NATS: the first is told to go before the cancels are counted.
        watched.terminate()
        watched.wait(15)
        result["cancel"] = await cancels(slow_url, slow, bus)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=3000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--deltas", type=int, default=30)
    parser.add_argument("--interval-ms", type=float, default=0)
    parser.add_argument("--rss-streams", type=int, default=0)
    parser.add_argument("--litellm", default="", help="the Python that has litellm's proxy")
    result = uvloop.run(run(parser.parse_args()))
    line = json.dumps(result)
    (OUT / "llm_gateway.json").write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
