"""The conversations as the mesh has them: what is logged, what was shown, whose they are. And uvicorn's transport."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeVar

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from parley_mesh.archive import recall
from parley_mesh.bus import Appended, Bus, Stored
from parley_mesh.telemetry import inject, log
from parley_proto import subjects
from parley_proto.conversation import Checkpoint, CustomerMessage, Entry, Shown
from parley_proto.envelope import Identity, decode, encode
from parley_proto.errors import PermanentError, StreamFullError, TransientError

T = TypeVar("T")
FIRST_ENTRIES = 10
READ_S = 5.0
# When thousands come at once their reads wait here, where they cost nothing, and not in the server's queue,
# which drops them all when it is full.
READS_AT_ONCE = 64
# A broken connection is mostly back sooner; after that nobody is kept waiting for it.
LOST_S = 3.0
# After that somebody has to try again: whoever is not told that this instance is ready will not.
FULL_S = 5.0
DROP = "parley.drop"


class Conversations:
    """Reads and writes of one log. Every method raises TransientError when the mesh does not answer in time.

    `lost_for` says for how many seconds the connection to it has been lost.
    """

    def __init__(self, bus: Bus, shards: int, accept_s: float) -> None:
        self._bus = bus
        self._shards = shards
        self._accept_s = accept_s
        self.lost_for: Callable[[], float] = lambda: 0.0
        self._full_at = 0.0
        self._reading = asyncio.Semaphore(READS_AT_ONCE)

    async def accept(self, conversation: str, entry: Entry, msg_id: str) -> Appended:
        """Store `entry`, trying again with the same id for `accept_s`; StreamFullError at once when the log is full."""
        subject = subjects.conv(conversation, self._shards)
        data, headers = encode(entry), inject()
        try:
            appended = await self._again(
                lambda: self._bus.append(subject, data, msg_id=msg_id, headers=headers), self._accept_s
            )
        except StreamFullError:
            self._full_at = time.monotonic()
            raise
        self._full_at = 0.0
        return appended

    @property
    def full(self) -> bool:
        """True while the log has no room: when it last refused for that a moment ago and has taken nothing since."""
        return bool(self._full_at) and time.monotonic() - self._full_at < FULL_S

    async def message_at(self, seq: int) -> CustomerMessage | None:
        """The customer's message at `seq`, None when it is no longer in the log."""
        stored = await self._read(lambda: self._bus.at(seq))
        entry = _entry(stored) if stored else None
        return entry if isinstance(entry, CustomerMessage) else None

    async def checkpoint(self, conversation: str) -> Checkpoint | None:
        """The owner's newest state, from the archive where it has left the log; an erased one is nobody's."""
        return await self.state(conversation, await self.head(conversation))

    async def head(self, conversation: str) -> Stored | None:
        """What the log has of the owner's newest state: nothing in it says that the archive has it."""
        return await self._read(lambda: self._bus.last(subjects.checkpoint(conversation)))

    async def state(self, conversation: str, head: Stored | None) -> Checkpoint | None:
        """The state behind `head`."""
        if head is None:
            return None
        if not head.data:
            # Not among the reads of the log: an archive that is slow must not take their places.
            return await self._again(lambda: recall(self._bus, conversation, head), READ_S)
        found: Checkpoint = decode(head.data, Checkpoint)
        return found

    async def owner(self, conversation: str) -> Identity | None:
        """Whose conversation it is: the checkpoint says, or before there is one the first that was said in it."""
        checkpoint = await self.checkpoint(conversation)
        return checkpoint.identity if checkpoint else await self.first_speaker(conversation)

    async def first_speaker(self, conversation: str) -> Identity | None:
        """Whose conversation it is as long as it has no checkpoint."""
        subject, after = subjects.conv(conversation, self._shards), 0
        for _ in range(FIRST_ENTRIES):
            stored = await self._next(subject, after)
            if stored is None:
                return None
            identity = getattr(_entry(stored), "identity", None)
            if isinstance(identity, Identity):
                return identity
            after = stored.seq
        return None

    async def last_shown(self, conversation: str) -> int:
        """The number of the newest entry that was shown, 0 when there is none."""
        stored = await self._read(lambda: self._bus.last(subjects.out(conversation)))
        return stored.seq if stored else 0

    async def last_sent(self, conversation: str) -> int:
        """The number of the newest entry that was logged, 0 when there is none; a client knows those of its own."""
        stored = await self._read(lambda: self._bus.last(subjects.conv(conversation, self._shards)))
        if stored is None:
            # All that a retired conversation leaves in the log is younger than anything that was seen of it.
            stored = await self._read(lambda: self._bus.last(subjects.checkpoint(conversation)))
        return stored.seq if stored else 0

    async def has(self, seq: int) -> bool:
        return await self._read(lambda: self._bus.at(seq)) is not None

    async def shown_after(
        self, conversation: str, after: int, last: int | None = None
    ) -> AsyncIterator[tuple[int, Shown]]:
        """What was shown since `after`, oldest first; ends with the entry `last`, or where the log ends now."""
        subject = subjects.out(conversation)
        while last is None or after < last:
            stored = await self._next(subject, after)
            if stored is None:
                return
            after = stored.seq
            try:
                yield stored.seq, decode(stored.data, Shown)
            except PermanentError as error:
                log("parley.gateway").warning("entry not understood", extra={"seq": after, "reason": error.message})

    async def _next(self, subject: str, after: int) -> Stored | None:
        return await self._read(lambda: self._bus.next(subject, after))

    async def _read(self, call: Callable[[], Awaitable[T]]) -> T:
        async def one_of_many() -> T:
            async with self._reading:
                return await call()

        return await self._again(one_of_many, READ_S)

    async def _again(self, call: Callable[[], Awaitable[T]], seconds: float) -> T:
        # Retrying has its price even where the first try does it: more than the call itself.
        try:
            return await self._try(call)
        except TransientError as error:
            if not self._worth_another_try(error):
                raise
        return await self._retried(call, seconds)

    async def _retried(self, call: Callable[[], Awaitable[T]], seconds: float) -> T:
        retrying = AsyncRetrying(
            stop=stop_after_delay(seconds),
            wait=wait_random_exponential(multiplier=0.05, max=2.0),
            retry=retry_if_exception(self._worth_another_try),
            reraise=True,
        )

        async def once() -> T:
            return await self._try(call)

        return await retrying(once)

    async def _try(self, call: Callable[[], Awaitable[T]]) -> T:
        if self._is_lost():
            raise TransientError("The connection to NATS is lost.", code="nats")
        return await call()

    def _worth_another_try(self, error: BaseException) -> bool:
        return isinstance(error, TransientError) and not isinstance(error, StreamFullError) and not self._is_lost()

    def _is_lost(self) -> bool:
        return self.lost_for() > LOST_S


def _entry(stored: Stored) -> Any:
    try:
        return decode(stored.data, Entry)
    except PermanentError:
        # Not one of the entries that this version knows: then it is not a customer's message either.
        return None


def offer_drop(scope: MutableMapping[str, Any], send: object) -> None:
    """Put into `scope` how to cut off a peer that does not read.

    ASGI has no word for it, uvicorn's transport behind `send` has. Its `close()` waits until everything is
    written, so for such a peer it would wait for ever.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    scope.setdefault("extensions", {})[DROP] = getattr(transport, "abort", _nothing)


def dropper(scope: MutableMapping[str, Any]) -> Callable[[], None]:
    """What `offer_drop` has put there; nothing under another server."""
    found: Callable[[], None] = (scope.get("extensions") or {}).get(DROP, _nothing)
    return found


def _nothing() -> None:
    return None
