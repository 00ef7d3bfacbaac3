"""A shared work queue: a durable that several workers pull, as many at once as this worker has slots."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nats.aio.msg import Msg

from parley_mesh.pull import PullLoop
from parley_mesh.telemetry import log
from parley_mesh.wire import Wire

PULL_EXPIRES_S = 5.0


class Delivery:
    """One delivery of a piece of work. `attempt` counts from 1."""

    def __init__(self, message: Msg) -> None:
        metadata = message.metadata
        self.message = message
        self.subject = message.subject
        self.data = message.data
        self.headers: dict[str, str] = message.headers or {}
        self.attempt: int = metadata.num_delivered
        self.seq: int = metadata.sequence.stream


Handler = Callable[[Delivery], Awaitable[None]]
Middleware = Callable[[Handler], Handler]


class WorkQueue:
    """Pulls from `durable` and runs `handler` in up to `slots()` tasks; acknowledging is a middleware's work."""

    def __init__(self, client: Wire, stream: str, durable: str, handler: Handler, *, slots: Callable[[], int]) -> None:
        self._handler = handler
        self._slots = slots
        self._tasks: set[asyncio.Task[None]] = set()
        self._behind = 0
        self._pull = PullLoop(client, stream, durable, self._begin, room=self._room, expires_s=PULL_EXPIRES_S)

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """How many were in the log behind the one that came last; 0 with nothing to do, as others may have them."""
        return self._behind if self._tasks else 0

    async def start(self) -> None:
        await self._pull.start()

    async def drain(self, timeout_s: float) -> None:
        """Pull no more, and give what runs `timeout_s` to finish; the rest is delivered elsewhere."""
        await self._pull.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in self._tasks:
            task.cancel()

    def _room(self) -> int:
        return max(0, self._slots() - len(self._tasks))

    def _begin(self, message: Msg) -> None:
        self._behind = message.metadata.num_pending
        task = asyncio.create_task(self._run(Delivery(message)))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def _run(self, delivery: Delivery) -> None:
        await self._handler(delivery)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log("parley.mesh").error("work failed outside its middleware", exc_info=task.exception())
        self._pull.wake()
