"""When each customer speaks. Pure: what a seed and a clock make of it, whatever the mesh does."""

from __future__ import annotations

from random import Random

import msgspec

_JITTER = 0.5


class Burst(msgspec.Struct, frozen=True):
    """Between `start` and `end` (seconds of the run) everybody speaks `factor` times as often."""

    start: float
    end: float
    factor: float


def first_at(number: int, count: int, mean_s: float, random: Random) -> float:
    """The first message of customer `number` of `count`: all of them spread over one mean pause, so that the rate is
    steady from the first second on."""
    return (number + random.random()) / count * mean_s


def pause(mean_s: float, random: Random) -> float:
    """Between two messages of one customer: evenly from half the mean to one and a half of it.

    Thousands of them together arrive as good as independently, but nobody writes twice in one second.
    """
    return mean_s * random.uniform(1 - _JITTER, 1 + _JITTER)


def advance(at: float, seconds: float, burst: Burst | None) -> float:
    """`at` plus `seconds` of ordinary time, which passes `factor` times as fast within the burst."""
    if burst is None or at >= burst.end:
        return at + seconds
    if at < burst.start:
        before = min(seconds, burst.start - at)
        return at + before if before == seconds else advance(burst.start, seconds - before, burst)
    inside = (burst.end - at) * burst.factor
    return at + seconds / burst.factor if seconds <= inside else advance(burst.end, seconds - inside, burst)
