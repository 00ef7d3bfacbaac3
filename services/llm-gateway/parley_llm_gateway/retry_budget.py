"""How many second attempts are affordable: a share of the calls, so that an outage is not made worse."""

from __future__ import annotations

import time
from collections.abc import Callable

_WINDOW_S = 10.0


class RetryBudget:
    """At most `share` of the calls of the last ten to twenty seconds, and `floor` in any case."""

    def __init__(self, share: float, floor: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._floor = floor
        self._clock = clock
        self._calls, self._retries = [0, 0], [0, 0]
        self._since = clock()

    def called(self) -> None:
        self._turn()
        self._calls[-1] += 1

    def allow(self) -> bool:
        """Take one retry; False when there is none left."""
        self._turn()
        if sum(self._retries) >= max(self._floor, self._share * sum(self._calls)):
            return False
        self._retries[-1] += 1
        return True

    def _turn(self) -> None:
        now = self._clock()
        if now - self._since < _WINDOW_S:
            return
        both = now - self._since >= 2 * _WINDOW_S
        self._calls, self._retries = [0 if both else self._calls[-1], 0], [0 if both else self._retries[-1], 0]
        self._since = now
