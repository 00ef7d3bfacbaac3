"""The conversations as the mesh has them: what is logged, what was shown, whose they are. And uvicorn's transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeVar

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from parley_mesh.bus import Appended, Bus, Stored
from parley_mesh.telemetry import inject, log
from parley_proto import subjects
from parley_proto.conversation import Checkpoint, CustomerMessage, Entry, Shown
from parley_proto.envelope import Identity, decode, encode
from parley_proto.errors import PermanentError, StreamFullError, TransientError

T = TypeVar("T")
FIRST_ENTRIES = 10
READ_S = 5.0
DROP = "parley.drop"


class Conversations:
    """Reads and writes of one log. Every method raises TransientError when the mesh does not answer in time."""

    def __init__(self, bus: Bus, shards: int, accept_s: float) -> None:
        self._bus = bus
        self._shards = shards
        self._accept_s = accept_s

    async def accept(self, conversation: str, entry: Entry, msg_id: str) -> Appended:
        """Store `entry`, trying again with the same id for `accept_s`; StreamFullError at once when the log is full."""
        subject = subjects.conv(conversation, self._shards)
        data, headers = encode(entry), inject()
        return await self._again(
            lambda: self._bus.append(subject, data, msg_id=msg_id, headers=headers), self._accept_s
        )

    async def message_at(self, seq: int) -> CustomerMessage | None:
        """The customer's message at `seq`, None when it is no longer in the log."""
        stored = await self._again(lambda: self._bus.at(seq), READ_S)
        entry = _entry(stored) if stored else None
        return entry if isinstance(entry, CustomerMessage) else None

    async def checkpoint(self, conversation: str) -> Checkpoint | None:
        stored = await self._again(lambda: self._bus.last(subjects.checkpoint(conversation)), READ_S)
        if stored is None or not stored.data:
            return None
        found: Checkpoint = decode(stored.data, Checkpoint)
        return found

    async def owner(self, conversation: str) -> Identity | None:
        """Whose conversation it is: the checkpoint says, or before there is one the first that was said in it."""
        checkpoint = await self.checkpoint(conversation)
        if checkpoint:
            return checkpoint.identity
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

    async def last_seq(self, conversation: str) -> int:
        """The highest number that a client can have seen: of what was shown, or of what it sent itself."""
        shown = await self._again(lambda: self._bus.last(subjects.out(conversation)), READ_S)
        sent = await self._again(lambda: self._bus.last(subjects.conv(conversation, self._shards)), READ_S)
        return max(shown.seq if shown else 0, sent.seq if sent else 0)

    async def has(self, seq: int) -> bool:
        return await self._again(lambda: self._bus.at(seq), READ_S) is not None

    async def shown_after(self, conversation: str, after: int) -> AsyncIterator[tuple[int, Shown]]:
        """What was shown since `after`, oldest first; ends where the log ends now."""
        subject = subjects.out(conversation)
        while stored := await self._next(subject, after):
            after = stored.seq
            try:
                yield stored.seq, decode(stored.data, Shown)
            except PermanentError as error:
                log("parley.gateway").warning("entry not understood", extra={"seq": after, "reason": error.message})

    async def _next(self, subject: str, after: int) -> Stored | None:
        return await self._again(lambda: self._bus.next(subject, after), READ_S)

    async def _again(self, call: Callable[[], Awaitable[T]], seconds: float) -> T:
        retrying = AsyncRetrying(
            stop=stop_after_delay(seconds),
            wait=wait_random_exponential(multiplier=0.05, max=2.0),
            retry=retry_if_exception(_worth_another_try),
            reraise=True,
        )

        async def once() -> T:
            return await call()

        return await retrying(once)


def _worth_another_try(error: BaseException) -> bool:
    return isinstance(error, TransientError) and not isinstance(error, StreamFullError)


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
