"""Completions under way: cancels, leases and newer requests reach the right ones, early cancels too."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine

from parley_llm_gateway import metrics
from parley_llm_gateway.outbox import Outbox
from parley_proto.llm import CompletionRequest, Failed, Finished

_REMEMBERED = 1024
_REASONS = {
    "cancelled": "The completion was cancelled.",
    "superseded": "A newer message of the conversation took its place.",
    "lease_over": "Nobody renewed the interest in this completion.",
}

End = Finished | Failed


class Run:
    """One completion: its task, whose result is the last event of its outbox."""

    def __init__(self, request: CompletionRequest, work: Coroutine[None, None, End], outbox: Outbox) -> None:
        self.request = request
        self.outbox = outbox
        self._reason = "cancelled"
        self._lease: asyncio.TimerHandle | None = None
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._end)
        self.renew()

    def cancel(self, reason: str = "cancelled") -> None:
        if not self._task.done():
            self._reason = reason
            self._task.cancel()

    def renew(self) -> None:
        """Give the caller another lease, where it asked for one."""
        if self.request.lease_s > 0 and not self._task.done():
            self._drop_lease()
            loop = asyncio.get_running_loop()
            self._lease = loop.call_later(self.request.lease_s, self.cancel, "lease_over")

    async def stop(self) -> None:
        """Ends the work and waits until its socket is closed."""
        if not self._task.done():
            self.cancel()
            await asyncio.wait({self._task})

    def _end(self, task: asyncio.Task[End]) -> None:
        self._drop_lease()
        if task.cancelled():
            metrics.cancels.labels(self._reason).inc()
            self.outbox.end(Failed(self._reason, _REASONS[self._reason], False, partial=self.outbox.told))
        elif task.exception():
            self.outbox.end(Failed("internal", "The llm-gateway failed on this request.", False))
        else:
            self.outbox.end(task.result())

    def _drop_lease(self) -> None:
        if self._lease:
            self._lease.cancel()
            self._lease = None


class Running:
    """By request, turn and conversation; the same request may run twice where a delivery was repeated."""

    def __init__(self) -> None:
        self._runs: dict[str, set[Run]] = {}
        self._early: OrderedDict[str, None] = OrderedDict()
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return self._count

    def begin(self, request: CompletionRequest, work: Coroutine[None, None, End], outbox: Outbox) -> Run:
        """Start `work`; it ends those of its conversation with a lower epoch, or itself if there is a higher one."""
        run = Run(request, work, outbox)
        for name in _names(request):
            self._runs.setdefault(name, set()).add(run)
            if name in self._early:
                run.cancel()
        self._supersede(run)
        self._changed(1)
        return run

    def leave(self, run: Run) -> None:
        for name in _names(run.request):
            runs = self._runs.get(name, set())
            runs.discard(run)
            if not runs:
                self._runs.pop(name, None)
        self._changed(-1)

    def cancel(self, name: str) -> None:
        """Ends a request or all of a turn; what has not come yet (every instance hears this) ends when it comes."""
        for run in self._runs.get(name, ()):
            run.cancel()
        self._early[name] = None
        while len(self._early) > _REMEMBERED:
            self._early.popitem(last=False)

    def renew(self, request_id: str) -> None:
        for run in self._runs.get(request_id, ()):
            run.renew()

    async def drained(self) -> None:
        """Returns once nothing is under way."""
        await self._idle.wait()

    def _supersede(self, new: Run) -> None:
        epoch = new.request.epoch
        if not epoch:
            return
        for other in self._runs[_family(new.request)]:
            if other.request.epoch and other.request.epoch != epoch:
                (other if other.request.epoch < epoch else new).cancel("superseded")

    def _changed(self, by: int) -> None:
        self._count += by
        metrics.running.set(self._count)
        self._idle.clear() if self._count else self._idle.set()


def _names(request: CompletionRequest) -> tuple[str, ...]:
    names = [request.request_id]
    if request.turn_id:
        names.append(request.turn_id)
    if request.epoch:
        names.append(_family(request))
    return tuple(names)


def _family(request: CompletionRequest) -> str:
    # No id has a slash, so that no cancel can name it.
    return f"{request.tenant}/{request.conversation}"
