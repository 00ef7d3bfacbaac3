"""A load test's durations are kept in few buckets, and no percentile is more than 1.6 % off."""

from __future__ import annotations

import sys
from random import Random

import pytest

from parley_testkit.requirements import project_root

sys.path.append(str(project_root() / "loadtest"))

from generator.histogram import Histogram
from generator.tally import Tally, Tick, joined, timed, total


@pytest.mark.parametrize("ms", [0.0, 0.001, 0.063, 0.064, 0.127, 0.128, 0.3, 1, 4.7, 33, 500, 12_345, 3_600_000])
def test_one_duration_is_found_again(ms: float) -> None:
    histogram = Histogram()
    histogram.record(ms)
    for share in (0.0, 0.5, 1.0):
        assert histogram.percentile(share) == pytest.approx(ms, rel=0.016, abs=0.001)


def test_percentiles_are_those_of_the_durations_themselves() -> None:
    random, histogram = Random(3), Histogram()
    values = sorted(random.lognormvariate(2, 1.5) for _ in range(20_000))
    for value in values:
        histogram.record(value)
    assert histogram.total == 20_000 and len(histogram.counts) < 1_500
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert histogram.percentiles()[name] == pytest.approx(values[int(share * 20_000)], rel=0.03)


def test_nothing_measured_is_nothing() -> None:
    assert Histogram().percentiles() == {"p50": 0.0, "p95": 0.0, "p99": 0.0}


def test_parts_add_up_to_the_whole_by_second() -> None:
    first, second = Tally(), Tally()
    first.began = second.began = 100.0
    for tally, ms in ((first, 1.0), (second, 9.0)):
        tally.at(99.5).sent += 1
        tally.at(102.5).answered += 2
        tally.at(102.6).time("answer", ms)
        tally.at(102.7).count_code("overloaded")
    ticks = joined([*first.take(), *second.take(), Tick(2, answered=1)])
    assert [tick.second for tick in ticks] == [-1, 2]
    assert (total(ticks, "sent"), total(ticks, "answered")) == (2, 5)
    assert timed(ticks, "answer").percentile(1.0) == pytest.approx(9, rel=0.02)
    assert ticks[1].codes == {"overloaded": 2}
    assert first.take() == []
