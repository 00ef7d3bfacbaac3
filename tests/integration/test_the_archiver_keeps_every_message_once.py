from __future__ import annotations

import asyncio

import asyncpg
import pytest
from archiver_log import CANARY, HEADERS, TRACE, all_settled, conversation, deliver_again, key_id, publish, talk
from archiver_servers import administer, archived, archiving, crash, rows, says, until
from nats.aio.client import Client

from parley_cli.supervise.postgres import binaries
from parley_mesh import topology
from parley_mesh.jetstream import NatsBus
from parley_proto import subjects
from parley_testkit.nats_server import NatsServer
from parley_testkit.postgres import Postgres

pytest_plugins = ("archiver_fixtures",)

DISTINCT = "SELECT count(*) AS rows, count(DISTINCT seq) AS seqs, max(seq) AS last FROM archive.messages"


async def test_two_thousand_messages_are_archived_once_though_delivered_three_times(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    await publish(archive_operator, [entry for number in range(200) for entry in talk(number)])
    for _ in range(3):
        async with archiving(archive_log, archive_database):
            await until(lambda: all_settled(archive_operator))
        assert tuple((await rows(archive_database, DISTINCT))[0]) == (2000, 2000, 2000)
        await deliver_again(archive_operator)
        await topology.apply(archive_operator, ["billing"], shards=4)
    known = await rows(
        archive_database, "SELECT sum(messages) AS messages, count(*) AS rows FROM archive.conversations"
    )
    assert tuple(known[0]) == (2000, 200)


async def test_a_postgres_that_dies_in_between_costs_time_and_nothing_else(
    archive_log: NatsServer, archive_operator: Client, archive_own_cluster: Postgres
) -> None:
    url = archive_own_cluster.url()
    await publish(archive_operator, talk(0))
    async with archiving(archive_log, url, batch=100) as service:
        await until(lambda: all_settled(archive_operator))
        publishing = asyncio.create_task(publish(archive_operator, [e for n in range(1, 120) for e in talk(n)]))
        await asyncio.to_thread(crash, archive_own_cluster)
        await publishing
        await says(service, "PostgreSQL")
        await publish(archive_operator, [entry for number in range(120, 200) for entry in talk(number)])
        assert service.stats()["in_flight"] <= 400
        await archive_own_cluster.start()
        await until(lambda: all_settled(archive_operator))
        await says(service, "")
    assert tuple((await rows(url, DISTINCT))[0]) == (2000, 2000, 2000)


async def test_two_archivers_share_the_work(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    async with archiving(archive_log, archive_database, batch=50), archiving(archive_log, archive_database, batch=50):
        await publish(archive_operator, [entry for number in range(60) for entry in talk(number)])
        await until(lambda: all_settled(archive_operator))
    assert tuple((await rows(archive_database, DISTINCT))[0]) == (600, 600, 600)


async def test_a_row_says_what_it_is_without_a_word_of_it(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    await publish(archive_operator, talk(7))
    async with archiving(archive_log, archive_database):
        await until(lambda: all_settled(archive_operator))
    found = await rows(archive_database, "SELECT * FROM archive.messages ORDER BY seq")
    types = ["CustomerMessage", "MessageShown", "OwnerChanged", "AssignTurn", "TurnOpened", "EffectIntended"]
    assert [row["type"] for row in found] == [*types, "TurnAnswered", "MessageShown", "TurnDue", "unknown"]
    roles = ["customer", "customer", "system", "mesh", "mesh", "mesh", "mesh", "assistant", "mesh", "mesh"]
    assert [row["role"] for row in found] == roles
    assert {row["conversation"] for row in found} == {conversation(7)}
    assert {(row["trace"], row["key_id"], row["tenant"]) for row in found} == {(TRACE, key_id(7), "default")}
    [kept] = await rows(archive_database, "SELECT * FROM archive.conversations")
    assert (kept["owner"], kept["messages"], kept["customer_key_id"]) == ("billing", 10, key_id(7))


async def test_nothing_that_was_said_can_be_read_in_a_dump(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    await publish(archive_operator, [entry for number in range(5) for entry in talk(number)])
    async with archiving(archive_log, archive_database):
        await until(lambda: all_settled(archive_operator))
    dumping = await asyncio.create_subprocess_exec(
        binaries() / "pg_dump", archive_database, stdout=asyncio.subprocess.PIPE
    )
    dump, _ = await dumping.communicate()
    assert dump.count(b"CustomerMessage") == 5
    for word in (CANARY, "Canary Jones", "cus_00000", "principal-"):
        assert word.encode() not in dump
        assert word.encode().hex().encode() not in dump


async def test_messages_that_name_nobody_follow_the_first_entry_of_their_conversation(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    entries = talk(3)
    await publish(archive_operator, entries[:1])
    async with archiving(archive_log, archive_database):
        await until(lambda: all_settled(archive_operator))
    # Neither memory nor archive knows the customer any more: only the log still does.
    await administer(archive_database, "DELETE FROM archive.conversations")
    await publish(
        archive_operator, [*entries[1:3], (f"step.{conversation(9)}.turn-000000000009", b"{}"), ("effect.x", b"[]")]
    )
    async with archiving(archive_log, archive_database):
        await until(lambda: all_settled(archive_operator))
    found = await rows(archive_database, "SELECT key_id, conversation FROM archive.messages ORDER BY seq")
    assert [row["key_id"] == key_id(3) for row in found] == [True, True, True, False, False]
    assert [row["conversation"] for row in found] == [conversation(3)] * 3 + [conversation(9), ""]
    assert found[3]["key_id"] == found[4]["key_id"]


async def test_what_postgres_could_not_hold_as_text_is_archived_all_the_same(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    hostile = [
        ("turn.billing.blue.normal", b'{"type":"AssignTurn","conversation":"nul\\u0000nul-nul-nul-nul"}'),
        ("conv.0.nul\x00nul-nul-nul-nul", b'{"type":"CustomerMessage"}'),
        ("conv.0.short", b"\xff\xfe\x00"),
        ("out.empty-body-empty-body", b""),
        (subjects.conv(conversation(1)), b'{"type":"TurnDue","turn_id":"\\ud800"}'),
        (subjects.conv(conversation(1)), b"[" * 100_000),
    ]
    for subject, body in hostile:
        await NatsBus(archive_operator).append(subject, body, headers=HEADERS)
    async with archiving(archive_log, archive_database):
        await until(lambda: all_settled(archive_operator))
    assert await archived(archive_database) == len(hostile)


async def test_a_message_of_another_month_finds_its_partition(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    await publish(archive_operator, talk(1))
    async with archiving(archive_log, archive_database):
        await until(lambda: all_settled(archive_operator))
        await administer(archive_database, "SELECT archive.ensure_months('1999-12-31')")
    found = await rows(
        archive_database,
        "SELECT c.relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
        "WHERE inhparent = 'archive.messages'::regclass ORDER BY 1",
    )
    names = [row["relname"] for row in found]
    assert names[:2] == ["messages_1999_12", "messages_2000_01"] and len(names) == 4
    [moment] = await rows(
        archive_database, "SELECT to_char(min(at) AT TIME ZONE 'UTC', 'YYYY_MM') FROM archive.messages"
    )
    assert names[2] == f"messages_{moment[0]}"


async def test_the_service_may_add_to_the_record_and_not_change_it(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    await publish(archive_operator, talk(1))
    async with archiving(archive_log, archive_database):
        await until(lambda: all_settled(archive_operator))
        [role] = await rows(archive_database, "SELECT rolname FROM pg_roles WHERE rolname = 'parley_archiver_writer'")
    connection = await asyncpg.connect(archive_database)
    try:
        await connection.execute(f"SET ROLE {role[0]}")
        assert await connection.fetchval("SELECT count(*) FROM archive.messages") == 10
        for statement in (
            "UPDATE archive.messages SET type = 'x'",
            "DELETE FROM archive.messages",
            "TRUNCATE archive.messages",
            "DELETE FROM archive.conversations",
            "DROP TABLE archive.messages",
            "UPDATE archive.migrations SET digest = 'x'",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.execute("RESET ROLE")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
            await connection.execute("DELETE FROM archive.messages")
    finally:
        await connection.close()


async def test_the_service_writes_as_the_insert_only_role(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    trap = """
        CREATE TABLE IF NOT EXISTS public.seen (who text);
        GRANT INSERT ON public.seen TO PUBLIC;
        CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO public.seen VALUES (current_user); RETURN NEW; END $$;
        CREATE TRIGGER note BEFORE INSERT ON archive.messages FOR EACH ROW EXECUTE FUNCTION public.note();
    """
    async with archiving(archive_log, archive_database) as service:
        await says(service, "")
        await administer(archive_database, trap)
        await publish(archive_operator, talk(1))
        await until(lambda: all_settled(archive_operator))
    assert {row["who"] for row in await rows(archive_database, "SELECT who FROM public.seen")} == {
        "parley_archiver_writer"
    }
