"""What a caller is about to hear: alive at once and in silence, text in small bundles, the end exactly once."""

from __future__ import annotations

import asyncio
from collections import deque

from parley_proto.llm import (
    Alive,
    CompletionEvent,
    Failed,
    Finished,
    StreamReset,
    TextDelta,
    ToolCalled,
)

ALIVE_S = 1.0
# Ten times a second is as smooth as reading is, and each bundle costs every service on its way the same.
BUNDLE_S = 0.1
BUNDLE_CHARS = 240


class Outbox:
    """Takes pieces without waiting, gives events in batches. The first text goes out alone: nobody waits for it."""

    def __init__(self, request_id: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._alive = Alive(request_id)
        self._ready: deque[CompletionEvent] = deque([self._alive])
        self._text: list[str] = []
        self._size = 0
        self._open_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.over = False
        self.chars = 0
        self.told = False
        self.called = False

    def add(self, piece: TextDelta | ToolCalled) -> None:
        if isinstance(piece, ToolCalled):
            self.called = True
            self._flush()
            self._push(piece)
            return
        self._text.append(piece.text)
        self._size += len(piece.text)
        self.chars += len(piece.text)
        if self._size >= BUNDLE_CHARS or self._loop.time() >= self._open_at:
            self._flush()
        elif self._timer is None:
            self._timer = self._loop.call_at(self._open_at, self._flush)

    def reset(self, reset: StreamReset) -> None:
        """Void what was said. Who has heard nothing yet need not know."""
        self._drop_timer()
        self._text, self._size, self._open_at = [], 0, 0.0
        self._ready = deque(event for event in self._ready if not isinstance(event, TextDelta))
        if self.told:
            self._push(reset)

    def end(self, event: Finished | Failed) -> None:
        """The last event; whatever comes later is not heard."""
        self._flush()
        self._push(event)

    async def take(self) -> list[CompletionEvent]:
        """What there is to say, at least one event: a sign of life after a second of silence."""
        if not self._ready:
            await self._more()
        events = list(self._ready) or [self._alive]
        self._ready.clear()
        self.told = self.told or any(isinstance(event, TextDelta | ToolCalled) for event in events)
        self.over = isinstance(events[-1], Finished | Failed)
        return events

    async def _more(self) -> None:
        self._waiter = self._loop.create_future()
        silence = self._loop.call_later(ALIVE_S, self._wake)
        try:
            await self._waiter
        finally:
            silence.cancel()
            self._waiter = None

    def _flush(self) -> None:
        self._drop_timer()
        if self._text:
            text, self._text, self._size = "".join(self._text), [], 0
            self._open_at = self._loop.time() + BUNDLE_S
            self._push(TextDelta(text))

    def _drop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _push(self, event: CompletionEvent) -> None:
        self._ready.append(event)
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
