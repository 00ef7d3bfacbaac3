from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from parley_archiver.domain import Batching, wait_before
from parley_archiver.inbox import BATCHES_AHEAD, Delivery, Inbox
from parley_mesh.bus import Stored

SOON, NEVER = 0.001, 3600.0


async def nothing() -> None:
    return None


def delivery(seq: int, size: int = 1) -> Delivery:
    return Delivery(Stored("out.x", seq, b"x" * size, {}, 1), nothing, nothing)


def inbox(count: int = 3, size: int = 1000, linger_s: float = NEVER, max_bytes: int = 10_000) -> Inbox:
    return Inbox(Batching(count, size, linger_s), max_bytes=max_bytes)


def seqs(batch: list[Delivery]) -> list[int]:
    return [one.stored.seq for one in batch]


def test_a_batch_is_full_by_count_or_by_bytes() -> None:
    batching = Batching(500, 4_000, 0.1)
    assert [batching.is_full(*case) for case in ((499, 3999), (500, 1), (1, 4000))] == [False, True, True]


def test_what_is_left_to_wait_never_falls_below_nothing() -> None:
    batching = Batching(500, 4_000, 0.1)
    assert batching.left_s(0.0) == 0.1 and batching.left_s(0.1) == batching.left_s(9.0) == 0.0


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(1, 10), st.integers(1, 100))
def test_cutting_makes_batches_within_their_limits_and_loses_nothing(sizes: list[int], count: int, size: int) -> None:
    batching, left, batches = Batching(count, size, 1.0), list(sizes), []
    while left:
        number = batching.cut(left)
        batches.append(left[:number])
        left = left[number:]
    assert [one for batch in batches for one in batch] == sizes
    assert all(0 < len(batch) <= count and (sum(batch) <= size or len(batch) == 1) for batch in batches)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_attempts_move_apart_up_to_five_seconds(attempt: int, luck: float) -> None:
    assert 0.1 <= wait_before(attempt, luck) <= 5.0
    assert wait_before(attempt, luck) <= wait_before(attempt + 1, luck)


async def test_a_full_batch_is_taken_before_its_time() -> None:
    box = inbox()
    taking = asyncio.create_task(box.take(NEVER))
    for seq in (1, 2, 3, 4):
        box.put(delivery(seq))
    assert seqs(await taking) == [1, 2, 3]
    assert box.held == 4


async def test_an_old_batch_is_taken_as_it_is() -> None:
    box = inbox(linger_s=SOON)
    box.put(delivery(1))
    assert seqs(await box.take(NEVER)) == [1]


async def test_nothing_is_taken_when_nothing_comes() -> None:
    assert await inbox().take(SOON) == []


async def test_room_ends_where_the_batches_ahead_are_full_and_returns_when_one_is_done() -> None:
    box = inbox(count=2, linger_s=SOON)
    for seq in range(2 * BATCHES_AHEAD):
        assert box.room() > 0
        box.put(delivery(seq))
    assert box.room() == 0
    await box.take(NEVER)
    assert box.room() == 0
    box.done()
    assert box.room() == 2


async def test_room_ends_by_bytes_as_well() -> None:
    box = inbox(count=10, max_bytes=100)
    box.put(delivery(1, 60))
    assert box.room() == 10
    box.put(delivery(2, 60))
    assert box.room() == 0


async def test_a_redelivery_takes_no_second_place() -> None:
    box = inbox(count=5, linger_s=SOON)
    for _ in range(4):
        box.put(delivery(1, 10))
    box.put(delivery(2, 10))
    assert box.held == 2
    assert seqs(await box.take(NEVER)) == [1, 2]


async def test_closing_takes_what_waits_at_once_and_asks_for_nothing_more() -> None:
    box = inbox()
    box.put(delivery(1))
    box.close()
    assert box.room() == 0 and not box.closed
    assert seqs(await box.take(NEVER)) == [1]
    assert box.closed and await box.take(NEVER) == []
    assert await box.closes_within(NEVER)


async def test_what_is_abandoned_is_everything_held() -> None:
    box = inbox(count=2)
    for seq in (1, 2, 3):
        box.put(delivery(seq))
    await box.take(NEVER)
    assert seqs(box.abandon()) == [1, 2, 3]
    assert box.held == 0
