"""What leaves the log: work that is done, and conversations that rest (a marker, then their entries go)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import suppress

from parley_archiver import metrics
from parley_archiver.adapters import Store
from parley_archiver.checkpoints import START, Kept
from parley_archiver.retirement import NotYetError, Seen, marker_of, obstacle
from parley_archiver.trimming import LogEnd
from parley_mesh.bus import Bus, Stored
from parley_mesh.telemetry import log
from parley_mesh.topology import shard_consumer
from parley_proto import subjects
from parley_proto.archive import RetireReply, RetireRequest
from parley_proto.envelope import decode, encode, now_ms, valid_id
from parley_proto.errors import ConflictError, ParleyError, PermanentError

PAGE = 20
WHENEVER = 1 << 62


class Retiring:
    """One conversation after the other, at rest for `after_s` seconds, 0 for none by itself; and all work that is done.

    Every step can be repeated, and nothing is remembered in between: what a crash leaves behind, the next look finds
    by the marker in the log and goes on with.
    """

    def __init__(
        self, bus: Bus, end: LogEnd, store: Store, *, durable: str, shards: int, after_s: float, every_s: float
    ) -> None:
        self._bus = bus
        self._end = end
        self._store = store
        self._durable = durable
        self._shards = shards
        self._after_s = after_s
        self._every_s = every_s

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self._safely(self._trim_work())
            if self._after_s:
                await self._safely(self._sweep(now_ms() - round(self._after_s * 1000)))

    async def _safely(self, work: Awaitable[None]) -> None:
        try:
            await work
        except ParleyError as error:
            log("parley.archiver").info("retiring waits", extra={"code": error.code, "reason": error.message})
        except Exception:
            # The archive goes on without it, and the next sweep tries again.
            log("parley.archiver").exception("retiring failed")

    async def _trim_work(self) -> None:
        removed = await self._end.trim_work(await self._end.floor(self._durable))
        if removed:
            log("parley.archiver").info("work trimmed", extra={"entries": removed})

    async def answer(self, data: bytes, _headers: Mapping[str, str]) -> bytes:
        """A `RetireReply`, for an operator who does not want to wait until it has rested for long.

        NotYetError says what stands in the way; TransientError without PostgreSQL or NATS.
        """
        request: RetireRequest = decode(data, RetireRequest)
        if not valid_id(request.conversation):
            raise PermanentError("A conversation's id has 16 to 64 of A-Z a-z 0-9 _ -.", code="bad_id")
        await self._store.prepare()
        reply = RetireReply(await self.retire(request.conversation, before=WHENEVER))
        await self._safely(self._trim_work())
        return encode(reply)

    async def retire(self, conversation: str, *, before: int) -> int:
        """Retire it, if it has come to rest by `before` (milliseconds); the revision that the archive holds alone.

        NotYetError where it has to stay, also for one that writes while we look: its checkpoint is another one then.
        """
        seen = await self._look(conversation)
        if reason := obstacle(seen, before):
            raise NotYetError(f"Conversation {conversation} stays in the log. {reason}")
        if seen.head.data:
            await self._mark(conversation, seen.head)
        removed = await self._end.trim(conversation, seen.committed)
        await self._store.retired(conversation, seen.kept.revision)
        metrics.RETIRED.inc()
        log("parley.archiver").info("retired", extra={"conversation": conversation, "entries": removed})
        return seen.kept.revision

    async def _sweep(self, before: int) -> None:
        place = START
        while page := await self._store.resting(place, before, PAGE):
            for kept in page:
                await self._retire_if_possible(kept, before)
            place = page[-1].place

    async def _retire_if_possible(self, kept: Kept, before: int) -> None:
        # Those that have to stay are looked at again by the next sweep.
        with suppress(NotYetError):
            await self.retire(kept.conversation, before=before)

    async def _look(self, conversation: str) -> Seen:
        committed = await self._end.floor(self._durable)
        head = await self._bus.last(subjects.checkpoint(conversation))
        entry = await self._bus.last(subjects.conv(conversation, self._shards))
        handled = await self._end.floor(shard_consumer(subjects.shard_of(conversation, self._shards)))
        kept, archived = await self._store.checkpoint(conversation), await self._store.last_seq(conversation)
        if head is None:
            raise NotYetError(f"The log has no checkpoint of conversation {conversation}.")
        if kept is None:
            raise NotYetError(f"Conversation {conversation} stays in the log. The archive has no checkpoint of it yet.")
        return Seen(head, kept, committed, archived, entry.seq if entry else 0, handled)

    async def _mark(self, conversation: str, head: Stored) -> None:
        try:
            await self._bus.append(subjects.checkpoint(conversation), b"", expect=head.seq, headers=marker_of(head.seq))
        except ConflictError as error:
            raise NotYetError(f"Conversation {conversation} stays in the log. It has just gone on.") from error
