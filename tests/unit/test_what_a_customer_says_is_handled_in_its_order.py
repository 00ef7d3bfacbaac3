from __future__ import annotations

import asyncio

import pytest

from parley_gateway.turnstile import Turnstile


class Hand:
    """Handles numbers when it is let; remembers them."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.begun: list[int] = []
        self.done: list[int] = []

    async def take(self, number: int) -> None:
        self.begun.append(number)
        await self.may.wait()
        self.done.append(number)


async def test_one_is_handled_after_the_other() -> None:
    hand = Hand()
    turnstile = Turnstile(hand.take, limit=4)
    for number in range(3):
        await turnstile.put(number)
    await asyncio.sleep(0)
    assert hand.begun == [0]
    hand.may.set()
    await turnstile.join()
    assert hand.done == [0, 1, 2]


async def test_where_too_many_wait_the_next_one_waits_until_they_are_done() -> None:
    hand = Hand()
    turnstile = Turnstile(hand.take, limit=2)
    await turnstile.put(0)
    await asyncio.sleep(0)
    await turnstile.put(1)
    await turnstile.put(2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(turnstile.put(3), 0.01)
    hand.may.set()
    await turnstile.put(4)
    await turnstile.join()
    assert hand.done == [0, 1, 2, 4]


async def test_what_is_put_after_a_pause_is_handled_too() -> None:
    hand = Hand()
    hand.may.set()
    turnstile = Turnstile(hand.take, limit=2)
    for number in range(5):
        await turnstile.put(number)
        await turnstile.join()
    assert hand.done == [0, 1, 2, 3, 4]


async def test_a_closed_one_gives_up_what_waits() -> None:
    hand = Hand()
    turnstile = Turnstile(hand.take, limit=4)
    await turnstile.put(0)
    await turnstile.put(1)
    await asyncio.sleep(0)
    turnstile.close()
    await turnstile.join()
    hand.may.set()
    assert (hand.begun, hand.done) == ([0], [])
