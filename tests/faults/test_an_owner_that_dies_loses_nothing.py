"""Ownership under faults, with real processes and a real server: every message is answered exactly once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from parley_testkit.bench import Bench, until

COUNT = 150
EVERY_S = 0.008


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench() as bench:
        for name in ("conversation-1", "conversation-2"):
            bench.launch(name)
        await bench.until_shared(2)
        yield bench


async def under(bench: Bench, fault: Callable[[], Awaitable[None]]) -> list[str]:
    """Conversations begin while `fault` happens in their midst; all of them are to be answered."""
    opening = asyncio.create_task(bench.open(COUNT, EVERY_S))
    await until(lambda: len(bench.answers) >= COUNT // 4, 30)
    await fault()
    names = await opening
    await until(lambda: len(bench.answers) == COUNT, 40)
    return names


def once(bench: Bench, names: list[str]) -> bool:
    """Each conversation has one answer, which was shown once, and it is about its own message."""
    about = all(list(bench.answers[name].values()) == [f"question of {name}"] for name in names)
    return about and not bench.shown_twice


async def test_two_instances_share_the_shards_and_a_third_that_joins_takes_its_part(bench: Bench) -> None:
    async with asyncio.timeout(30):
        # On a busy machine an instance may look away for longer than its peers wait.
        while sorted((await bench.shares()).values()) != [32, 32]:
            await asyncio.sleep(0.1)

    async def join() -> None:
        bench.launch("conversation-3")

    names = await under(bench, join)
    shares = await bench.until_shared(3)
    assert sorted(shares.values()) == [20, 22, 22] or sorted(shares.values()) == [21, 21, 22]
    assert once(bench, names)


async def test_kill_9_of_an_owner_loses_and_repeats_nothing(bench: Bench) -> None:
    async def kill() -> None:
        bench.processes["conversation-1"].kill()

    assert once(bench, await under(bench, kill))
    assert await bench.until_shared(1) == {"conversation-2": 64}


async def test_an_owner_that_was_paused_past_its_lease_cannot_write(bench: Bench) -> None:
    async def pause() -> None:
        zombie = bench.processes["conversation-1"]
        zombie.send_signal(signal.SIGSTOP)
        await asyncio.sleep(3)
        zombie.send_signal(signal.SIGCONT)

    assert once(bench, await under(bench, pause))


async def test_kill_9_of_the_log_itself_costs_time_and_nothing_else(bench: Bench) -> None:
    async def kill() -> None:
        bench.nats.kill()
        bench.nats.start()

    assert once(bench, await under(bench, kill))


async def test_a_graceful_stop_hands_over_without_a_lost_or_repeated_answer(bench: Bench) -> None:
    async def stop() -> None:
        bench.processes["conversation-1"].terminate()

    assert once(bench, await under(bench, stop))
    assert bench.processes["conversation-1"].wait(10) == 0


async def test_messages_of_one_conversation_are_answered_in_their_order(bench: Bench) -> None:
    (name,) = await bench.open(1, 0)
    for number in range(2, 12):
        await bench.send(name, f"m{number}", str(number))
    await until(lambda: "m11" in " ".join(bench.answers[name].values()), 20)
    words = " | ".join(bench.answers[name].values()).split(" | ")
    assert words == [f"question of {name}", *(f"m{number}" for number in range(2, 12))]
    assert not bench.shown_twice
