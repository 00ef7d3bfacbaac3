"""How far the archive is behind the log, asked of the log itself: right also while nothing is delivered."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from nats.aio.client import Client

from parley_archiver import metrics
from parley_mesh.errors import CLIENT_ERRORS
from parley_mesh.telemetry import log

EVERY_S = 5.0
TIMEOUT_S = 2.0


class Lag:
    """`pending` messages wait to be archived, delivered or not; None until the log has said so."""

    def __init__(self, client: Client, stream: str, durable: str, *, every_s: float = EVERY_S) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.INFO.{stream}.{durable}"
        self._every_s = every_s
        self.pending: int | None = None

    async def run(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(self._every_s)

    async def _look(self) -> None:
        try:
            reply = await self._client.request(self._subject, timeout=TIMEOUT_S)
        except CLIENT_ERRORS as error:
            log("parley.archiver").info("the lag is not known", extra={"reason": str(error)})
            return
        info: dict[str, Any] = msgspec.json.decode(reply.data)
        if "error" not in info:
            self.pending = int(info["num_pending"]) + int(info["num_ack_pending"])
            metrics.LAG.set(self.pending)
