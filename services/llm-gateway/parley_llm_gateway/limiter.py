"""How many calls a provider takes at once: learned, with a fair queue in front and an early no behind it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Literal

from parley_llm_gateway.fair_queue import FairQueue
from parley_mesh.gradient import Gradient
from parley_proto.errors import TransientError

Outcome = Literal["ok", "busy", "timeout", "neutral"]
_BACK = 0.7
_BACK_EVERY_S = 1.0
_SMOOTH = 0.2
# A time to the first token that is three times as long is usual after some hundred calls.
_RISES = 0.01


class Overloaded(TransientError):
    """No place, and no room to wait for one. `retry_after` is in seconds."""

    code = "overloaded"

    def __init__(self, retry_after: float) -> None:
        super().__init__("The llm-gateway has as many completions as it takes; try again later.")
        self.retry_after = retry_after


class Limiter:
    """Between `least` and `most` at once. Hosted providers: additive up, x0.7 down on 429 and timeouts (AIMD).

    Local engines have no 429: there the limit follows the time to the first token (a gradient).
    """

    def __init__(
        self,
        start: int,
        least: int,
        most: int,
        *,
        hosted: bool,
        queue_length: int,
        queue_wait_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._least, self._most = least, most
        self._exact = float(start)
        self._hosted = hosted
        self._queue = FairQueue(queue_length)
        self._wait_s = queue_wait_s
        self._clock = clock
        self._inside = 0
        self._backed_at = -math.inf
        self._gradient = Gradient(_RISES)
        self._took = 1.0

    @property
    def limit(self) -> int:
        return int(self._exact)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def free(self) -> bool:
        return self._inside < self.limit

    def try_enter(self) -> Slot | None:
        """A place at once, unless somebody already waits for one."""
        return self._enter() if self.free and not self._queue else None

    async def enter(self, tenant: str, seconds: float) -> Slot:
        """A place, after at most `seconds` in the queue. Raises Overloaded."""
        slot = self.try_enter()
        if slot:
            return slot
        if not self._queue.takes(tenant):
            raise Overloaded(self._estimate())
        waiter = self._queue.join(tenant)
        try:
            async with asyncio.timeout(min(seconds, self._wait_s)):
                await waiter
        except TimeoutError as error:
            self._give_up(tenant, waiter)
            raise Overloaded(self._estimate()) from error
        except asyncio.CancelledError:
            self._give_up(tenant, waiter)
            raise
        # The place was kept for us by whoever left it.
        return Slot(self, self._clock())

    def leave(self, entered_at: float, outcome: Outcome, first_token_s: float | None) -> None:
        """One call is over."""
        self._took += _SMOOTH * (self._clock() - entered_at - self._took)
        self._learn(outcome, first_token_s)
        self._inside -= 1
        self._wake()

    def _enter(self) -> Slot:
        self._inside += 1
        return Slot(self, self._clock())

    def _wake(self) -> None:
        while self.free and self._queue.next():
            self._inside += 1

    def _give_up(self, tenant: str, waiter: asyncio.Future[None]) -> None:
        if waiter.done() and not waiter.cancelled():
            # Its turn came in the same moment: the place goes to the next.
            self._inside -= 1
            self._wake()
        else:
            self._queue.leave(tenant, waiter)

    def _learn(self, outcome: Outcome, first_token_s: float | None) -> None:
        now = self._clock()
        if outcome in ("busy", "timeout"):
            if now - self._backed_at >= _BACK_EVERY_S:
                self._backed_at = now
                self._exact = max(self._least, self._exact * _BACK)
        elif outcome == "ok" and self._inside * 2 >= self.limit:
            grown = self._exact + 1 / self._exact if self._hosted else self._followed(first_token_s)
            self._exact = min(self._most, max(self._least, grown))

    def _followed(self, first_token_s: float | None) -> float:
        # Embeddings have no first token.
        if not first_token_s:
            return self._exact
        self._gradient.note(first_token_s)
        return self._gradient.grown(self._exact)

    def _estimate(self) -> float:
        return max(1.0, self._took * (len(self._queue) + 1) / max(1, self.limit))


class Slot:
    """One place at a provider; `leave` gives it back, once."""

    def __init__(self, limiter: Limiter, entered_at: float) -> None:
        self._limiter = limiter
        self._entered_at = entered_at
        self._left = False

    def leave(self, outcome: Outcome, first_token_s: float | None = None) -> None:
        if not self._left:
            self._left = True
            self._limiter.leave(self._entered_at, outcome, first_token_s)
