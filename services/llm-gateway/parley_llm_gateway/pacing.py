"""The rhythm of the events: alive at once and in silence, text in small bundles, the end exactly once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from parley_proto.llm import Alive, CompletionEvent, Failed, Finished, TextDelta

ALIVE_S = 1.0
BUNDLE_S = 0.03
BUNDLE_CHARS = 120


class _Bundle:
    """Text that waits for more: the first goes out alone, so that nobody waits for it."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self._due = 0.0

    def add(self, text: str) -> TextDelta | None:
        """The bundle, if it is full or its time is over."""
        now = time.monotonic()
        if not self._parts and self._due:
            self._due = max(self._due, now + BUNDLE_S)
        self._parts.append(text)
        self._size += len(text)
        return self.flush() if self._size >= BUNDLE_CHARS or now >= self._due else None

    def flush(self) -> TextDelta | None:
        if not self._parts:
            return None
        bundle = TextDelta("".join(self._parts))
        self._parts, self._size, self._due = [], 0, time.monotonic()
        return bundle

    def patience(self) -> float:
        """Seconds until something has to be sent: the bundle, or a sign of life."""
        return max(0.0, self._due - time.monotonic()) if self._parts else ALIVE_S


async def paced(request_id: str, queue: asyncio.Queue[CompletionEvent]) -> AsyncGenerator[CompletionEvent, None]:
    """Events of `queue` up to its Finished or Failed."""
    yield Alive(request_id)
    bundle = _Bundle()
    while True:
        event = await _next(queue, bundle.patience())
        delta = bundle.add(event.text) if isinstance(event, TextDelta) else bundle.flush()
        if delta:
            yield delta
        if event is None and not delta:
            yield Alive(request_id)
        elif event is not None and not isinstance(event, TextDelta):
            yield event
        if isinstance(event, Finished | Failed):
            return


async def _next(queue: asyncio.Queue[CompletionEvent], patience: float) -> CompletionEvent | None:
    if not queue.empty():
        return queue.get_nowait()
    try:
        async with asyncio.timeout(patience):
            return await queue.get()
    except TimeoutError:
        return None
