"""A connection to `MemoryServer`: the calls of nats-py's client that Parley's own code is built on (`Wire`)."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from typing import cast

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from parley_mesh.memory.server import MemoryServer
from parley_mesh.telemetry import log
from parley_mesh.wire import OnMessage


class MemoryClient:
    """Speaks the same raw requests as a connection over TCP, so that everything above it is the real code."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._subscriptions: set[MemorySubscription] = set()
        self.is_connected = True

    def new_inbox(self) -> str:
        return f"_INBOX.{uuid.uuid4().hex}"

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        self._send(subject, payload, reply, headers)

    async def request(
        self, subject: str, payload: bytes = b"", timeout: float = 0.5, *, headers: dict[str, str] | None = None
    ) -> Msg:
        waiting = _Answer(self, self.new_inbox())
        self._server.subscribe(waiting)
        try:
            self._send(subject, payload, waiting.subject, headers)
            # A server is never as quick as a call: others go on meanwhile.
            await asyncio.sleep(0)
            async with asyncio.timeout(timeout):
                answer = await waiting.message
        except TimeoutError as error:
            raise nats.errors.TimeoutError from error
        finally:
            self._server.unsubscribe(waiting)
        if (answer.headers or {}).get("Status") == "503":
            raise nats.errors.NoRespondersError
        return answer

    async def subscribe(self, subject: str, queue: str = "", cb: OnMessage | None = None) -> MemorySubscription:
        if cb is None:
            raise ValueError("a subscription in memory needs a callback")
        subscription = MemorySubscription(self, subject, queue, cb)
        self._subscriptions.add(subscription)
        self._server.subscribe(subscription)
        return subscription

    async def flush(self) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        self.is_connected = False
        for subscription in list(self._subscriptions):
            await subscription.unsubscribe()

    def message(self, subject: str, data: bytes, reply: str, headers: dict[str, str]) -> Msg:
        """As nats-py makes it of what comes in: acknowledging goes out through this connection."""
        return Msg(cast(Client, self), subject, reply, data, dict(headers) or None)

    def forget(self, subscription: MemorySubscription) -> None:
        self._subscriptions.discard(subscription)
        self._server.unsubscribe(subscription)

    def _send(self, subject: str, payload: bytes, reply: str, headers: dict[str, str] | None) -> None:
        if not self.is_connected:
            raise nats.errors.ConnectionClosedError
        self._server.publish(subject, payload, reply, dict(headers or {}))


class MemorySubscription:
    """Calls `cb` with one message after the other."""

    def __init__(self, client: MemoryClient, subject: str, queue: str, cb: OnMessage) -> None:
        self.subject = subject
        self.queue = queue
        self._client = client
        self._cb = cb
        self._waiting: deque[Msg] = deque()
        self._task: asyncio.Task[None] | None = None

    def receive(self, subject: str, data: bytes, reply: str, headers: dict[str, str]) -> None:
        self._waiting.append(self._client.message(subject, data, reply, headers))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def unsubscribe(self) -> None:
        self._waiting.clear()
        self._client.forget(self)

    async def drain(self) -> None:
        self._client.forget(self)
        if self._task:
            # Not awaited itself: who gives up waiting must not end the delivery.
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._waiting:
            message = self._waiting.popleft()
            try:
                await self._cb(message)
            except Exception:
                # As nats-py does: one message that can't be handled does not end the subscription.
                log("parley.mesh").exception("a listener failed", extra={"subject": message.subject})
        self._task = None


class _Answer:
    """The inbox of one request."""

    queue = ""

    def __init__(self, client: MemoryClient, subject: str) -> None:
        self.subject = subject
        self.message: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._client = client

    def receive(self, subject: str, data: bytes, reply: str, headers: dict[str, str]) -> None:
        if not self.message.done():
            self.message.set_result(self._client.message(subject, data, reply, headers))
