"""The bus in memory: the same promises as `NatsBus`, held to them by one suite (tests/contract)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

from parley_mesh.bus import Answerer, Appended, Headers, Listener, Stored, Streamer, Subscription, Write
from parley_proto.envelope import MSG_ID, now_ms
from parley_proto.errors import AmbiguousCommitError, ConflictError, TransientError


def matches(pattern: str, subject: str) -> bool:
    """NATS's wildcards: `*` is one token, `>` the rest (one or more)."""
    wanted, found = pattern.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(found) > index
        if index >= len(found) or token not in ("*", found[index]):
            return False
    return len(wanted) == len(found)


class MemoryBus:
    """`Bus` within one process. `serve` stands in for a service on the other side."""

    def __init__(self) -> None:
        self._stored: list[Stored] = []
        self._seq = 0
        self._ids: dict[str, int] = {}
        self._listeners: dict[str, tuple[str, Listener]] = {}
        self._answerers: dict[str, Answerer] = {}
        self._streamers: dict[str, Streamer] = {}

    def serve(self, subject: str, answer: Answerer | None = None, stream: Streamer | None = None) -> None:
        if answer:
            self._answerers[subject] = answer
        if stream:
            self._streamers[subject] = stream

    def everything(self, subject: str = ">") -> list[Stored]:
        """All that is stored on `subject`, oldest first."""
        return [stored for stored in self._stored if matches(subject, stored.subject)]

    async def publish(self, subject: str, data: bytes, headers: Headers | None = None) -> None:
        for pattern, listener in list(self._listeners.values()):
            if matches(pattern, subject):
                await listener(subject, data, dict(headers or {}))

    async def append(
        self, subject: str, data: bytes, *, msg_id: str = "", expect: int | None = None, headers: Headers | None = None
    ) -> Appended:
        known = self._ids.get(msg_id) if msg_id else None
        if known is not None:
            return Appended(known, True)
        write = Write(subject, data, dict(headers or {}) | ({MSG_ID: msg_id} if msg_id else {}), expect)
        return Appended(await self.commit([write]), False)

    async def commit(self, batch: list[Write]) -> int:
        for write in batch:
            self._check(write)
        for write in batch:
            self._store(write)
        return self._seq

    async def last(self, subject: str) -> Stored | None:
        found = self.everything(subject)
        return found[-1] if found else None

    async def next(self, subject: str, after: int) -> Stored | None:
        return next((stored for stored in self.everything(subject) if stored.seq > after), None)

    async def at(self, seq: int) -> Stored | None:
        return next((stored for stored in self._stored if stored.seq == seq), None)

    async def request(self, subject: str, data: bytes, *, timeout: float, headers: Headers | None = None) -> bytes:
        answer = self._answerers.get(subject)
        if answer is None:
            raise TransientError(f"Nobody answers on {subject} just now.", code="no_responders")
        try:
            return await asyncio.wait_for(answer(data, dict(headers or {})), timeout)
        except TimeoutError as error:
            raise AmbiguousCommitError(f"No answer from {subject} in time.", code="timeout") from error

    async def stream(
        self, subject: str, data: bytes, *, idle: float, headers: Headers | None = None
    ) -> AsyncIterator[bytes]:
        streamer = self._streamers.get(subject)
        if streamer is None:
            raise TransientError(f"Nobody answers on {subject} just now.", code="no_responders")
        replies = streamer(data, dict(headers or {})).__aiter__()
        while True:
            try:
                reply = await asyncio.wait_for(anext(replies), idle)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise TransientError(f"{subject} fell silent for {idle:g} s.", code="silent") from error
            yield reply

    async def listen(self, subject: str, listener: Listener, *, queue: str = "") -> Subscription:
        key = uuid.uuid4().hex
        self._listeners[key] = (subject, listener)
        return _Listening(self._listeners, key)

    def _check(self, write: Write) -> None:
        last = self.everything(write.subject)
        if write.expect is not None and write.expect != (last[-1].seq if last else 0):
            raise ConflictError(f"Somebody else has written {write.subject} since it was read.")
        if write.headers.get(MSG_ID) in self._ids:
            raise AmbiguousCommitError(f"A message of the batch that ends with {write.subject} is already in the log.")

    def _store(self, write: Write) -> None:
        self._seq += 1
        if write.headers.get("Nats-Rollup") == "sub":
            self._stored = [stored for stored in self._stored if stored.subject != write.subject]
        if MSG_ID in write.headers:
            self._ids[write.headers[MSG_ID]] = self._seq
        self._stored.append(Stored(write.subject, self._seq, write.data, dict(write.headers), now_ms()))


class _Listening:
    def __init__(self, listeners: dict[str, tuple[str, Listener]], key: str) -> None:
        self._listeners = listeners
        self._key = key

    async def close(self) -> None:
        self._listeners.pop(self._key, None)
