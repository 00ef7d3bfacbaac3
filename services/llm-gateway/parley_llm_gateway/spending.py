"""What all llm-gateways have spent, so that a budget outlives a restart and holds for all instances together.

Each process writes its own sums under a name of its own in the bucket `budgets`, once a second; everyone adds up
the others'. What is reserved is not shared: two instances may together exceed a limit by a second's calls.
"""

from __future__ import annotations

import asyncio
import uuid

import msgspec
from nats.aio.client import Client

from parley_llm_gateway.completions import Completions
from parley_mesh.bus import Bus, Stored
from parley_mesh.tail import Tail
from parley_mesh.tasks import end
from parley_mesh.telemetry import log
from parley_mesh.topology import BUDGETS_BUCKET
from parley_proto.errors import ParleyError

EVERY_S = 1.0
READ_S = 3.0
_sums = msgspec.json.Decoder(dict[str, int])


class Spending:
    """Keeps the budgets of `completions` in step with the bucket, where there are any."""

    def __init__(self, client: Client, bus: Bus, completions: Completions) -> None:
        self._bus = bus
        self._completions = completions
        self._own = uuid.uuid4().hex
        self._others: dict[str, dict[str, int]] = {}
        self._written: dict[str, int] = {}
        self._tail = Tail(client, f"KV_{BUDGETS_BUCKET}", f"$KV.{BUDGETS_BUCKET}.>", self._read, start="last")
        self._task: asyncio.Task[None] | None = None

    async def read(self) -> None:
        """What is there, before the first call is let through; TransientError where the bucket can't be read."""
        if self._completions.plant.config.limits:
            await self._open()

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep(), name="spending")

    async def stop(self) -> None:
        """The last sums are written before the process ends."""
        await end(self._task)
        if self._tail.caught_up:
            await self._write()
            await self._tail.close()

    async def _open(self) -> None:
        await self._tail.open()
        await self._tail.catch_up(READ_S)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            if not self._completions.plant.config.limits:
                continue
            if not self._tail.caught_up:
                # The first budget came with a reload.
                await self._quietly()
            await self._write()

    async def _quietly(self) -> None:
        try:
            await self._open()
        except ParleyError as error:
            log("parley.llm").warning("budgets of others unread", extra={"reason": error.message})

    async def _write(self) -> None:
        sums = self._completions.plant.budgets.own()
        if sums == self._written:
            return
        try:
            await self._bus.append(f"$KV.{BUDGETS_BUCKET}.{self._own}", msgspec.json.encode(sums))
            self._written = sums
        except ParleyError as error:
            log("parley.llm").warning("spending not written yet", extra={"reason": error.message})

    def _read(self, stored: Stored) -> None:
        writer = stored.subject.rpartition(".")[2]
        if writer == self._own or not stored.data:
            return
        try:
            self._others[writer] = _sums.decode(stored.data)
        except msgspec.DecodeError:
            log("parley.llm").error("unreadable spending", extra={"writer": writer})
            return
        total: dict[str, int] = {}
        for sums in self._others.values():
            for name, spent in sums.items():
                total[name] = total.get(name, 0) + spent
        self._completions.plant.budgets.absorb(total)
