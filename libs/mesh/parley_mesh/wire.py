"""What Parley's own consumer code asks of a NATS connection: four calls, so that it runs on one in memory as well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from nats.aio.msg import Msg

OnMessage = Callable[[Msg], Awaitable[None]]


class WireSubscription(Protocol):
    async def unsubscribe(self) -> None: ...

    async def drain(self) -> None:
        """Unsubscribe once the server has heard of it and the callback has had whatever was on its way."""
        ...


class Wire(Protocol):
    """`nats.aio.client.Client`, or its twin `parley_mesh.memory.MemoryClient`. Both raise `CLIENT_ERRORS`."""

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None: ...

    async def request(
        self, subject: str, payload: bytes = b"", timeout: float = 0.5, *, headers: dict[str, str] | None = None
    ) -> Msg:
        """The first answer; NoRespondersError at once when nobody listens, TimeoutError after `timeout` seconds."""
        ...

    async def subscribe(self, subject: str, queue: str = "", cb: OnMessage | None = None) -> WireSubscription:
        """`cb` gets one message after the other."""
        ...

    def new_inbox(self) -> str: ...
