"""The same request at the same time is asked once: the first leads, the others hear what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from parley_proto.llm import CompletionEvent, Failed, Finished


class Flight:
    """One request under way. `leads` is true for who has to ask."""

    def __init__(self, shared: _Shared, leads: bool) -> None:
        self._shared = shared
        self.leads = leads

    def publish(self, event: CompletionEvent) -> None:
        self._shared.events.append(event)
        self._shared.changed()

    def close(self) -> None:
        """The leader is done; followers that saw no end have to go on alone."""
        self._shared.close()

    async def events(self) -> AsyncGenerator[CompletionEvent, None]:
        """What was heard so far and then what comes, up to the end, or to the leader's silent leaving."""
        place = 0
        while True:
            while place < len(self._shared.events):
                event = self._shared.events[place]
                place += 1
                yield event
                if isinstance(event, Finished | Failed):
                    return
            if self._shared.closed:
                return
            await self._shared.wait()


class Flights:
    """Flights by key."""

    def __init__(self) -> None:
        self._shared: dict[str, _Shared] = {}

    def join(self, key: str) -> Flight:
        shared = self._shared.get(key)
        if shared:
            return Flight(shared, leads=False)
        shared = self._shared[key] = _Shared(lambda: self._shared.pop(key, None))
        return Flight(shared, leads=True)


class _Shared:
    def __init__(self, landed: Callable[[], object]) -> None:
        self.events: list[CompletionEvent] = []
        self.closed = False
        self._landed = landed
        self._waiters: list[asyncio.Future[None]] = []

    def changed(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._landed()
            self.changed()

    async def wait(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter
