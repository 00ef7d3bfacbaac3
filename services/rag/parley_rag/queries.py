"""The query workers: how many searches the table works on at once, and how many may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from parley_mesh.tasks import end
from parley_proto.errors import TransientError
from parley_rag import metrics

T = TypeVar("T")


class QueryWorkers:
    """Between `least` and `most` workers, each with one search at a time; LanceDB's own threads do the work.

    A worker is added when a search waits and all are busy, and goes after `idle_s` without work. More searches at once
    than processors only wait inside LanceDB, where nobody can refuse them; here past `waiting` they are refused.
    """

    def __init__(self, *, least: int, most: int, waiting: int, idle_s: float = 10.0) -> None:
        self._least = least
        self._most = most
        self._idle_s = idle_s
        self._queue: asyncio.Queue[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]]] = asyncio.Queue(waiting)
        self._workers: set[asyncio.Task[None]] = set()
        self._idle = 0

    @property
    def workers(self) -> int:
        return len(self._workers)

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives; TransientError `overloaded` at once when too many wait already."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait((work, done))
        except asyncio.QueueFull as error:
            raise TransientError("Too many searches wait already: try again in a moment.", code="overloaded") from error
        metrics.SEARCHES_WAITING.set(self._queue.qsize())
        if self._idle < self._queue.qsize() and self.workers < self._most:
            self._add()
        return await done

    async def close(self) -> None:
        """End the workers; searches that still wait are cancelled."""
        await end(*self._workers)
        while not self._queue.empty():
            self._queue.get_nowait()[1].cancel()

    def _add(self) -> None:
        task = asyncio.create_task(self._work(), name="query worker")
        self._workers.add(task)
        task.add_done_callback(self._gone)
        metrics.QUERY_WORKERS.set(self.workers)

    def _gone(self, task: asyncio.Task[None] | None) -> None:
        self._workers.discard(task)
        metrics.QUERY_WORKERS.set(self.workers)

    async def _work(self) -> None:
        while True:
            self._idle += 1
            try:
                async with asyncio.timeout(self._idle_s):
                    work, done = await self._queue.get()
            except TimeoutError:
                if self.workers > self._least:
                    # At once: others whose time is up in the same moment must count without this one.
                    self._gone(asyncio.current_task())
                    return
                continue
            finally:
                self._idle -= 1
            metrics.SEARCHES_WAITING.set(self._queue.qsize())
            if not done.cancelled():
                await _settle(work, done)


async def _settle(work: Callable[[], Awaitable[Any]], done: asyncio.Future[Any]) -> None:
    """Carry the outcome of `work` to whoever waits for it, if somebody still does."""
    try:
        result = await work()
    except Exception as error:
        if not done.cancelled():
            done.set_exception(error)
    else:
        if not done.cancelled():
            done.set_result(result)
