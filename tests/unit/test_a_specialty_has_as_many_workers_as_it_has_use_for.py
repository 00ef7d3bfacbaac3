"""A pool of workers: grows with the work while searches are quick, shrinks when they get slow."""

from __future__ import annotations

import pytest

from parley_specialist.pool import Pool


def worked(pool: Pool, turns: int, searched_s: float, *, busy: int | None = None) -> Pool:
    for _ in range(turns):
        pool.note(searched_s, pool.workers(0) if busy is None else busy)
    return pool


def test_there_are_more_while_all_have_work_and_it_goes_on_quickly() -> None:
    pool = Pool(8, 128)
    before = pool.workers(0)
    assert worked(pool, 200, 0.004).workers(0) == 128 > before


def test_nobody_is_added_to_those_who_have_nothing_to_do() -> None:
    pool = Pool(8, 128)
    assert worked(pool, 200, 0.004, busy=2).workers(0) == pool.workers(0) == 32


def test_there_are_fewer_once_searches_are_slow_and_more_when_they_are_quick_again() -> None:
    pool = worked(Pool(8, 128), 200, 0.004)
    crowded = worked(pool, 30, 1.5).workers(0)
    assert 8 <= crowded < 64
    assert worked(pool, 200, 0.004).workers(0) == 128


def test_an_overload_does_not_become_usual_while_it_lasts() -> None:
    pool = worked(Pool(8, 128), 200, 0.004)
    assert worked(pool, 2000, 1.5).workers(0) == 8


def test_what_is_always_slow_is_usual_from_the_first() -> None:
    assert worked(Pool(8, 128), 200, 1.5).workers(0) == 128


def test_what_is_slow_for_good_becomes_usual() -> None:
    pool = worked(Pool(8, 128), 200, 0.004)
    assert worked(pool, 10_000, 1.5).workers(0) == 128


@pytest.mark.parametrize(("least", "most"), [(1, 1), (8, 8), (50, 10)])
def test_the_bounds_hold(least: int, most: int) -> None:
    pool = Pool(least, most)
    sizes = {worked(pool, 1, seconds).workers(0) for seconds in (0.001, 5.0, 0.001, 60.0) for _ in range(100)}
    assert min(sizes) >= min(least, most) and max(sizes) <= most


def test_a_noisy_quick_search_is_no_reason_to_shrink() -> None:
    pool = worked(Pool(8, 128), 300, 0.001)
    for _ in range(50):
        worked(pool, 1, 0.0005)
        worked(pool, 1, 0.045)
    assert pool.workers(0) == 128


@pytest.mark.parametrize(("waiting", "workers"), [(0, 8), (7, 8), (8, 9), (80, 18), (192, 32), (100_000, 32)])
def test_what_waits_brings_more_even_while_searches_are_slow_but_no_more_than_at_first(
    waiting: int, workers: int
) -> None:
    crowded = worked(worked(Pool(8, 128), 200, 0.004), 2000, 1.5)
    assert crowded.workers(waiting) == workers


def test_what_waits_does_not_lower_what_quick_searches_allow() -> None:
    quick = worked(Pool(8, 128), 200, 0.004)
    assert quick.workers(1_000) == quick.workers(0) == 128
    assert Pool(50, 10).workers(1_000) == 10
