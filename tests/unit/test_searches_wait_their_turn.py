from __future__ import annotations

import asyncio

import pytest

from parley_proto.errors import TransientError
from parley_rag.queries import QueryWorkers


class Table:
    """Searches that end when they are told to."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.release = asyncio.Event()

    async def search(self) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.release.wait()
        self.running -= 1
        return "found"


async def until(table: Table, running: int) -> None:
    async with asyncio.timeout(5):
        while table.running != running:
            await asyncio.sleep(0)


async def test_workers_are_added_while_searches_wait_and_never_more_than_the_most() -> None:
    table, workers = Table(), QueryWorkers(least=1, most=3, waiting=10)
    asked = [asyncio.create_task(workers.run(table.search)) for _ in range(8)]
    await until(table, 3)
    table.release.set()
    assert await asyncio.gather(*asked) == ["found"] * 8
    assert (table.most, workers.workers) == (3, 3)
    await workers.close()


async def test_one_after_the_other_needs_one_worker() -> None:
    workers = QueryWorkers(least=1, most=3, waiting=10)
    table = Table()
    table.release.set()
    for _ in range(20):
        await workers.run(table.search)
    assert workers.workers == 1
    await workers.close()


async def test_idle_workers_go_down_to_the_least() -> None:
    table, workers = Table(), QueryWorkers(least=1, most=4, waiting=10, idle_s=0.05)
    asked = [asyncio.create_task(workers.run(table.search)) for _ in range(4)]
    await until(table, 4)
    table.release.set()
    await asyncio.gather(*asked)
    async with asyncio.timeout(5):
        while workers.workers > 1:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert workers.workers == 1
    assert await workers.run(table.search) == "found"
    await workers.close()


async def test_past_the_bound_a_search_is_refused_at_once() -> None:
    table, workers = Table(), QueryWorkers(least=1, most=1, waiting=2)
    asked = [asyncio.create_task(workers.run(table.search))]
    await until(table, 1)
    asked += [asyncio.create_task(workers.run(table.search)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(TransientError, match="Too many searches wait already") as caught:
        await workers.run(table.search)
    assert caught.value.code == "overloaded"
    table.release.set()
    assert await asyncio.gather(*asked) == ["found"] * 3
    await workers.close()


async def test_a_search_whose_asker_has_gone_is_not_made() -> None:
    table, workers = Table(), QueryWorkers(least=1, most=1, waiting=5)
    first = asyncio.create_task(workers.run(table.search))
    await until(table, 1)
    gone = asyncio.create_task(workers.run(table.search))
    await asyncio.sleep(0)
    gone.cancel()
    table.release.set()
    assert await first == "found"
    made: list[str] = []

    async def last() -> None:
        made.append("last")

    await workers.run(last)
    assert made == ["last"] and table.most == 1 and table.running == 0
    await workers.close()


async def test_a_search_that_fails_costs_its_asker_only() -> None:
    workers = QueryWorkers(least=1, most=1, waiting=5)

    async def broken() -> None:
        raise TransientError("The table is away.", code="knowledge_unavailable")

    async def sound() -> str:
        return "found"

    results = await asyncio.gather(*(workers.run(work) for work in (broken, sound)), return_exceptions=True)
    assert isinstance(results[0], TransientError) and results[1] == "found"
    await workers.close()
