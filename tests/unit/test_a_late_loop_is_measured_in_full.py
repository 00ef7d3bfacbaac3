"""How late an event loop is: a long pause counts for all that it has kept waiting."""

from __future__ import annotations

import asyncio
import time

import pytest

from parley_mesh import looplag


def test_a_pause_counts_for_each_timer_that_it_has_kept_waiting() -> None:
    assert looplag.lags(0.004) == [0.004]
    assert looplag.lags(-0.001) == [0.0]
    assert looplag.lags(0.12) == pytest.approx([0.12, 0.07, 0.02])


async def test_a_loop_that_is_blocked_shows_it() -> None:
    before = _count(0.1)
    looplag.watch()
    await asyncio.sleep(0.02)
    time.sleep(0.25)
    await asyncio.sleep(0.1)
    assert _count(0.1) > before


def _count(above_s: float) -> float:
    samples = {s.labels["le"]: s.value for m in looplag.LAG.collect() for s in m.samples if s.name.endswith("_bucket")}
    return samples["+Inf"] - samples[str(above_s)]
