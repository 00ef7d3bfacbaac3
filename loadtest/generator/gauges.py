"""What is measured while the customers talk: processes, queues, event loops and caches of the mesh."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import aiohttp
import msgspec
from nats.aio.client import Client

from generator import prometheus
from generator.processes import SUPERVISOR, Meter, Use, seen
from generator.prometheus import Metrics
from parley_cli.supervise.state import State
from parley_cli.survey import survey

EVERY_S = 2.0
_QUEUES_EVERY = 3
_SERVERS = ("nats", "postgres")


class Sample(msgspec.Struct):
    """One look, `at` seconds of the run. `lag_ms` is the worst instance's p99 since the look before.

    `pending` and `in_flight` wait in the log or were taken from it, `inside` waits within a service.
    """

    at: float
    use: dict[str, Use]
    pending: dict[str, int] = {}
    in_flight: dict[str, int] = {}
    lag_ms: dict[str, float] = {}
    inside: dict[str, int] = {}


class Gauges:
    """Looks at a running mesh every two seconds, from `start` to `stop`; `others` are processes beside it."""

    def __init__(self, state: State, client: Client, others: Mapping[int, str]) -> None:
        self.samples: list[Sample] = []
        self._state = state
        self._client = client
        roots = {child.pid: child.service for child in state.children.values()}
        self._meter = Meter(roots | {state.pid: SUPERVISOR} | dict(others))
        self._instances = {name: child for name, child in state.children.items() if child.service not in _SERVERS}
        self._first: dict[str, Metrics] = {}
        self._last: dict[str, Metrics] = {}
        self._looking: asyncio.Task[None] | None = None
        self._began = 0.0

    async def start(self, began: float) -> None:
        """`began` is the run's beginning, in monotonic seconds."""
        self._began = began
        self._first = self._last = await self._scrape()
        self._looking = asyncio.create_task(self._look_often())

    async def stop(self) -> None:
        if self._looking:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        self._last = await self._scrape()

    def use(self) -> dict[str, Use]:
        """What the processes have used so far."""
        return self._meter.read(seen())

    def lag_ms(self) -> dict[str, float]:
        """The p99 over the whole time, by service: of several instances the worst."""
        return self._lags(self._first, self._last)

    def states(self) -> dict[str, float]:
        """The conversations that their owners hold in memory, and what those say that each takes."""
        count = prometheus.level(self._last.values(), prometheus.STATES)
        size = prometheus.level(self._last.values(), prometheus.STATE_BYTES)
        return {"count": count, "kb_each": round(size / 1000 / count, 2) if count else 0.0}

    def caches(self) -> dict[str, dict[str, float]]:
        grown = [
            prometheus.since(self._last[name], self._first[name], "parley_")
            for name in self._last
            if name in self._first
        ]
        return prometheus.hit_rates(grown)

    async def _look_often(self) -> None:
        count = 0
        while True:
            sample = Sample(time.monotonic() - self._began, self.use())
            self.samples.append(sample)
            before, self._last = self._last, await self._scrape()
            sample.lag_ms = self._lags(before, self._last)
            sample.inside = prometheus.queues(list(self._last.values()))
            if count % _QUEUES_EVERY == 0:
                services = sorted({child.service for child in self._instances.values()})
                found = await survey(self._client, services, len(self._instances) - 1)
                sample.pending, sample.in_flight = found.pending, found.in_flight
            count += 1
            await asyncio.sleep(max(0.1, EVERY_S * count - (time.monotonic() - self._began)))

    def _lags(self, before: Mapping[str, Metrics], now: Mapping[str, Metrics]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, metrics in now.items():
            grown = prometheus.since(metrics, before.get(name, {}), prometheus.LAG)
            if grown:
                service = self._instances[name].service
                found[service] = max(found.get(service, 0.0), round(prometheus.lag_ms(grown), 1))
        return found

    async def _scrape(self) -> dict[str, Metrics]:
        """The metrics of every instance that answers."""
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            names = list(self._instances)
            texts = await asyncio.gather(*(self._text(session, name) for name in names))
        return {name: prometheus.read(text) for name, text in zip(names, texts, strict=True) if text}

    async def _text(self, session: aiohttp.ClientSession, name: str) -> str:
        try:
            async with session.get(f"http://127.0.0.1:{self._instances[name].port}/metrics") as reply:
                return await reply.text() if reply.status == 200 else ""
        except (aiohttp.ClientError, OSError, TimeoutError):
            return ""
