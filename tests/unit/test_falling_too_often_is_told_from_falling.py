from __future__ import annotations

import pytest

from parley_cli.supervise.intensity import Intensity, may_go_on


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


def test_whoever_asks_for_a_new_start_forgives_the_falls() -> None:
    intensity = Intensity(most=1, window_s=60)
    assert [intensity.fell(0), intensity.fell(1)] == [0.0, None]
    intensity.forgive()
    assert intensity.fell(2) == 0.0


@pytest.mark.parametrize(("left", "of", "goes_on"), [(0, 1, False), (1, 2, True), (0, 2, False), (1, 5, True)])
def test_a_service_goes_on_while_one_instance_is_left(left: int, of: int, goes_on: bool) -> None:
    assert may_go_on(left, of, majority=False) is goes_on


@pytest.mark.parametrize(
    ("left", "of", "goes_on"), [(0, 1, False), (2, 3, True), (1, 3, False), (3, 5, True), (2, 5, False)]
)
def test_those_that_vote_go_on_while_most_are_left(left: int, of: int, goes_on: bool) -> None:
    assert may_go_on(left, of, majority=True) is goes_on
