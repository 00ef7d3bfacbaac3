"""An ordered reader of a stream's subject that repairs itself: no gap, no double, whatever the server does."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from parley_mesh.bus import Stored
from parley_mesh.errors import CLIENT_ERRORS
from parley_mesh.tasks import end
from parley_mesh.telemetry import log
from parley_proto.errors import TransientError

HEARTBEAT_S = 1.0
SILENCE_S = 2.5
CREATE_TIMEOUT_S = 2.0
RETRY_S = 0.3


class Tail:
    """Delivers each message of `subject` once, in order, to `on_message` (which must not block).

    An ephemeral push consumer with heartbeats; a gap in its own count, or silence, makes a new one from the last
    sequence seen. The filter stands in the creation subject, so that a NATS permission can name it.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        subject: str,
        on_message: Callable[[Stored], None],
        *,
        start: Literal["new", "all", "last"] = "new",
    ) -> None:
        self._client = client
        self._stream = stream
        self._subject = subject
        self._on_message = on_message
        self._start = start
        self._last_seq = 0
        self._expected = 1
        self._heard = 0.0
        self._subscription: Subscription | None = None
        self._task: asyncio.Task[None] | None = None
        self._broken = asyncio.Event()
        self._anchored = False
        self._inbox = ""
        self.caught_up = False

    async def open(self) -> None:
        """Start reading; returns when the consumer stands, raises TransientError when it can't be made."""
        await self._create()
        self._task = asyncio.create_task(self._watch(), name=f"tail {self._subject}")

    async def catch_up(self, timeout_s: float) -> None:
        """Wait until what was there at the start has been delivered, `timeout_s` at most."""
        deadline = time.monotonic() + timeout_s
        while not self.caught_up and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        await end(self._task)
        await self._unsubscribe()

    async def _watch(self) -> None:
        while True:
            silent = self._heard + SILENCE_S - time.monotonic()
            try:
                # Not wait_for: on Python 3.11 it swallows a cancel that comes together with the event.
                async with asyncio.timeout(max(silent, 0.05)):
                    await self._broken.wait()
            except TimeoutError:
                if time.monotonic() < self._heard + SILENCE_S:
                    continue
            await self._recreate()

    async def _recreate(self) -> None:
        while True:
            try:
                await self._create()
            except (TransientError, *CLIENT_ERRORS) as error:
                log("parley.mesh").info("tail waits", extra={"subject": self._subject, "reason": str(error)})
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _create(self) -> None:
        await self._unsubscribe()
        inbox = self._client.new_inbox()
        self._expected = 1
        self._broken.clear()
        self._heard = time.monotonic()

        async def receive(message: Msg) -> None:
            self._receive(inbox, message)

        self._subscription = await self._client.subscribe(inbox, cb=receive)
        self._inbox = inbox
        info = await self._request(inbox)
        if self._start == "new" and not self._anchored:
            # From here on a repair starts after what was last at this moment, so that nothing is skipped.
            self._last_seq = info["delivered"]["stream_seq"]
            self._anchored = True
        self.caught_up = self.caught_up or info.get("num_pending", 0) == 0

    async def _request(self, inbox: str) -> dict[str, Any]:
        name = uuid.uuid4().hex
        config: dict[str, Any] = {
            "name": name,
            "deliver_subject": inbox,
            "filter_subject": self._subject,
            "ack_policy": "none",
            "replay_policy": "instant",
            "idle_heartbeat": int(HEARTBEAT_S * 1e9),
            "inactive_threshold": int(5e9),
            "mem_storage": True,
            "num_replicas": 1,
        } | self._position()
        subject = f"$JS.API.CONSUMER.CREATE.{self._stream}.{name}.{self._subject}"
        body = msgspec.json.encode({"stream_name": self._stream, "config": config, "action": "create"})
        try:
            reply = await self._client.request(subject, body, timeout=CREATE_TIMEOUT_S)
        except CLIENT_ERRORS as error:
            raise TransientError(f"{self._subject} of {self._stream} can't be read now: {error}.") from error
        info: dict[str, Any] = msgspec.json.decode(reply.data)
        if "error" in info:
            raise TransientError(f"{self._subject} can't be read: {info['error'].get('description')}.")
        return info

    def _position(self) -> dict[str, Any]:
        if self._last_seq or self._anchored:
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": self._last_seq + 1}
        return {"deliver_policy": {"new": "new", "all": "all", "last": "last_per_subject"}[self._start]}

    async def _unsubscribe(self) -> None:
        if self._subscription:
            await asyncio.gather(self._subscription.unsubscribe(), return_exceptions=True)
            self._subscription = None

    def _receive(self, inbox: str, message: Msg) -> None:
        if inbox != self._inbox:
            return
        self._heard = time.monotonic()
        headers = message.headers or {}
        if headers.get("Status"):
            self._check_heartbeat(headers)
            return
        metadata = message.metadata
        if metadata.sequence.consumer != self._expected:
            self._broken.set()
            return
        self._expected += 1
        self._last_seq = metadata.sequence.stream
        at = int(metadata.timestamp.timestamp() * 1000)
        self._on_message(Stored(message.subject, self._last_seq, message.data, headers, at))
        self.caught_up = self.caught_up or metadata.num_pending == 0

    def _check_heartbeat(self, headers: dict[str, str]) -> None:
        delivered = headers.get("Nats-Last-Consumer")
        if delivered is not None and int(delivered) != self._expected - 1:
            self._broken.set()
