"""How many at once: as many as are done as fast as usual (a gradient, after Netflix's concurrency-limits). Pure."""

from __future__ import annotations

import math

# How much slower than usual is still usual.
_TOLERANCE = 1.5
_STEEPEST = 0.5
_RECENT, _SMOOTH = 0.1, 0.2
_FALLS = 0.05


class Gradient:
    """Follows how long things take, lately and usually.

    What is quicker than usual soon becomes usual; what is slower does by a share of `rises` each time. Where that is
    too much, an overload is usual before it has passed, and then nothing holds it back.
    """

    def __init__(self, rises: float) -> None:
        self._rises = rises
        self._usual = self._recent = 0.0

    def note(self, seconds: float) -> None:
        """One more has taken so long."""
        if not self._usual:
            self._usual = self._recent = seconds
            return
        self._recent += _RECENT * (seconds - self._recent)
        if self._recent < self._usual:
            self._usual += _FALLS * (self._recent - self._usual)
        else:
            self._usual = min(self._recent, self._usual * (1 + self._rises))

    def grown(self, limit: float) -> float:
        """What `limit` becomes after one that was noted: a little more while things go on as usual, else less."""
        if not self._usual:
            return limit
        steepness = max(_STEEPEST, min(1.0, _TOLERANCE * self._usual / self._recent))
        return (1 - _SMOOTH) * limit + _SMOOTH * (limit * steepness + math.sqrt(limit))
