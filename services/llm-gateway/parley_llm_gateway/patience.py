"""How long a provider's answer may take: one timer a stream, looked at when it fires, not on every piece."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from parley_llm_gateway.errors import ProviderFailed
from parley_llm_gateway.providers.base import Pace

_USAGE_S = 1.0


class Patience:
    """The first real delta, the pause between two, and the speed in between. `expire` hears of the end of it, once."""

    def __init__(self, pace: Pace, expire: Callable[[ProviderFailed], None]) -> None:
        self._pace = pace
        self._expire = expire
        self._loop = asyncio.get_running_loop()
        self._begun = False
        self._moved_at = self._loop.time()
        self._finished_at = 0.0
        self._chars = 0
        self._window_at = 0.0
        self._window_chars = 0
        self._timer = self._loop.call_at(self._moved_at + pace.first_delta_s, self._look)

    def moved(self, chars: int) -> None:
        """Something of the answer came: text, thought or arguments of `chars` characters."""
        self._moved_at = self._loop.time()
        self._chars += chars
        if not self._begun:
            self._begun = True
            self._window_at, self._window_chars = self._moved_at, self._chars
            self._rearm(self._moved_at)

    def finish(self) -> None:
        """Only the usage is missing: not worth more than a moment."""
        if not self._finished_at:
            self._finished_at = self._loop.time()
            self._rearm(self._finished_at)

    def close(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        error = self._error(now)
        if error:
            self._expire(error)
        else:
            self._rearm(now)

    def _rearm(self, now: float) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_at(max(self._due(), now + 0.001), self._look)

    def _due(self) -> float:
        if self._finished_at:
            return self._finished_at + _USAGE_S
        if not self._begun:
            return self._moved_at + self._pace.first_delta_s
        return min(self._moved_at + self._pace.inter_delta_s, self._window_at + self._pace.slow_window_s)

    def _error(self, now: float) -> ProviderFailed | None:
        pace = self._pace
        if self._finished_at:
            late = now >= self._finished_at + _USAGE_S
            return ProviderFailed("The model provider did not end its stream.", code="stalled") if late else None
        if not self._begun:
            text = f"The model provider did not begin to answer within {pace.first_delta_s:g} s."
            return ProviderFailed(text, code="no_first_delta")
        if now >= self._moved_at + pace.inter_delta_s:
            text = f"The model provider stopped in mid-answer for {pace.inter_delta_s:g} s."
            return ProviderFailed(text, code="stalled")
        return self._drip(now)

    def _drip(self, now: float) -> ProviderFailed | None:
        pace = self._pace
        if now < self._window_at + pace.slow_window_s:
            return None
        if self._chars - self._window_chars < pace.min_chars_per_s * pace.slow_window_s:
            text = f"The model provider sent less than {pace.min_chars_per_s:g} characters a second."
            return ProviderFailed(text, code="too_slow")
        self._window_at, self._window_chars = now, self._chars
        return None
