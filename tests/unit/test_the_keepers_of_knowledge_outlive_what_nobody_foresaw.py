"""Nobody waits for these tasks: one that ended would leave the table without its articles, or untended, unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from parley_proto.rag import Document, IngestReply
from parley_rag import keeping
from parley_rag.keeping import Articles
from parley_rag.upkeep import Upkeep
from parley_rag.writer import Writer


class Store:
    """Fails in a way that nobody foresaw, as often as `failures` says."""

    trouble = ""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.tended = 0
        self.troubled = asyncio.Event()

    async def create(self) -> bool:
        self.fail()
        return True

    async def tend(self) -> None:
        self.fail()
        self.tended += 1

    async def index_vectors(self) -> None:
        return

    def fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ZeroDivisionError


class Knowledge:
    async def adopt(self, _tenant: str, _documents: list[Document], *, complete: bool) -> IngestReply:
        return IngestReply(0, 0, 0)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


async def test_the_articles_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_RETRY_S", 0.05)
    made = asyncio.Event()

    async def told() -> None:
        made.set()

    articles = Articles(cast(Any, Store(2)), cast(Any, Knowledge()), None, "default", told)
    await articles.start()
    await until(lambda: "log of rag says why" in articles.reason())
    await until(lambda: not articles.reason())
    assert made.is_set()
    await articles.stop()


async def test_the_table_is_tended_after_the_next_write(tmp_path: Any) -> None:
    store = Store(1)

    async def snapshot() -> None:
        return

    upkeep = Upkeep(cast(Any, store), Writer(tmp_path), snapshot, quiet_s=0.01)
    await upkeep.start()
    upkeep.written(1)
    await until(lambda: not store.failures)
    upkeep.written(1)
    await until(lambda: store.tended == 1)
    await upkeep.close()
