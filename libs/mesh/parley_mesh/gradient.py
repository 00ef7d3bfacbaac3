"""How many at once: as many as are done as fast as usual (a gradient, after Netflix's concurrency-limits). Pure."""

from __future__ import annotations

import math

# How much slower than usual is still usual.
_TOLERANCE = 1.5
_STEEPEST = 0.5
_USUAL, _RECENT, _SMOOTH = 0.01, 0.2, 0.2


class Gradient:
    """Follows how long things take, lately and usually."""

    def __init__(self) -> None:
        self._usual = self._recent = 0.0

    def grown(self, limit: float, seconds: float) -> float:
        """What `limit` becomes after one that took `seconds`: a little more while that is usual, else less."""
        self._usual = self._usual + _USUAL * (seconds - self._usual) if self._usual else seconds
        self._recent = self._recent + _RECENT * (seconds - self._recent) if self._recent else seconds
        steepness = max(_STEEPEST, min(1.0, _TOLERANCE * self._usual / self._recent))
        return (1 - _SMOOTH) * limit + _SMOOTH * (limit * steepness + math.sqrt(limit))
