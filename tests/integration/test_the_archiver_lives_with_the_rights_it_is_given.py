from __future__ import annotations

import asyncio
from datetime import date

import asyncpg
import pytest
from archiver_log import AT, all_settled, conversation, customer, key_id, publish, talk
from archiver_servers import MASTER, administer, archived, archiving, rows, says, until
from nats.aio.client import Client

from parley_archiver.adapters import PostgresStore
from parley_archiver.settings import Settings
from parley_cli.supervise.postgres import Role, provide
from parley_proto import subjects
from parley_proto.conversation import Checkpoint
from parley_proto.envelope import encode
from parley_proto.errors import TransientError
from parley_testkit.nats_server import NatsServer
from parley_testkit.postgres import PASSWORD, Postgres

pytest_plugins = ("archiver_fixtures",)


async def test_an_ordinary_role_is_enough(
    archive_log: NatsServer, archive_operator: Client, archive_own_cluster: Postgres
) -> None:
    url = archive_own_cluster.url("archiver")
    await publish(archive_operator, talk(1))
    async with archiving(archive_log, url):
        await until(lambda: all_settled(archive_operator))
    assert await archived(url) == 10
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
        await rows(url, "UPDATE archive.messages SET type = 'x'")


async def test_the_roles_that_the_supervisor_gives_are_enough_and_the_writer_owns_nothing(
    archive_log: NatsServer, archive_operator: Client, archive_own_cluster: Postgres
) -> None:
    writer = Role("archiver", PASSWORD, makes_schemas=False, member_of="parley_archiver_writer")
    await administer(archive_own_cluster.url(), "REVOKE ALL ON DATABASE parley FROM archiver")
    await provide(archive_own_cluster.cluster, [Role("archiver_owner", PASSWORD), writer])
    url, owner = archive_own_cluster.url("archiver"), archive_own_cluster.url("archiver_owner")
    await publish(archive_operator, [entry for number in range(3) for entry in talk(number)])
    async with archiving(archive_log, url, migrate_database_url=owner):
        for turns in (1, 2):
            state = Checkpoint(conversation(1), customer(1), AT, turns=turns)
            await publish(archive_operator, [(subjects.checkpoint(conversation(1)), encode(state))])
            await until(lambda: all_settled(archive_operator))
    assert await archived(archive_own_cluster.url()) == 30
    [kept] = await rows(archive_own_cluster.url(), "SELECT key_id, seq FROM archive.checkpoints")
    assert tuple(kept) == (key_id(1), 32)
    for statement in (
        "DELETE FROM archive.conversations",
        "DELETE FROM archive.checkpoints",
        "UPDATE archive.messages SET type = 'x'",
        "ALTER TABLE archive.messages DISABLE TRIGGER unchanged",
        "CREATE SCHEMA mine",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await rows(url, statement)


async def test_another_role_sees_only_the_tenant_that_it_names(
    archive_log: NatsServer, archive_operator: Client, archive_own_cluster: Postgres
) -> None:
    await publish(archive_operator, [*talk(1, "acme"), *talk(2, "other")])
    async with archiving(archive_log, archive_own_cluster.url("archiver")):
        await until(lambda: all_settled(archive_operator))
    await provide(archive_own_cluster.cluster, [Role("reader", PASSWORD, makes_schemas=False)])
    await administer(
        archive_own_cluster.url(),
        "GRANT USAGE ON SCHEMA archive TO reader",
        "GRANT SELECT ON archive.messages, archive.conversations TO reader",
    )
    url = archive_own_cluster.url("reader")
    assert await archived(url) == 0
    connection = await asyncpg.connect(url, server_settings={"parley.tenant": "acme"})
    try:
        assert await connection.fetchval("SELECT count(*) FROM archive.messages") == 10
        assert await connection.fetchval("SELECT conversation FROM archive.conversations") == conversation(1)
    finally:
        await connection.close()


async def test_a_migration_that_was_edited_stops_the_archive_and_says_so(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    await publish(archive_operator, talk(1))
    async with archiving(archive_log, archive_database):
        await until(lambda: all_settled(archive_operator))
    await administer(archive_database, "UPDATE archive.migrations SET digest = 'x' WHERE number = 1")
    async with archiving(archive_log, archive_database) as service:
        await says(service, "0001_messages.sql was edited")


async def test_another_master_key_stops_the_archive_and_is_not_papered_over(
    archive_log: NatsServer, archive_operator: Client, archive_database: str
) -> None:
    await _give_back_after(archive_operator, 3.0)
    await publish(archive_operator, talk(1))
    async with archiving(archive_log, archive_database):
        await until(lambda: all_settled(archive_operator))
    await publish(archive_operator, talk(1))
    async with archiving(archive_log, archive_database, master_key="A" * 43 + "=") as service:
        await says(service, "another master key")
    assert await archived(archive_database) == 10
    async with archiving(archive_log, archive_database):
        await until(lambda: all_settled(archive_operator))
    assert await archived(archive_database) == 20


async def _give_back_after(operator: Client, seconds: float) -> None:
    """What one archiver has fetched and never settled comes to the next sooner than the mesh's own minute."""
    context = operator.jetstream()
    config = (await context.consumer_info(subjects.STREAM, "archiver")).config
    config.ack_wait = seconds
    await context.add_consumer(subjects.STREAM, config)


async def test_an_instance_that_starts_while_another_makes_partitions_disturbs_neither(archive_database: str) -> None:
    async def start(_: int) -> None:
        store = PostgresStore(Settings(database_url=archive_database, master_key=MASTER))
        await store.prepare()

    async def make(month: int) -> None:
        day = date(2030 + month // 12, month % 12 + 1, 1)
        await rows(archive_database, f"SELECT archive.ensure_months('{day}')")

    await start(0)
    for number in range(30):
        await asyncio.gather(start(number), start(number), make(2 * number))


async def test_what_postgres_refused_for_somebody_elses_grant_is_tried_again(archive_database: str) -> None:
    store = PostgresStore(Settings(database_url=archive_database, master_key=MASTER))
    await store.prepare()
    await administer(
        archive_database,
        "CREATE FUNCTION archive.lost() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'tuple concurrently updated' USING ERRCODE = 'XX000'; END $$",
    )
    await administer(
        archive_database,
        "CREATE TRIGGER lost BEFORE UPDATE ON archive.checkpoints FOR EACH STATEMENT EXECUTE FUNCTION archive.lost()",
    )
    with pytest.raises(TransientError, match=r"concurrently updated.*tries again"):
        await store.retired(conversation(1), 1)
    await store.close()
