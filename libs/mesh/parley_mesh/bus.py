"""What a service may ask of the mesh. `NatsBus` is the real one; `MemoryBus` is its twin for fast tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol

import msgspec

Headers = Mapping[str, str]


class Stored(msgspec.Struct, frozen=True):
    """A message as the log holds it. `at` is the log's own clock, milliseconds."""

    subject: str
    seq: int
    data: bytes
    headers: dict[str, str]
    at: int


class Write(msgspec.Struct, frozen=True):
    """One member of an atomic batch. `expect` is the subject's last sequence, 0 for none yet."""

    subject: str
    data: bytes
    headers: dict[str, str] = {}
    expect: int | None = None


class Appended(msgspec.Struct, frozen=True):
    """Where the log put a message; `duplicate` when its id was already there."""

    seq: int
    duplicate: bool


class Received(Protocol):
    """A core message or request."""

    @property
    def subject(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def headers(self) -> dict[str, str] | None: ...


Listener = Callable[[str, bytes, dict[str, str]], Awaitable[None]]
Answerer = Callable[[bytes, dict[str, str]], Awaitable[bytes]]
Streamer = Callable[[bytes, dict[str, str]], AsyncIterator[bytes]]


class Subscription(Protocol):
    async def close(self) -> None: ...


class Bus(Protocol):
    """Core messages, the log, and requests.

    Every method may raise TransientError; `append` and `commit` raise ConflictError when an expectation failed,
    AmbiguousCommitError when the log did not answer, StreamFullError past `max_bytes`.
    """

    async def publish(self, subject: str, data: bytes, headers: Headers | None = None) -> None:
        """Core publish: no storage, no answer."""
        ...

    async def append(
        self, subject: str, data: bytes, *, msg_id: str = "", expect: int | None = None, headers: Headers | None = None
    ) -> Appended:
        """Store one message; `msg_id` makes a resend harmless within the log's duplicate window."""
        ...

    async def commit(self, batch: list[Write]) -> int:
        """Store all of `batch` or nothing; the sequence of its last member."""
        ...

    async def last(self, subject: str) -> Stored | None:
        """The newest message on `subject`, read from the leader (nats.md, 'Reads')."""
        ...

    async def next(self, subject: str, after: int) -> Stored | None:
        """The first message on `subject` with a sequence above `after`, read from the leader."""
        ...

    async def at(self, seq: int) -> Stored | None:
        """The message with this sequence, read from the leader."""
        ...

    async def request(self, subject: str, data: bytes, *, timeout: float, headers: Headers | None = None) -> bytes:
        """One answer; a `Refusal` becomes the error that it names. NoResponders is a TransientError."""
        ...

    def stream(self, subject: str, data: bytes, *, idle: float, headers: Headers | None = None) -> AsyncIterator[bytes]:
        """Answers until an empty one; TransientError after `idle` seconds without any."""
        ...

    async def listen(self, subject: str, listener: Listener, *, queue: str = "") -> Subscription:
        """Core subscription. Listeners run one after the other, so none may wait for long."""
        ...
