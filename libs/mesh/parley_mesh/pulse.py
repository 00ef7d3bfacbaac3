"""How the services are: each instance says so on core NATS, and who listens knows which service is missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

import msgspec
from nats.aio.client import Client

from parley_mesh.errors import CLIENT_ERRORS
from parley_mesh.tasks import end
from parley_mesh.telemetry import log
from parley_proto import subjects
from parley_proto.envelope import encode

EVERY_S = 2.0
LOOK_S = 0.2
PATIENCE_S = 6.0


class Pulse(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an instance says of itself; `reason` is empty while it is ready, else one sentence."""

    instance: str
    reason: str = ""


class Heart:
    """Says how one instance is: every `EVERY_S`, and within `LOOK_S` of a change."""

    def __init__(self, client: Client, service: str, instance: str, reason: Callable[[], str]) -> None:
        self._client = client
        self._subject = subjects.health(service)
        self._instance = instance
        self._reason = reason
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._beat(), name="pulse")

    async def tell(self) -> None:
        """Say how it is now: what ends at once would never be looked at."""
        if self._client.is_connected:
            await self._say(Pulse(self._instance, self._reason()))

    async def stop(self) -> None:
        await end(self._task)

    async def _beat(self) -> None:
        said, due = "", 0.0
        while True:
            reason, now = self._reason(), time.monotonic()
            # While the connection is lost the client would keep what is said, and say it when it is no longer true.
            if self._client.is_connected and (reason != said or now >= due):
                await self._say(Pulse(self._instance, reason))
                said, due = reason, now + EVERY_S
            await asyncio.sleep(LOOK_S)

    async def _say(self, pulse: Pulse) -> None:
        try:
            await self._client.publish(self._subject, encode(pulse))
        except CLIENT_ERRORS as error:
            log("parley.mesh").info("pulse not sent", extra={"reason": str(error)})


class Vitals:
    """Which services are missing, from what was heard of them. Pure; times are monotonic seconds.

    A service is missing when for `patience_s` no instance of it has said that it is ready. `expected` ones count from
    the beginning, others from when they were first heard of.
    """

    def __init__(self, expected: Iterable[str], now: float, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._ready_at = dict.fromkeys(expected, now)
        self._reasons: dict[str, tuple[str, float]] = {}

    def heard(self, service: str, pulse: Pulse, now: float) -> None:
        if pulse.reason:
            self._reasons[service] = (pulse.reason, now)
            self._ready_at.setdefault(service, now)
        else:
            self._ready_at[service] = now

    def start_over(self, now: float) -> None:
        """Be patient anew: who could not listen has missed what was said."""
        self._ready_at = dict.fromkeys(self._ready_at, now)

    def missing(self, now: float) -> dict[str, str]:
        """Each missing service with the reason that an instance of it gave last, if it still gives one."""
        late = [service for service, at in self._ready_at.items() if now - at > self._patience_s]
        return {service: self._why(service, now) for service in sorted(late)}

    def _why(self, service: str, now: float) -> str:
        reason, at = self._reasons.get(service, ("", 0.0))
        if reason and now - at <= self._patience_s:
            return reason
        return f"{service} has not been heard of for {now - self._ready_at[service]:.0f} s."
