"""Group commit: batches that are ready at the same moment are stored as one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from parley_mesh.bus import Bus, Write
from parley_proto.errors import AmbiguousCommitError

# The server takes 1,000 messages a batch (nats.md).
MOST_WRITES = 500
# What the client says when no server has answered: no batch is to blame for that.
_NOBODY = ("no_responders", "nats")


class _Waiting(NamedTuple):
    batch: list[Write]
    stored: asyncio.Future[int]


class Commits:
    """Atomic batches for `bus`, one group of them under way at a time; what comes meanwhile makes up the next group.

    Opening a batch costs a single server a folder, three files and a sync, during which nobody else writes to the
    stream: fifty times what the messages in it cost. So the busier the log is, the more share that price.
    """

    def __init__(self, bus: Bus, most_writes: int = MOST_WRITES) -> None:
        self._bus = bus
        self._most = most_writes
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def commit(self, batch: list[Write]) -> int:
        """Store all of `batch` or nothing; the sequence of its last member.

        Errors as of `Bus.commit`: a refusal is always of this batch, never of one that it was grouped with.
        """
        one = _Waiting(batch, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        if self._worker is None:
            self._worker = asyncio.create_task(self._run(), name="commits")
        return await one.stored

    async def _run(self) -> None:
        try:
            while group := self._next():
                await self._store(group)
        finally:
            self._worker = None

    def _next(self) -> list[_Waiting]:
        """The oldest of those that still wait, at least one if there is any."""
        group, writes = list[_Waiting](), 0
        while self._waiting and (not group or writes + len(self._waiting[0].batch) <= self._most):
            one = self._waiting.popleft()
            if not one.stored.done():
                group.append(one)
                writes += len(one.batch)
        return group

    async def _store(self, group: list[_Waiting]) -> None:
        try:
            last = await self._bus.commit([write for one in group for write in one.batch])
        except BaseException as error:
            if len(group) > 1 and _refused(error):
                for one in group:
                    await self._store([one])
                return
            for one in group:
                _fail(one, error)
            if not isinstance(error, Exception):
                raise
            return
        # The members of a batch stand in the stream one after the other.
        for one in reversed(group):
            if not one.stored.done():
                one.stored.set_result(last)
            last -= len(one.batch)


def _refused(error: BaseException) -> bool:
    """Whether the log has looked at the group and found fault with it, which one of its batches may have caused."""
    known = not isinstance(error, AmbiguousCommitError) and getattr(error, "code", "") not in _NOBODY
    return isinstance(error, Exception) and known


def _fail(one: _Waiting, error: BaseException) -> None:
    if one.stored.done():
        return
    if isinstance(error, Exception):
        one.stored.set_exception(error)
    else:
        one.stored.cancel()
