"""Group commit: batches that are ready at the same moment are stored as one."""

from __future__ import annotations

import asyncio
import copy
from collections import OrderedDict, deque
from contextvars import Context
from typing import NamedTuple

from parley_mesh.bus import Bus, Write
from parley_proto.errors import AmbiguousCommitError, TransientError

# The server takes 1,000 messages a batch (nats.md); the second is what it can store while others wait, in bytes.
MOST_WRITES = 500
MOST_BYTES = 1 << 20
# What the client says when no server has answered: no batch was found fault with.
_NOBODY = ("no_responders", "nats")
_APART = 10
_SUSPECTS = 1_000


class _Waiting(NamedTuple):
    batch: list[Write]
    stored: asyncio.Future[int]

    @property
    def key(self) -> str:
        return self.batch[-1].subject

    @property
    def bytes(self) -> int:
        return sum(len(write.data) for write in self.batch)


class Commits:
    """Atomic batches for `bus`, one group of them under way at a time; what comes meanwhile makes up the next group.

    Opening a batch costs a single server a folder, three files and a sync, during which nobody else writes to the
    stream: fifty times what the messages in it cost. So the busier the log is, the more share that price.

    A group that is refused is halved until the one is alone that the log has something against. Whoever was in a group
    without an answer, or failed alone, goes alone the next time: it may have been the cause.
    """

    def __init__(self, bus: Bus, *, most_writes: int = MOST_WRITES, most_bytes: int = MOST_BYTES) -> None:
        self._bus = bus
        self._most_writes = most_writes
        self._most_bytes = most_bytes
        self._waiting: deque[_Waiting] = deque()
        self._halves: deque[list[_Waiting]] = deque()
        self._suspects: OrderedDict[str, None] = OrderedDict()
        self._apart = asyncio.Semaphore(_APART)
        self._worker: asyncio.Task[None] | None = None

    async def commit(self, batch: list[Write]) -> int:
        """Store all of `batch` or nothing; the sequence of its last member, by whose subject the batch is known.

        Errors as of `Bus.commit`: a refusal is always of this batch, never of one that it was grouped with.
        """
        one = _Waiting(batch, asyncio.get_running_loop().create_future())
        if one.key in self._suspects:
            return await self._alone(one)
        self._waiting.append(one)
        if self._worker is None:
            # In nobody's trace: the group is everybody's.
            self._worker = asyncio.create_task(self._run(), name="commits", context=Context())
        return await one.stored

    async def _alone(self, one: _Waiting) -> int:
        async with self._apart:
            seq = await self._bus.commit(one.batch)
        self._suspects.pop(one.key, None)
        return seq

    async def _run(self) -> None:
        group: list[_Waiting] = []
        try:
            while group := self._next():
                await self._store(group)
        finally:
            # Nobody is left, unless the process ends.
            self._worker = None
            for one in [*group, *self._take_halves(), *self._waiting]:
                one.stored.cancel()
            self._waiting.clear()

    def _next(self) -> list[_Waiting]:
        """Half of what was refused, or the oldest of those that still wait: at least one, if there is any."""
        if self._halves:
            return self._halves.popleft()
        group, writes, size = list[_Waiting](), 0, 0
        while self._waiting:
            one = self._waiting[0]
            writes, size = writes + len(one.batch), size + one.bytes
            if group and (writes > self._most_writes or size > self._most_bytes):
                break
            self._waiting.popleft()
            if not one.stored.done():
                group.append(one)
        return group

    async def _store(self, group: list[_Waiting]) -> None:
        try:
            last = await self._bus.commit([write for one in group for write in one.batch])
        except Exception as error:
            self._failed(group, error)
            return
        # The members of a batch stand in the stream one after the other.
        for one in reversed(group):
            if not one.stored.done():
                one.stored.set_result(last)
            last -= len(one.batch)

    def _failed(self, group: list[_Waiting], error: Exception) -> None:
        refused = _refused(error)
        if refused and len(group) > 1:
            middle = len(group) // 2
            self._halves.extendleft([group[middle:], group[:middle]])
            return
        self._tell(group, error)
        if not refused:
            # They would wait for the same silence, one half after the other.
            self._tell(self._take_halves(), TransientError("The log did not answer: nothing was stored."))

    def _tell(self, group: list[_Waiting], error: Exception) -> None:
        for one in group:
            self._suspects[one.key] = None
            if not one.stored.done():
                one.stored.set_exception(copy.copy(error))
        while len(self._suspects) > _SUSPECTS:
            self._suspects.popitem(last=False)

    def _take_halves(self) -> list[_Waiting]:
        left = [one for half in self._halves for one in half]
        self._halves.clear()
        return left


def _refused(error: Exception) -> bool:
    """Whether the log has looked at the group and found fault with it, which one of its batches may have caused."""
    return not isinstance(error, AmbiguousCommitError) and getattr(error, "code", "") not in _NOBODY
