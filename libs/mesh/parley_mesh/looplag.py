"""How late an event loop is: what it costs every conversation of a process when one of them takes too long."""

from __future__ import annotations

import asyncio
import time

from prometheus_client import Histogram

EVERY_S = 0.05
_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5)
LAG = Histogram("parley_loop_lag_seconds", "How late a timer of the event loop comes", buckets=_BUCKETS)


def watch() -> None:
    """Measure the running loop as long as it lives: one timer, no task."""
    # Not the loop's own time: uvloop reads the clock once for all that it does in one round.
    asyncio.get_running_loop().call_later(EVERY_S, _tick, time.monotonic() + EVERY_S)


def lags(late: float) -> list[float]:
    """`late` (seconds), and what the timers would have found that were due meanwhile: a long pause counts as long."""
    found = [max(late, 0.0)]
    while found[-1] > EVERY_S:
        found.append(found[-1] - EVERY_S)
    return found


def _tick(due: float) -> None:
    for lag in lags(time.monotonic() - due):
        LAG.observe(lag)
    watch()
