"""What has been delivered and is not committed yet: bounded, and cut into batches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import islice

import msgspec
from nats.aio.msg import Msg

from parley_archiver.domain import Batching
from parley_mesh.bus import Stored
from parley_mesh.errors import CLIENT_ERRORS
from parley_mesh.telemetry import log

MAX_BYTES = 32 << 20
BATCHES_AHEAD = 4


class Delivery(msgspec.Struct, frozen=True):
    """One delivery of a message of the log; `ack` tells the log that it is archived, `release` that it is not."""

    stored: Stored
    ack: Callable[[], Awaitable[None]]
    release: Callable[[], Awaitable[None]]

    @property
    def size(self) -> int:
        return len(self.stored.data)


def delivery_of(message: Msg) -> Delivery:
    """The delivery in a message of a durable; its time is the log's, so that a redelivery has the same."""
    metadata = message.metadata
    at = round(metadata.timestamp.timestamp() * 1_000_000) // 1000
    stored = Stored(message.subject, metadata.sequence.stream, message.data, message.headers or {}, at)
    return Delivery(stored, message.ack, message.nak)


async def settle(calls: list[Callable[[], Awaitable[None]]]) -> None:
    """Send acknowledgements. One that gets lost costs a redelivery, which the archive recognises."""
    for call in calls:
        try:
            await call()
        except CLIENT_ERRORS as error:
            log("parley.archiver").info("acknowledgement not sent", extra={"reason": str(error)})
            return


class Inbox:
    """Holds at most `BATCHES_AHEAD` batches, or `MAX_BYTES` and what one pull brings."""

    def __init__(self, batching: Batching, *, max_bytes: int = MAX_BYTES) -> None:
        self._batching = batching
        self._max_bytes = max_bytes
        self._waiting: dict[int, tuple[float, Delivery]] = {}
        self._waiting_bytes = 0
        self._taken: list[Delivery] = []
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()

    @property
    def held(self) -> int:
        """Delivered and not committed."""
        return len(self._waiting) + len(self._taken)

    @property
    def closed(self) -> bool:
        """True when nothing waits and nothing more will come."""
        return self._closing.is_set() and not self._waiting

    def room(self) -> int:
        """How many more may be pulled now."""
        taken_bytes = sum(delivery.size for delivery in self._taken)
        if self._closing.is_set() or self._waiting_bytes + taken_bytes >= self._max_bytes:
            return 0
        return max(0, min(self._batching.count, self._batching.count * BATCHES_AHEAD - self.held))

    def put(self, delivery: Delivery) -> None:
        """Take one in. A redelivery takes the place of the delivery that still waits: a long outage adds nothing."""
        arrived, known = self._waiting.get(delivery.stored.seq, (time.monotonic(), None))
        self._waiting[delivery.stored.seq] = (arrived, delivery)
        self._waiting_bytes += 0 if known else delivery.size
        if len(self._waiting) == 1 or self._is_full():
            self._changed.set()

    def close(self) -> None:
        """Let what waits be taken at once."""
        self._closing.set()
        self._changed.set()

    async def closes_within(self, timeout_s: float) -> bool:
        """Wait; True as soon as the inbox is closed."""
        return await _set_within(self._closing, timeout_s)

    async def take(self, idle_s: float) -> list[Delivery]:
        """The next batch, empty when nothing came for `idle_s`; it counts as held until `done`."""
        if not self._waiting and not self._closing.is_set():
            await self._wait(idle_s)
        while self._waiting and not self._is_due():
            await self._wait(self._left_s())
        return self._cut()

    def done(self) -> None:
        """The batch that was taken is committed."""
        self._taken = []

    def abandon(self) -> list[Delivery]:
        """Everything that is held, to be given back to the log."""
        held = [*self._taken, *(delivery for _, delivery in self._waiting.values())]
        self._waiting.clear()
        self._waiting_bytes = 0
        self.done()
        return held

    def _is_full(self) -> bool:
        return self._batching.is_full(len(self._waiting), self._waiting_bytes)

    def _is_due(self) -> bool:
        return self._closing.is_set() or self._is_full() or self._left_s() <= 0

    def _left_s(self) -> float:
        return self._batching.left_s(time.monotonic() - self._oldest())

    def _oldest(self) -> float:
        return next(iter(self._waiting.values()))[0]

    async def _wait(self, timeout_s: float) -> None:
        self._changed.clear()
        await _set_within(self._changed, timeout_s)

    def _cut(self) -> list[Delivery]:
        count = self._batching.cut(delivery.size for _, delivery in self._waiting.values())
        taken = [self._waiting.pop(seq)[1] for seq in list(islice(self._waiting, count))]
        self._waiting_bytes -= sum(delivery.size for delivery in taken)
        self._taken = taken
        return taken


async def _set_within(event: asyncio.Event, timeout_s: float) -> bool:
    # Not `wait_for`: on Python 3.11 it swallows a cancellation that comes together with the event.
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True
