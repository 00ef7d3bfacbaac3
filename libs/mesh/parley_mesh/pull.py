"""Pulling from a durable consumer by raw requests: what nats-py's `fetch` can't do (groups, pins, one open pull)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec
from nats.aio.msg import Msg

from parley_mesh.errors import CLIENT_ERRORS
from parley_mesh.tasks import end
from parley_mesh.telemetry import log
from parley_mesh.wire import Wire, WireSubscription

PIN = "Nats-Pin-Id"
GRACE_S = 1.0
RETRY_S = 0.2
# The server's answer to the end of a subscription; while it is away, nothing is on its way either.
DRAIN_S = 2.0
_FINISHED = {"408", "404", "409"}


class PullLoop:
    """One consumer, one open pull at a time, `room()` messages a pull; `on_message` must not block.

    With `group` the pulls belong to a pinned priority group: the pin is kept, renewed by each pull, cleared when
    the server says 423; `on_pin` hears of every new pin, before its first message is delivered.
    """

    def __init__(
        self,
        client: Wire,
        stream: str,
        consumer: str,
        on_message: Callable[[Msg], None],
        *,
        room: Callable[[], int],
        expires_s: float,
        group: str = "",
        on_pin: Callable[[str], None] | None = None,
    ) -> None:
        self._client = client
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._consumer = consumer
        self._on_message = on_message
        self._room = room
        self._expires_s = expires_s
        self._group = group
        self._on_pin = on_pin
        self._wake = asyncio.Event()
        self._open = 0
        self._deadline = 0.0
        self._stopped = False
        self.pin = ""
        self._subscription: WireSubscription | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._stopped = False
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(self._inbox, cb=self._receive)
        self._task = asyncio.create_task(self._run(), name=f"pull {self._consumer}")

    async def stop(self) -> None:
        """No more pulls; messages already delivered are still handled, and without a group those on their way as well.

        In a group the next owner is told what was not acknowledged (`parley_mesh.shards`), and time would cost the pin.
        """
        await end(self._task)
        if self._subscription:
            await self._end(self._subscription)
        self._stopped = True
        self._task = self._subscription = None
        self.pin = ""

    async def _end(self, subscription: WireSubscription) -> None:
        # What is delivered to whom has left comes again only after its ack wait: for the archiver that is a minute.
        try:
            async with asyncio.timeout(DRAIN_S):
                await (subscription.unsubscribe() if self._group else subscription.drain())
        except Exception as error:
            # Whatever it was, who stops must be able to go on; a drain that was cut off may still deliver.
            log("parley.mesh").info("pull not drained", extra={"consumer": self._consumer, "reason": repr(error)})

    def wake(self) -> None:
        """Look at `room()` again: something has been finished."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            room = self._room()
            if room > 0 and self._open <= 0:
                await self._pull_safely(room)
            await self._wait(room)

    async def _wait(self, room: int) -> None:
        """Until something is finished, the pull has run out, or, with nothing open but room, a moment."""
        left = self._deadline - time.monotonic()
        if self._open > 0 and left <= 0:
            self._open = 0
            return
        try:
            # Not wait_for: on Python 3.11 it swallows a cancel that comes together with the event.
            async with asyncio.timeout(max(left, 0.01) if self._open > 0 else RETRY_S if room > 0 else None):
                await self._wake.wait()
        except TimeoutError:
            # The server's own 408 did not come: the request or its answer was lost, so ask anew.
            self._open = 0

    async def _pull_safely(self, room: int) -> None:
        try:
            await self._pull(room)
        except Exception:
            # Nobody waits for this task: one that ends would leave its consumer without anybody, and say nothing.
            log("parley.mesh").exception("pull failed", extra={"consumer": self._consumer})
            self._deadline = time.monotonic() + RETRY_S

    async def _pull(self, room: int) -> None:
        request: dict[str, object] = {"batch": room, "expires": int(self._expires_s * 1e9)}
        if self._group:
            request["group"] = self._group
            if self.pin:
                request["id"] = self.pin
        self._open = room
        self._deadline = time.monotonic() + self._expires_s + GRACE_S
        try:
            await self._client.publish(self._next, msgspec.json.encode(request), reply=self._inbox)
        except CLIENT_ERRORS as error:
            log("parley.mesh").warning("pull failed", extra={"consumer": self._consumer, "reason": str(error)})
            self._deadline = time.monotonic() + RETRY_S

    async def _receive(self, message: Msg) -> None:
        if self._stopped:
            return
        status = (message.headers or {}).get("Status")
        if status:
            self._on_status(status)
            return
        self._open -= 1
        if self._group:
            self._note_pin((message.headers or {}).get(PIN, ""))
        self._on_message(message)
        if self._open <= 0:
            self._wake.set()

    def _on_status(self, status: str) -> None:
        if status == "423":
            self.pin = ""
        if status == "423" or status in _FINISHED:
            self._open = 0
            self._wake.set()
        elif status == "503":
            # The consumer is not there (yet): a new server is still electing or recovering.
            self._deadline = time.monotonic() + RETRY_S
            self._wake.set()

    def _note_pin(self, pin: str) -> None:
        if pin and pin != self.pin:
            self.pin = pin
            if self._on_pin:
                self._on_pin(pin)
