"""Completions under way, so that a cancel reaches the right one, even one that comes too early."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine

from parley_llm_gateway import metrics
from parley_proto.llm import CompletionEvent, Failed, Finished

_REMEMBERED = 1024

End = Finished | Failed
Queue = asyncio.Queue[CompletionEvent]


class Run:
    """One completion: its task, and the queue that ends with exactly one Finished or Failed."""

    def __init__(self, work: Coroutine[None, None, End], queue: Queue) -> None:
        self.queue = queue
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._end)

    def cancel(self) -> None:
        self._task.cancel()

    async def stop(self) -> None:
        """Ends the work and waits until its socket is closed."""
        self._task.cancel()
        await asyncio.wait({self._task})

    def _end(self, task: asyncio.Task[End]) -> None:
        if task.cancelled():
            self.queue.put_nowait(Failed("cancelled", "The completion was cancelled.", False))
        elif task.exception():
            self.queue.put_nowait(Failed("internal", "The llm-gateway failed on this request.", False))
        else:
            self.queue.put_nowait(task.result())


class Running:
    """By request id; the same id may run twice where a delivery was repeated."""

    def __init__(self) -> None:
        self._runs: dict[str, set[Run]] = {}
        self._early: OrderedDict[str, None] = OrderedDict()
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return self._count

    def begin(self, request_id: str, work: Coroutine[None, None, End], queue: Queue) -> Run:
        run = Run(work, queue)
        self._runs.setdefault(request_id, set()).add(run)
        self._changed(1)
        if request_id in self._early:
            run.cancel()
        return run

    def leave(self, request_id: str, run: Run) -> None:
        runs = self._runs.get(request_id, set())
        runs.discard(run)
        if not runs:
            self._runs.pop(request_id, None)
        self._changed(-1)

    def cancel(self, request_id: str) -> None:
        """Ends the request; one that has not come yet (cancels reach every instance) ends when it comes."""
        for run in self._runs.get(request_id, ()):
            run.cancel()
        self._early[request_id] = None
        while len(self._early) > _REMEMBERED:
            self._early.popitem(last=False)

    async def drained(self) -> None:
        """Returns once nothing is under way."""
        await self._idle.wait()

    def _changed(self, by: int) -> None:
        self._count += by
        metrics.running.set(self._count)
        self._idle.clear() if self._count else self._idle.set()
