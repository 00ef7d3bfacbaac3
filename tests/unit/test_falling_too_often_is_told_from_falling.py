from __future__ import annotations

from parley_cli.supervise.intensity import Intensity


def test_the_first_restart_is_immediate_and_the_next_ones_wait_longer_and_longer() -> None:
    intensity = Intensity(most=10, window_s=60)
    waits = [intensity.fell(now) for now in range(8)]
    assert waits == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_one_fall_more_than_allowed_within_the_window_is_too_many() -> None:
    intensity = Intensity(most=3, window_s=60)
    assert [intensity.fell(now) is None for now in (0, 20, 40, 59)] == [False, False, False, True]


def test_falls_that_are_long_ago_are_forgiven() -> None:
    intensity = Intensity(most=1, window_s=60)
    assert [intensity.fell(now) for now in (0, 61, 122, 183)] == [0.0, 0.0, 0.0, 0.0]


def test_none_allowed_means_none() -> None:
    assert Intensity(most=0, window_s=60).fell(0) is None
