"""A table in memory finds what the table itself finds, shows nobody more, and is never older than it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import product
from pathlib import Path

import msgspec
import pytest
from lancedb.table import AsyncTable
from table_windows import DIMENSIONS, RANDOM, WORDS, row, unit, written

from parley_proto.errors import TransientError
from parley_rag.adapters import Row
from parley_rag.domain import Hit
from parley_rag.lance import LanceStore
from parley_rag.requests import Scope
from parley_rag.resident import Resident, Windows

SCOPES = [
    Scope(tenant, groups, 20_000, specialties, equal)
    for tenant, groups, specialties, equal in product(
        ("default", "other", "nobody"),
        (("public",), ("public", "staff"), ()),
        ((), ("billing",)),
        ((), (("language", "en"),)),
    )
]


ROWS = [row(n, ("default", "other")[n % 7 == 0]) for n in range(200)]


async def looked_up(store: LanceStore, scope: Scope, vector: bytes, words: str, limit: int = 20) -> list[Hit]:
    return [*await store.by_vector(vector, scope, limit), *await store.by_text(words, vector, scope, limit)]


def comparable(hits: Sequence[Hit], limit: int = 20) -> list[tuple[str, float, float, float]]:
    """Of more than there is room for, those that share the last place are nameless: which of them get it is chance."""
    scores = [hit.bm25 for hit in hits if hit.bm25]
    last = min(scores) * 1.0001 if len(scores) == limit else 0.0
    found = [
        ("equal", 0.0, 0.0, round(hit.bm25, 4))
        if 0.0 < hit.bm25 <= last
        else (hit.document, round(hit.cosine, 4), round(hit.heading, 3), round(hit.bm25, 4))
        for hit in hits
    ]
    return sorted(found)


def may_see(scope: Scope, one: Row) -> bool:
    language = dict(scope.equal).get("language", "")
    return (
        one.tenant == scope.tenant
        and one.document.access in scope.groups
        and (not scope.specialties or one.document.specialty in scope.specialties)
        and one.document.language.startswith(language)
    )


async def in_memory(store: LanceStore) -> Windows:
    async with asyncio.timeout(30), store.table() as table:
        while not (windows := await store._resident.windows(table)):
            await asyncio.sleep(0.01)
        return windows


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[tuple[LanceStore, LanceStore]]:
    """Two instances on one table: the first keeps it in memory."""
    first, second = LanceStore(tmp_path, "paper", DIMENSIONS, resident=500), LanceStore(tmp_path, "paper", DIMENSIONS)
    await first.create()
    await written(first, ROWS)
    yield first, second
    await first.close()
    await second.close()


async def test_it_finds_what_the_table_finds_for_everyone(stores: tuple[LanceStore, LanceStore]) -> None:
    first, second = stores
    # Before it is indexed, a word weighs what it weighs among the windows that may be seen.
    await first.tend()
    await in_memory(first)
    assert (first.in_memory, second.in_memory) == (200, 0)
    seen = 0
    # With room for two only forty are looked through: not all of those that few may see are among them.
    for scope, limit in product([*SCOPES, *SCOPES], (20, 2)):
        vector, words = unit(), str(RANDOM.choice(WORDS))
        hits = await looked_up(first, scope, vector, words, limit)
        assert comparable(hits, limit) == comparable(await looked_up(second, scope, vector, words, limit), limit)
        assert {hit.document for hit in hits} <= {one.document.document_id for one in ROWS if may_see(scope, one)}
        seen += len(hits)
    assert seen > 500


async def test_what_is_written_and_removed_is_seen_at_once(stores: tuple[LanceStore, LanceStore]) -> None:
    first, _second = stores
    scope = SCOPES[0]
    before = await in_memory(first)
    new = msgspec.structs.replace(row(6, text="umbrella"), vector=unit())
    await written(first, [new])
    hits = await looked_up(first, scope, new.vector, "umbrella")
    assert [hit.passage for hit in hits if hit.cosine > 0.99] == ["umbrella"] * 2
    assert (await in_memory(first)).version > before.version
    again = await looked_up(first, scope, new.vector, "umbrella")
    assert [hit.document for hit in again] == [hit.document for hit in hits]
    await first.replace("default", {"d6": 0}, [])
    assert not [hit for hit in await looked_up(first, scope, new.vector, "umbrella") if hit.passage == "umbrella"]


async def test_what_another_instance_writes_is_seen_as_soon_as_the_table_is_checked(
    stores: tuple[LanceStore, LanceStore],
) -> None:
    first, second = stores
    await in_memory(first)
    new = row(9, text="lantern")
    await written(second, [new])
    async with asyncio.timeout(30):
        while not (await first.by_text("lantern", new.vector, SCOPES[0], 5)):
            await asyncio.sleep(0.05)
    found = await first.by_vector(new.vector, SCOPES[0], 1)
    assert [hit.passage for hit in found] == ["lantern"]


async def test_a_table_that_has_outgrown_it_is_asked_itself(stores: tuple[LanceStore, LanceStore]) -> None:
    first, second = stores
    await in_memory(first)
    await written(first, [row(n) for n in range(1000, 1400)])
    vector = unit()
    for _ in range(3):
        hits = await looked_up(first, SCOPES[1], vector, "refund")
        assert comparable(hits) == comparable(await looked_up(second, SCOPES[1], vector, "refund"))
    async with first.table() as table:
        assert await first._resident.windows(table) is None


async def test_one_that_was_put_in_its_place_is_read_anew(
    stores: tuple[LanceStore, LanceStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _second = stores
    await in_memory(first)

    async def away(_table: AsyncTable) -> int:
        raise RuntimeError("not found: manifest")

    monkeypatch.setattr(AsyncTable, "version", away)
    with pytest.raises(TransientError, match="can't be used"):
        await first.by_vector(unit(), SCOPES[0], 1)
    monkeypatch.undo()
    assert first._resident._windows is None
    assert await first.by_vector(unit(), SCOPES[0], 1)


async def test_what_became_public_is_not_shown_as_it_was_before(
    stores: tuple[LanceStore, LanceStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _second = stores
    await written(first, [row(5, text="secret lantern", access="staff")])
    before = await in_memory(first)
    public = Scope("default", ("public",), 20_000)
    assert not await first.by_text("lantern", unit(), public, 5), "and what may be seen is known from now on"

    async def and_then_written(_resident: Resident, _table: AsyncTable) -> Windows:
        monkeypatch.undo()
        await written(first, [row(5, text="public lantern", access="public")])
        return before

    monkeypatch.setattr(Resident, "windows", and_then_written)
    assert [hit.passage for hit in await first.by_text("lantern", unit(), public, 5)] == ["public lantern"]


async def test_an_answer_of_a_table_that_was_replaced_is_not_given_again(stores: tuple[LanceStore, LanceStore]) -> None:
    first, _second = stores
    before = await first.version()
    first.reopen()
    assert await first.version() != before
    assert (await first.version())[1] == before[1]


async def test_very_many_documents_are_withdrawn_at_once(tmp_path: Path) -> None:
    store = LanceStore(tmp_path, "paper", DIMENSIONS)
    assert await store.create() and not await store.create()
    await written(store, [row(n) for n in range(1_500)])
    await store.replace("default", {f"d{n}": 0 for n in range(1, 1_500)}, [])
    assert await store.rows() == 1
    await store.close()
