"""One after the other, at no cost while there is nothing to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Turnstile(Generic[T]):
    """Lets items through to `handle`, which must not raise, in their order; only meanwhile it has a task."""

    def __init__(self, handle: Callable[[T], Awaitable[None]], limit: int) -> None:
        self._handle = handle
        self._limit = limit
        self._waiting: list[T] = []
        self._task: asyncio.Task[None] | None = None

    async def put(self, item: T) -> None:
        """Returns at once, but where `limit` items wait: then when all of these are done."""
        if len(self._waiting) >= self._limit:
            await self.join()
        self._waiting.append(item)
        if self._task is None:
            self._start()

    async def join(self) -> None:
        """Returns when nothing waits or is being handled any more."""
        while self._task:
            await asyncio.wait({self._task})

    def close(self) -> None:
        """Give up what waits and what is being handled, and let go who handles it."""
        self._waiting.clear()
        self._handle = _nobody
        if self._task:
            self._task.cancel()

    def _start(self) -> None:
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)

    async def _run(self) -> None:
        while self._waiting:
            await self._handle(self._waiting.pop(0))

    def _ended(self, _task: asyncio.Task[None]) -> None:
        self._task = None
        if self._waiting:
            self._start()


async def _nobody(_item: object) -> None:
    """Who handles what comes after the end."""
