"""Many core subscriptions of one connection, with one queue and one task for all of them."""

from __future__ import annotations

import asyncio

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from parley_mesh.bus import Listener, Subscription
from parley_mesh.errors import CLIENT_ERRORS
from parley_mesh.telemetry import log
from parley_mesh.wire import OnMessage, Wire, WireSubscription


class Listeners:
    """A gateway subscribes to each of 5,000 conversations, and a queue and a task for each would take 5 KB (nats-py
    2.16 makes both for a subscription with a callback): here all messages go through one queue.

    So no listener may wait for long, and one that fails costs the others nothing.
    """

    def __init__(self, client: Wire) -> None:
        self._client = client
        self._heard: asyncio.Queue[Msg] = asyncio.Queue()
        self._listening: dict[int, _Listening] = {}
        self._task: asyncio.Task[None] | None = None

    async def add(self, subject: str, queue: str, listener: Listener) -> Subscription:
        """From now on `listener` hears what is said on `subject`; the client's errors as they are."""
        if not isinstance(self._client, Client):
            # The twin in memory has no queues that could be shared.
            return _Plain(await self._client.subscribe(subject, queue=queue, cb=_telling(listener)))
        subscription = await self._client.subscribe(subject, queue=queue)
        # In the place of a queue of its own, which the iterator would keep alive.
        own = subscription._pending_queue
        subscription._pending_queue, subscription._message_iterator = self._heard, None
        while not own.empty():
            self._heard.put_nowait(own.get_nowait())
        listening = self._listening[subscription._id] = _Listening(self, subscription, listener)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="listeners")
        return listening

    def remove(self, subscription: NatsSubscription) -> None:
        self._listening.pop(subscription._id, None)

    async def _run(self) -> None:
        while True:
            message = await self._heard.get()
            try:
                # One that has been closed meanwhile is not told any more.
                if listening := self._listening.get(message._sid or 0):
                    await listening.tell(message)
            finally:
                # A connection that drains waits for this.
                self._heard.task_done()


class _Plain:
    def __init__(self, subscription: WireSubscription) -> None:
        self._subscription = subscription

    async def close(self) -> None:
        await close(self._subscription)


class _Listening:
    def __init__(self, listeners: Listeners, subscription: NatsSubscription, listener: Listener) -> None:
        self._listeners = listeners
        self._subscription = subscription
        self._tell = _telling(listener)

    async def tell(self, message: Msg) -> None:
        # The client counts what waits here, and would call the subscription slow one day.
        self._subscription._pending_size -= len(message.data)
        try:
            await self._tell(message)
        except Exception:
            log("parley.mesh").exception("a listener failed", extra={"subject": message.subject})

    async def close(self) -> None:
        self._listeners.remove(self._subscription)
        await close(self._subscription)


def _telling(listener: Listener) -> OnMessage:
    async def tell(message: Msg) -> None:
        await listener(message.subject, message.data, message.headers or {})

    return tell


async def close(subscription: WireSubscription) -> None:
    """End a subscription, or find that it has ended with its connection."""
    try:
        await subscription.unsubscribe()
    except CLIENT_ERRORS:
        # A closed or draining connection has no subscriptions left: what we wanted.
        return
