"""The bus in memory, without a server: `Bus` within one process, on the same log."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable

from parley_mesh.bus import Answerer, Appended, Headers, Listener, Stored, Streamer, Subscription, Write
from parley_mesh.errors import from_api
from parley_mesh.memory.log import DUPLICATE_WINDOW_S, MemoryLog, RefusedError
from parley_mesh.memory.wildcards import matches
from parley_proto.envelope import MSG_ID, now_ms
from parley_proto.errors import AmbiguousCommitError, TransientError


class MemoryBus:
    """`Bus` within one process. `serve` stands in for a service on the other side; `clock` gives milliseconds."""

    def __init__(self, clock: Callable[[], int] = now_ms, *, duplicate_window_s: float = DUPLICATE_WINDOW_S) -> None:
        self._log = MemoryLog(clock, duplicate_window_s=duplicate_window_s)
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
        self._log.tick()
        return [stored for stored in self._log.after(0) if matches(subject, stored.subject)]

    async def publish(self, subject: str, data: bytes, headers: Headers | None = None) -> None:
        for pattern, listener in list(self._listeners.values()):
            if matches(pattern, subject):
                await listener(subject, data, dict(headers or {}))

    async def append(
        self, subject: str, data: bytes, *, msg_id: str = "", expect: int | None = None, headers: Headers | None = None
    ) -> Appended:
        named = dict(headers or {}) | ({MSG_ID: msg_id} if msg_id else {})
        return self._write([Write(subject, data, named, expect)])

    async def commit(self, batch: list[Write]) -> int:
        return self._write(batch).seq

    async def last(self, subject: str) -> Stored | None:
        return self._log.last(subject)

    async def next(self, subject: str, after: int) -> Stored | None:
        return self._log.next(subject, after)

    async def at(self, seq: int) -> Stored | None:
        return self._log.at(seq)

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

    def _write(self, batch: list[Write]) -> Appended:
        try:
            return self._log.write(batch)
        except RefusedError as error:
            raise from_api(batch[-1].subject, error.code, error.description) from error


class _Listening:
    def __init__(self, listeners: dict[str, tuple[str, Listener]], key: str) -> None:
        self._listeners = listeners
        self._key = key

    async def close(self) -> None:
        self._listeners.pop(self._key, None)
