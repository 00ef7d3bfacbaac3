"""One suite for the archive in memory and the one in PostgreSQL: what the rest of the archiver may rely on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from archiver_servers import rows
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from parley_archiver.adapters import MemoryStore, PostgresStore, Store
from parley_archiver.checkpoints import START, Kept
from parley_archiver.domain import Columns, Owner, Sealed
from parley_archiver.sealing import seal, unseal
from parley_archiver.settings import Settings

pytest_plugins = ("archiver_fixtures",)

CIPHER = AESGCM(bytes(32))
AT = 1_780_000_000_123
ALL = 1 << 20
CID = "conversation-000001"


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest, archive_database: str) -> AsyncIterator[Store]:
    settings = Settings(database_url=archive_database)
    kept: Store = MemoryStore() if request.param == "memory" else PostgresStore(settings)
    await kept.prepare()
    yield kept
    await kept.close()


def sealed(seq: int, *, cid: str = CID, root: str | None = "r", tenant: str = "a", body: bytes = b"words") -> Sealed:
    columns = Columns(tenant, "log", seq, AT + seq, cid, f"out.{cid}", "MessageShown", "assistant", "t", "", "k")
    return Sealed(seal(columns, body, CIPHER), root, "billing" if seq == 2 else "")


async def test_what_is_written_is_read_back_to_the_bit_and_in_order(store: Store) -> None:
    batch = [sealed(seq) for seq in (3, 1, 2)]
    assert await store.write(batch) == 3
    found = await store.transcript("a", CID, 10, ALL)
    assert found == sorted((one.row for one in batch), key=lambda row: row.columns.seq)
    assert {unseal(row, CIPHER) for row in found} == {b"words"}


async def test_what_is_there_is_not_written_again(store: Store) -> None:
    assert await store.write([sealed(1), sealed(2)]) == 2
    first = await store.transcript("a", CID, 10, ALL)
    assert await store.write([sealed(2), sealed(3)]) == 1
    assert (await store.transcript("a", CID, 10, ALL))[:2] == first


async def test_once_is_once_also_when_a_second_delivery_is_filed_under_another_tenant(store: Store) -> None:
    assert await store.write([sealed(1, tenant="a")]) == 1
    assert await store.write([sealed(1, tenant="b")]) == 0
    assert await store.transcript("b", CID, 10, ALL) == []


async def test_the_customer_of_a_conversation_is_the_first_that_was_known(store: Store) -> None:
    await store.write([sealed(1, root=None)])
    assert await store.owners([CID]) == {}
    await store.write([sealed(2, root="first")])
    await store.write([sealed(3, root="second"), sealed(4, cid="conversation-000002", root="other")])
    known = await store.owners([CID, "conversation-000002", "conversation-000003"])
    assert known == {CID: Owner("a", "first"), "conversation-000002": Owner("a", "other")}


async def test_a_transcript_is_the_newest_that_fits(store: Store) -> None:
    await store.write([sealed(seq, body=b"x" * 84) for seq in range(1, 11)])
    assert [row.columns.seq for row in await store.transcript("a", CID, 3, ALL)] == [8, 9, 10]
    assert [row.columns.seq for row in await store.transcript("a", CID, 9, 250)] == [9, 10]
    assert await store.transcript("b", CID, 10, ALL) == await store.transcript("a", "unknown", 10, ALL) == []


async def test_rows_without_a_conversation_are_kept_and_open_none(store: Store) -> None:
    assert await store.write([sealed(1, cid="", root=None), sealed(2, cid="", root=None)]) == 2
    assert await store.owners([""]) == {}


def kept(seq: int, cid: str = CID, *, rests_since: int = AT, at: int = 0) -> Kept:
    columns = Columns("a", "log", seq, at or AT + seq, cid, f"$KV.c.{cid}", "Checkpoint", "mesh", "", "", "k")
    return Kept(seal(columns, b"state", CIPHER), f'{{"seq":{seq}}}', rests_since)


async def test_of_a_conversation_the_newest_checkpoint_is_kept_whatever_the_order(store: Store) -> None:
    assert await store.checkpoint(CID) is None
    second = kept(2)
    for batch in ([kept(1)], [second], [kept(1)], [kept(2, at=AT + 1)]):
        assert await store.write([], batch) == 0
    assert await store.checkpoint(CID) == second
    anew = kept(1, at=AT + 9)
    await store.write([], [anew])
    assert await store.checkpoint(CID) == anew


async def test_those_that_rest_are_found_page_by_page_the_longest_first(store: Store) -> None:
    names = [f"conversation-{number:06d}" for number in range(5)]
    rests = [AT + 3, AT + 1, AT + 1, 0, AT + 9]
    resting = [
        kept(seq, name, rests_since=since) for seq, (name, since) in enumerate(zip(names, rests, strict=True), 1)
    ]
    await store.write([], resting)
    first = await store.resting(START, AT + 3, 2)
    assert first == [resting[1], resting[2]]
    assert await store.resting(first[-1].place, AT + 3, 2) == [resting[0]]
    assert await store.resting(resting[0].place, AT + 3, 2) == []


async def test_what_is_retired_rests_no_more_until_it_has_gone_on(store: Store) -> None:
    await store.write([], [kept(1)])
    await store.retired(CID, 7)
    assert len(await store.resting(START, AT, 9)) == 1
    await store.retired(CID, 1)
    assert await store.resting(START, AT, 9) == []
    again = kept(2)
    await store.write([], [again])
    assert await store.resting(START, AT, 9) == [again]


async def test_the_newest_message_of_a_conversation_is_known(store: Store) -> None:
    await store.write([sealed(3), sealed(9), sealed(11, cid="conversation-000002")])
    assert (await store.last_seq(CID), await store.last_seq("conversation-000003")) == (9, 0)


async def test_postgres_counts_what_a_conversation_holds_whatever_the_order(archive_database: str) -> None:
    store = PostgresStore(Settings(database_url=archive_database))
    await store.prepare()
    for batch in ([sealed(5), sealed(2)], [sealed(2), sealed(1)], [sealed(9)]):
        await store.write(batch)
    await store.close()
    [kept] = await rows(archive_database, "SELECT * FROM archive.conversations")
    assert (kept["messages"], kept["last_seq"], kept["owner"], kept["owner_seq"]) == (4, 9, "billing", 2)
    assert round(kept["opened_at"].timestamp() * 1000) == AT + 1
    assert round(kept["last_at"].timestamp() * 1000) == AT + 9
