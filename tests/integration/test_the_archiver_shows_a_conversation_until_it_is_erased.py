from __future__ import annotations

import base64

import pytest
from archiver_log import CANARY, all_settled, conversation, erase, key_id, publish, talk
from archiver_servers import administer, archiving, rows, says, until
from nats.aio.client import Client

from parley_mesh.jetstream import NatsBus
from parley_proto import subjects
from parley_proto.archive import Record, TranscriptReply, TranscriptRequest
from parley_proto.envelope import decode, encode
from parley_proto.errors import PermanentError, TransientError
from parley_testkit.nats_server import NatsServer

pytest_plugins = ("archiver_fixtures",)

NOWHERE = "postgresql://postgres@127.0.0.1:1/nothing"


async def transcript(client: Client, cid: str, tenant: str = "default") -> list[Record]:
    request = encode(TranscriptRequest(cid, tenant))
    reply = await NatsBus(client).request(subjects.ARCHIVE_TRANSCRIPT, request, timeout=10)
    return list(decode(reply, TranscriptReply).records)


async def test_a_transcript_has_every_message_in_the_order_of_the_log(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    entries = talk(1)
    await publish(archive_operator, [entry for pair in zip(entries, talk(2), strict=True) for entry in pair])
    async with archiving(archive_log, archive_database):
        await until(lambda: all_settled(archive_operator))
        records = await transcript(archive_operator, conversation(1))
    assert [record.subject for record in records] == [subject for subject, _ in entries]
    assert [record.seq for record in records] == sorted(record.seq for record in records)
    assert [record.body["type"] for record in records[:-1]] == [record.type for record in records[:-1]]
    assert records[0].body["text"] == f"{CANARY} 1"
    stored = await NatsBus(archive_operator).at(records[3].seq)
    assert stored and records[3].at == stored.at
    assert base64.b64decode(records[-1].body["bytes"]) == entries[-1][1]


async def test_an_unknown_conversation_is_refused_with_its_code(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    await publish(archive_operator, talk(1, "acme"))
    async with archiving(archive_log, archive_database) as service:
        await until(lambda: all_settled(archive_operator))
        assert service.ready() == ""
        assert len(await transcript(archive_operator, conversation(1), "acme")) == 10
        for cid, tenant in ((conversation(2), "acme"), (conversation(1), "default"), ("a.b\x00", "\x00"), ("", "")):
            with pytest.raises(PermanentError) as refused:
                await transcript(archive_operator, cid, tenant)
            assert refused.value.code == "unknown_conversation"


async def test_an_erased_customer_leaves_only_that_something_was_said(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    await publish(archive_operator, [*talk(1), *talk(2)])
    async with archiving(archive_log, archive_database):
        await until(lambda: all_settled(archive_operator))
        before = await transcript(archive_operator, conversation(1))
        await erase(archive_operator, key_id(1))
        after = await transcript(archive_operator, conversation(1))
        untouched = await transcript(archive_operator, conversation(2))
    assert [record.body for record in after] == [{"erased": True}] * 10
    assert [(record.seq, record.type, record.at) for record in after] == [(r.seq, r.type, r.at) for r in before]
    assert untouched[0].body["text"] == f"{CANARY} 2"


async def test_what_was_said_before_an_erasure_stays_erased_and_what_comes_after_is_kept(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    entries = talk(1)
    async with archiving(archive_log, archive_database):
        await publish(archive_operator, entries[:3])
        await until(lambda: all_settled(archive_operator))
    await publish(archive_operator, entries[3:5])
    await erase(archive_operator, key_id(1))
    async with archiving(archive_log, archive_database):
        await publish(archive_operator, entries[5:])
        await until(lambda: all_settled(archive_operator))
        records = await transcript(archive_operator, conversation(1))
    assert [record.body == {"erased": True} for record in records] == [True] * 5 + [False] * 5
    keys = await rows(archive_database, "SELECT DISTINCT key_id FROM archive.messages")
    assert len(keys) == 2


async def test_an_erasure_counts_at_once_also_where_the_key_was_in_use(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    async with archiving(archive_log, archive_database):
        await publish(archive_operator, talk(1))
        await until(lambda: all_settled(archive_operator))
        await erase(archive_operator, key_id(1))
        await publish(archive_operator, talk(1)[:1])
        await until(lambda: all_settled(archive_operator))
        records = await transcript(archive_operator, conversation(1))
    assert records[-1].body["text"] == f"{CANARY} 1"
    assert all(record.body == {"erased": True} for record in records[:-1])


async def test_a_long_conversation_shows_its_newest_part_that_fits_one_message(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    long = [(subjects.out(conversation(1)), b'{"type":"NoticeShown","text":"%s"}' % (b"x" * 60_000))] * 30
    await publish(archive_operator, [*talk(1), *long])
    async with archiving(archive_log, archive_database):
        await until(lambda: all_settled(archive_operator))
        records = await transcript(archive_operator, conversation(1))
    assert 14 <= len(records) <= archive_operator.max_payload // 60_000
    assert records[-1].seq == 40


async def test_a_changed_row_is_called_damaged(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    await publish(archive_operator, talk(1))
    async with archiving(archive_log, archive_database):
        await until(lambda: all_settled(archive_operator))
        # A superuser can disable any guard; the digest and the cipher still tell.
        await administer(
            archive_database,
            "SET session_replication_role = replica",
            "UPDATE archive.messages SET role = 'assistant' WHERE seq = 1",
            "UPDATE archive.messages SET ciphertext = ciphertext || '\\x00' WHERE seq = 2",
        )
        records = await transcript(archive_operator, conversation(1))
    assert [record.body == {"damaged": True} for record in records] == [True, True] + [False] * 8


async def test_without_postgres_the_service_says_why_and_can_be_asked_again(
    archive_log: NatsServer, archive_operator: Client
) -> None:
    async with archiving(archive_log, NOWHERE) as service:
        with pytest.raises(TransientError) as refused:
            await transcript(archive_operator, conversation(1))
        await says(service, "PostgreSQL can't be reached")
    assert refused.value.code == "archive_away"
