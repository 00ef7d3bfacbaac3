"""How long the first delta of a model may take: learned from how long it takes."""

from __future__ import annotations

from collections import deque

_SAMPLES = 100
_ENOUGH = 10
_TIMES = 3.0


class FirstDelta:
    """max(floor, 3 x rolling p95), in seconds, never above `cap_s`; the cap while there are few samples."""

    def __init__(self, floor_s: float, cap_s: float) -> None:
        self._floor_s = floor_s
        self._cap_s = cap_s
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self._fresh = 0
        self._value = cap_s

    def seen(self, seconds: float) -> None:
        self._samples.append(seconds)
        self._fresh += 1
        # Sorting on every call would cost more than the timer is worth.
        if self._fresh >= _ENOUGH:
            self._fresh = 0
            ranked = sorted(self._samples)
            p95 = ranked[min(len(ranked) - 1, int(len(ranked) * 0.95))]
            self._value = min(self._cap_s, max(self._floor_s, _TIMES * p95))

    def seconds(self) -> float:
        return self._value
