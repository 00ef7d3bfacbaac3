"""What does not work just now, NATS itself included: its parts are told to customers, the reasons to operators."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from parley_mesh.bus import Listener, Subscription
from parley_mesh.pulse import Pulse, Vitals
from parley_mesh.tasks import end
from parley_mesh.telemetry import log
from parley_proto import subjects
from parley_proto.envelope import decode
from parley_proto.errors import PermanentError

LOOK_S = 0.25
LOST_S = 1.0
NATS = "nats"
# Nobody who chats misses these.
_UNSEEN = frozenset({"gateway", "console"})
Parts = tuple[str, ...]


class Outlook:
    """What is degraded, from what was heard and whether the connection stands. Pure; times are monotonic seconds."""

    def __init__(self, expected: Iterable[str], now: float) -> None:
        self._vitals = Vitals(expected, now)
        self._lost_at = 0.0

    def heard(self, service: str, pulse: Pulse, now: float) -> None:
        if service not in _UNSEEN:
            self._vitals.heard(service, pulse, now)

    def lost_for(self, now: float) -> float:
        """Seconds since the connection was lost, 0 while it stands."""
        return now - self._lost_at if self._lost_at else 0.0

    def look(self, now: float, *, connected: bool) -> dict[str, str]:
        """Each degraded part with the reason. Without NATS nothing can be said of the others."""
        if not connected:
            self._lost_at = self._lost_at or now
            lost = self.lost_for(now) > LOST_S
            return {NATS: "the connection to NATS is lost."} if lost else {}
        if self._lost_at:
            self._lost_at = 0.0
            self._vitals.start_over(now)
        return self._vitals.missing(now)


class Condition:
    """Listens to the services and calls `changed` with the parts that are degraded, whenever these are others."""

    def __init__(
        self, expected: Iterable[str], connected: Callable[[], bool], changed: Callable[[Parts], None]
    ) -> None:
        self._outlook = Outlook(expected, time.monotonic())
        self._connected = connected
        self._changed = changed
        self._found: dict[str, str] = {}
        self._listening: Subscription | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, listen: Callable[[str, Listener], Awaitable[Subscription]]) -> None:
        self._listening = await listen(subjects.ALL_HEALTH, self._hear)
        self._task = asyncio.create_task(self._watch(), name="condition")

    async def close(self) -> None:
        await end(self._task)
        if self._listening:
            await self._listening.close()

    def notes(self) -> dict[str, dict[str, str]]:
        """For the body of /readyz."""
        return {"degraded": self._found} if self._found else {}

    def lost_for(self) -> float:
        """Seconds since the connection to NATS was lost, 0 while it stands."""
        return self._outlook.lost_for(time.monotonic())

    async def _hear(self, subject: str, data: bytes, _headers: dict[str, str]) -> None:
        try:
            pulse: Pulse = decode(data, Pulse)
        except PermanentError as error:
            log("parley.gateway").warning("pulse not understood", extra={"subject": subject, "reason": error.message})
            return
        self._outlook.heard(subject.rpartition(".")[2], pulse, time.monotonic())

    async def _watch(self) -> None:
        while True:
            found = self._outlook.look(time.monotonic(), connected=self._connected())
            before, self._found = tuple(self._found), found
            if tuple(found) != before:
                log("parley.gateway").warning("condition changed", extra={"degraded": found})
                self._changed(tuple(found))
            await asyncio.sleep(LOOK_S)
