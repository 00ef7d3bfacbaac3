"""What waits for one reader: bounded, and shorter for a slow one, because its words are put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from parley_gateway.said import Said

MAX_WAITING = 512
MAX_CHARACTERS = 512 * 1024
_CONTENT = "TEXT_MESSAGE_CONTENT"


class Plain(msgspec.Struct, frozen=True):
    """A frame that is no event: welcome, ack, error and so on."""

    frame: dict[str, Any]


Waiting = Said | Plain


class Outbox:
    """A queue with one reader. Words of one message in a row become one event; nothing else is ever dropped.

    When it is full, it has `overflowed`: `on_overflow` is called, and nothing more goes in. The reader has to come
    again and resume.
    """

    def __init__(self, on_overflow: Callable[[], None], limit: int = MAX_WAITING) -> None:
        self._on_overflow = on_overflow
        self._limit = limit
        self._items: list[Waiting] = []
        self._characters = 0
        self._filled = asyncio.Event()
        # Only while somebody waits for room: each of 5,000 sockets has an outbox, and few a replay.
        self._room: asyncio.Event | None = None
        self._closed = False
        self.overflowed = False

    def __len__(self) -> int:
        return len(self._items)

    def push(self, item: Waiting) -> None:
        """Add without waiting; overflows when there is no room."""
        if self._closed or self.overflowed:
            return
        merged = _merged(self._items[-1], item) if self._items else None
        if merged:
            self._items[-1] = merged
        elif len(self._items) >= self._limit:
            self.overflow()
            return
        else:
            self._items.append(item)
        self._characters += _length(item)
        self._filled.set()
        if self._characters > MAX_CHARACTERS:
            self.overflow()

    def overflow(self) -> None:
        """Its reader is too slow: it gets nothing more."""
        self.overflowed = True
        self._on_overflow()

    async def roomy(self) -> None:
        """Returns when the outbox is less than half full: for what can wait, such as a replay."""
        while len(self._items) >= self._limit // 2 or self._characters > MAX_CHARACTERS // 2:
            self._room = self._room or asyncio.Event()
            await self._room.wait()

    def close(self) -> None:
        """Nothing more goes in, and its owner is let go; what waits can still be taken."""
        self._closed = True
        self._on_overflow = _nobody
        self._filled.set()

    async def take(self) -> list[Waiting]:
        """Everything that waits, at least one; nothing at all when the outbox is closed and empty."""
        await self._filled.wait()
        return self.drain()

    def drain(self) -> list[Waiting]:
        items, self._items = self._items, []
        self._characters = 0
        if self._room:
            self._room.set()
            self._room = None
        if not self._closed:
            self._filled.clear()
        return items


def _nobody() -> None:
    """For whom a closed outbox overflows."""


def _merged(last: Waiting, item: Waiting) -> Said | None:
    if not isinstance(last, Said) or not isinstance(item, Said):
        return None
    if last.ev["type"] != _CONTENT or item.ev["type"] != _CONTENT or last.ev["messageId"] != item.ev["messageId"]:
        return None
    return Said(last.ev | {"delta": last.ev["delta"] + item.ev["delta"]})


def _length(item: Waiting) -> int:
    """Characters, as far as they are many. A snapshot can't come in parts, so that it alone never is too much."""
    if not isinstance(item, Said):
        return 0
    snapshot = sum(len(str(message.get("content", ""))) for message in item.ev.get("messages", ()))
    return min(snapshot, MAX_CHARACTERS // 2) + len(item.ev.get("delta", ""))
