"""Group commit: batches that are ready at the same moment are stored as one."""

from __future__ import annotations

import asyncio
import copy
from collections import OrderedDict, deque
from contextvars import Context
from typing import Literal, NamedTuple

from parley_mesh.bus import Bus, Write
from parley_proto.errors import AmbiguousCommitError, ConflictError, StreamFullError, TransientError

# The server takes 1,000 messages a batch (nats.md). While it stores one, nobody else writes: no more than this.
MOST_WRITES = 500
MOST_BYTES = 1 << 20
# So many go alone at once: all instances together may have 50 batches open (nats.md).
_APART = 5
# Where the log is silent nobody's turn comes soon: rather the caller's own next try than a place in a queue.
_APART_WAIT_S = 5.0
_SUSPECTS = 1_000

# Whether the log has found fault with one of a group, with none of them, or has not answered at all.
_Verdict = Literal["one", "none", "silence"]


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
    stream: 1.5 ms of a processor, where a message in it costs 0.03. So the busier the log is, the more share that.

    A group that is refused is halved until the one is alone that the log has something against; that the log is full
    is told to the whole group. Whoever was in a group without an answer, or was refused alone for another reason than
    that somebody else has written, goes alone the next time: it may have been the cause.
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

        Errors as of `Bus.commit`: a refusal is of this batch, never of one that it was grouped with, unless it concerns
        everybody, such as a log that is full. TransientError too where a silent log keeps it waiting.
        """
        one = _Waiting(batch, asyncio.get_running_loop().create_future())
        if one.key in self._suspects:
            return await self._alone(one)
        self._waiting.append(one)
        if self._worker is None or self._worker.done():
            # In nobody's trace: the group is everybody's.
            self._worker = asyncio.create_task(self._run(), name="commits", context=Context())
        return await one.stored

    async def _alone(self, one: _Waiting) -> int:
        try:
            async with asyncio.timeout(_APART_WAIT_S):
                await self._apart.acquire()
        except TimeoutError as error:
            raise TransientError("The log does not answer just now: nothing was stored.") from error
        try:
            seq = await self._bus.commit(one.batch)
        except ConflictError:
            raise
        except Exception:
            self._suspect(one)
            raise
        finally:
            self._apart.release()
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
            left = [*self._take_halves(), *self._waiting]
            self._waiting.clear()
            _tell(group, AmbiguousCommitError("The service ends before the log has answered."))
            _tell(left, TransientError("The service ends: nothing was stored."))

    def _next(self) -> list[_Waiting]:
        """Half of what was refused, or the oldest of those that still wait: at least one, if there is any."""
        while self._halves:
            if half := [one for one in self._halves.popleft() if not one.stored.done()]:
                return half
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
        verdict = _verdict(error)
        if verdict == "one" and len(group) > 1:
            middle = len(group) // 2
            self._halves.extendleft([group[middle:], group[:middle]])
            return
        _tell(group, error)
        if verdict != "none" and not isinstance(error, ConflictError):
            for one in group:
                self._suspect(one)
        if verdict != "one":
            # They would only hear the same, one half after the other.
            _tell(self._take_halves(), TransientError("The log takes nothing just now: nothing was stored."))

    def _suspect(self, one: _Waiting) -> None:
        self._suspects[one.key] = None
        self._suspects.move_to_end(one.key)
        if len(self._suspects) > _SUSPECTS:
            self._suspects.popitem(last=False)

    def _take_halves(self) -> list[_Waiting]:
        left = [one for half in self._halves for one in half]
        self._halves.clear()
        return left


def _verdict(error: Exception) -> _Verdict:
    if isinstance(error, AmbiguousCommitError) or getattr(error, "code", "") in ("no_responders", "nats"):
        return "silence"
    return "none" if isinstance(error, StreamFullError) or getattr(error, "code", "") == "log_busy" else "one"


def _tell(group: list[_Waiting], error: Exception) -> None:
    """Each raises an error of its own: what a task does to one is not to be seen in another."""
    for number, one in enumerate(group):
        if not one.stored.done():
            one.stored.set_exception(_copied(error) if number else error)


def _copied(error: Exception) -> Exception:
    copied = copy.copy(error).with_traceback(error.__traceback__)
    copied.__cause__ = error.__cause__
    return copied
