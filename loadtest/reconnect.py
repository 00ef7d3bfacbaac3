"""Everybody comes back at once: the gateway is killed under its supervisor, and all its clients resume together.

.venv/bin/python loadtest/reconnect.py --clients 5000
Starts a mesh of its own (the door, the log, the conversations, the archive), gives each client a conversation with one
answered message, and connects them all. Then it kills the gateway, shows every conversation one more message meanwhile,
and lets all clients connect at the same moment, each with the `since` that it had. A client has lost a message when
that one does not come. Prints a table, and as its last line one JSON object, also written to
loadtest/out/reconnect.json; the exit code is 1 when anything was lost.

What was answered is written to the log as the conversation service writes it: 5,000 turns would measure the model.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import uvloop

from parley_mesh.connection import connect
from parley_mesh.jetstream import NatsBus
from parley_proto import subjects
from parley_proto.conversation import Checkpoint, MessageShown, OwnerChanged
from parley_proto.envelope import Identity, digest, encode, new_id, now_ms
from parley_testkit.mesh import RunningMesh

OUT = Path(__file__).parent / "out"
FILES = 65_536
WRITES_AT_ONCE = 64
TRIES_S = 120.0
SPECIALTY = "billing"
# Nobody asks anything, so the models and the specialists stay away.
ENVIRON = {"PARLEY_UP_ONLY": "gateway,conversation,archiver", "PARLEY_GATEWAY_EXPECTS": "conversation,archiver"}


class Place(msgspec.Struct):
    """A conversation and how far its client has read; `missed` is the number of what was shown while it was away."""

    thread: str
    since: int
    missed: int = 0


class Came(msgspec.Struct):
    """How one client came back. Seconds since all were let go; -1 for what did not happen."""

    resume: str
    welcomed: float
    heard: float
    tries: int


class Client:
    """One customer's page: a ticket, a hello, frames."""

    def __init__(self, session: aiohttp.ClientSession, url: str, place: Place) -> None:
        self.place = place
        self.came = Came("", -1, -1, 0)
        self._session = session
        self._url = url
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def connect(self, began: float) -> None:
        """Until it has what it missed; a refusal or a broken connection is another try after the time it names."""
        deadline = time.monotonic() + TRIES_S
        while self.came.heard < 0 and time.monotonic() < deadline:
            self.came.tries += 1
            wait_ms = 1000.0
            try:
                wait_ms = await self._once(began)
            except (OSError, TimeoutError, aiohttp.ClientError):
                wait_ms *= random.uniform(0.2, 1.0)
            if self.came.heard < 0:
                await asyncio.sleep(wait_ms / 1000)

    async def come_and_stay(self) -> asyncio.Task[None]:
        """Connect; the task lasts as long as the connection."""
        await self.connect(time.monotonic())
        return asyncio.create_task(self.until_cut())

    async def until_cut(self) -> None:
        """Read, and so answer pings too, until the other side ends the connection."""
        if self._socket:
            with contextlib.suppress(OSError):
                while (await self._socket.receive()).type is aiohttp.WSMsgType.TEXT:
                    continue
            await self._socket.close()

    async def _once(self, began: float) -> float:
        async with self._session.post(f"{self._url}/v1/tickets") as reply:
            ticket = (await reply.json())["ticket"]
        self._socket = await self._session.ws_connect(f"{self._url}/v1/ws", compress=0)
        hello = {"type": "hello", "ticket": ticket, "threadId": self.place.thread, "since": self.place.since}
        await self._socket.send_json(hello)
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            frame = json.loads(message.data)
            if frame["type"] == "error":
                return float(frame.get("retryAfterMs", 1000))
            self._take(frame, began)
            if self.came.heard >= 0:
                return 0
        return random.uniform(200, 1000)

    def _take(self, frame: dict[str, Any], began: float) -> None:
        if frame["type"] == "welcome":
            self.came.resume = frame["resume"]
            self.came.welcomed = time.monotonic() - began
        seen = frame.get("seq", 0)
        self.place.since = max(self.place.since, seen)
        if self.came.welcomed >= 0 and self.place.since >= self.place.missed:
            self.came.heard = time.monotonic() - began


async def work(url: str) -> None:
    """A process of clients: connects those it is given, waits for the cut, and comes back when it is let go."""
    resource.setrlimit(resource.RLIMIT_NOFILE, _files())
    places = msgspec.json.decode(await _line(), type=list[Place])
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(TRIES_S)) as session:
        clients = [Client(session, url, place) for place in places]
        held = await _at_once(100, [client.come_and_stay for client in clients])
        _tell({"connected": sum(client.came.heard >= 0 for client in clients)})
        await asyncio.gather(*held)
        _tell({"cut": len(clients)})
        missed = msgspec.json.decode(await _line(), type=dict[str, int])
        for client in clients:
            client.came = Came("", -1, -1, 0)
            client.place.missed = missed[client.place.thread]
        began = time.monotonic()
        await asyncio.gather(*(client.connect(began) for client in clients))
        _tell([client.came for client in clients])


async def _line() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


def _tell(what: Any) -> None:
    print(msgspec.json.encode(what).decode(), flush=True)


async def _at_once(limit: int, calls: Iterable[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """The results of `calls`, of which `limit` run at the same time."""
    places = asyncio.Semaphore(limit)

    async def one(call: Callable[[], Awaitable[Any]]) -> Any:
        async with places:
            return await call()

    return await asyncio.gather(*(one(call) for call in calls))


async def seed(bus: NatsBus, count: int) -> list[Place]:
    """`count` conversations of anonymous visitors, each with a question and its answer."""

    async def one(number: int) -> Place:
        thread = new_id("c")
        who = Identity("default", "anonymous", f"cus_{number % 200 + 1:04d}")
        question = MessageShown(digest(thread, "1"), "customer", "Was I charged twice?", now_ms(), client_id="1")
        owner = OwnerChanged(SPECIALTY, "", 1, "routed", now_ms())
        checkpoint = Checkpoint(thread, who, now_ms(), owner=SPECIALTY, epoch=1, turns=1)
        await bus.append(subjects.checkpoint(thread), encode(checkpoint))
        await bus.append(subjects.out(thread), encode(question))
        await bus.append(subjects.out(thread), encode(owner))
        return Place(thread, await show(bus, thread, "You were charged once; the other is a reservation."))

    found: list[Place] = await _at_once(WRITES_AT_ONCE, [lambda n=n: one(n) for n in range(count)])  # type: ignore[misc]
    return found


async def show(bus: NatsBus, thread: str, text: str) -> int:
    """The number of an answer in the resume log."""
    name = new_id("r")
    shown = MessageShown(name, "assistant", text, now_ms(), turn_id=name, specialty=SPECIALTY, final=True)
    return (await bus.append(subjects.out(thread), encode(shown))).seq


class Workers:
    """The processes of clients, by the lines that they read and write."""

    def __init__(self, url: str, places: Sequence[Place], processes: int) -> None:
        self._url = url
        self._shares = [list(places[number::processes]) for number in range(processes)]
        self._processes: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        for share in self._shares:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                __file__,
                "--worker",
                self._url,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=1 << 26,
            )
            self._processes.append(process)
            await self._write(process, share)

    async def heard(self) -> list[Any]:
        """The next line of each."""
        return [await self._read(process) for process in self._processes]

    async def go(self, missed: dict[str, int]) -> list[Came]:
        """Let all clients connect at once; how each came back."""
        await asyncio.gather(*(self._write(process, missed) for process in self._processes))
        return [Came(**came) for share in await self.heard() for came in share]

    async def end(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _write(self, process: asyncio.subprocess.Process, what: Any) -> None:
        assert process.stdin
        process.stdin.write(msgspec.json.encode(what) + b"\n")
        await process.stdin.drain()

    async def _read(self, process: asyncio.subprocess.Process) -> Any:
        assert process.stdout
        return msgspec.json.decode(await process.stdout.readline())


async def measure(mesh: RunningMesh, count: int, processes: int) -> dict[str, Any]:
    client = await connect(mesh.operator(), "reconnect")
    bus = NatsBus(client)
    workers = Workers(mesh.url, await seed(bus, count), processes)
    places = [place for share in workers._shares for place in share]
    try:
        await workers.start()
        _say(f"connected: {sum(one['connected'] for one in await workers.heard())}")
        old, killed = mesh.kill("gateway-1", signal.SIGKILL), time.monotonic()
        await workers.heard()
        texts = [lambda place=place: show(bus, place.thread, "And one more thing.") for place in places]
        numbers: list[int] = await _at_once(WRITES_AT_ONCE, texts)
        missed = {place.thread: number for place, number in zip(places, numbers, strict=True)}
        await asyncio.to_thread(mesh.wait_restarted, "gateway-1", old)
        await asyncio.to_thread(_until_ready, mesh.url)
        away_s = time.monotonic() - killed
        pid = mesh.pid("gateway-1")
        before_s = cpu_s(pid)
        came = await workers.go(missed)
        return report(came, away_s) | {"gateway_cpu_s": round(cpu_s(pid) - before_s, 1), "gateway_rss_mb": rss_mb(pid)}
    finally:
        await workers.end()
        await client.close()


def report(came: Sequence[Came], away_s: float) -> dict[str, Any]:
    """What is printed: who came back, in how many seconds after all were let go."""
    heard = [one.heard for one in came if one.heard >= 0]
    return {
        "clients": len(came),
        "replayed": sum(one.resume == "replayed" for one in came),
        "reset": sum(one.resume == "reset" for one in came),
        "lost": sum(one.heard < 0 for one in came),
        "tries_most": max(one.tries for one in came),
        "welcomed_s": spread([one.welcomed for one in came if one.welcomed >= 0]),
        "heard_s": spread(heard),
        "gateway_away_s": round(away_s, 2),
    }


def spread(seconds: Iterable[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    if not ordered:
        return {}
    places = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[min(int(part * len(ordered)), len(ordered) - 1)], 2) for name, part in places.items()}


def cpu_s(pid: int) -> float:
    """Seconds of processor time so far: what it cost, however busy the machine is with others."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def _until_ready(url: str) -> None:
    deadline = time.monotonic() + TRIES_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5) as reply:
                if reply.status == 200:
                    return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError("The gateway did not come back.")


def _files() -> tuple[int, int]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (FILES if hard == resource.RLIM_INFINITY else min(FILES, hard), hard)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--worker", metavar="URL", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        uvloop.run(work(asked.worker))
        return
    with RunningMesh(environ=ENVIRON) as mesh:
        found = uvloop.run(measure(mesh, asked.clients, asked.processes))
    for name, value in found.items():
        print(f"{name:16} {value}")
    OUT.mkdir(exist_ok=True)
    (OUT / "reconnect.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))
    sys.exit(1 if found["lost"] else 0)


if __name__ == "__main__":
    main()
