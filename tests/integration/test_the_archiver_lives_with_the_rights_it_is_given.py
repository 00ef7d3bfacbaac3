from __future__ import annotations

import uuid

import asyncpg
import pytest
from archiver_log import all_settled, conversation, publish, talk
from archiver_servers import Postgres, administer, archived, archiving, rows, says, until
from nats.aio.client import Client

from parley_testkit.nats_server import NatsServer

pytest_plugins = ("archiver_fixtures",)


@pytest.fixture
async def own_role(own_postgres: Postgres) -> tuple[Postgres, str]:
    """A server where the archiver has an ordinary role that may make schemas, and no other right."""
    name = f"archiver_{uuid.uuid4().hex[:8]}"
    await administer(own_postgres.url(), f"CREATE ROLE {name} LOGIN", f"GRANT CREATE ON DATABASE postgres TO {name}")
    return own_postgres, name


async def test_an_ordinary_role_is_enough(
    nats_server: NatsServer, operator: Client, own_role: tuple[Postgres, str]
) -> None:
    server, name = own_role
    await publish(operator, talk(1))
    async with archiving(nats_server, server.url(user=name)):
        await until(lambda: all_settled(operator))
    assert await archived(server.url()) == 10
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
        await rows(server.url(user=name), "UPDATE archive.messages SET type = 'x'")


async def test_the_writer_needs_no_right_to_the_schema_of_its_own(
    nats_server: NatsServer, operator: Client, own_role: tuple[Postgres, str]
) -> None:
    server, owner = own_role
    writer = f"{owner}_writer"
    await administer(
        server.url(),
        "CREATE ROLE parley_archiver_writer NOLOGIN",
        f"CREATE ROLE {writer} LOGIN",
        f"GRANT parley_archiver_writer TO {writer}",
    )
    await publish(operator, [entry for number in range(3) for entry in talk(number)])
    urls = {"database_url": server.url(user=writer), "migrate_database_url": server.url(user=owner)}
    async with archiving(nats_server, **urls):
        await until(lambda: all_settled(operator))
    assert await archived(server.url()) == 30
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await rows(server.url(user=writer), "DELETE FROM archive.conversations")


async def test_another_role_sees_only_the_tenant_that_it_names(
    nats_server: NatsServer, operator: Client, own_role: tuple[Postgres, str]
) -> None:
    server, name = own_role
    await publish(operator, [*talk(1, "acme"), *talk(2, "other")])
    async with archiving(nats_server, server.url(user=name)):
        await until(lambda: all_settled(operator))
    reader = f"{name}_reader"
    await administer(
        server.url(),
        f"CREATE ROLE {reader} LOGIN",
        f"GRANT USAGE ON SCHEMA archive TO {reader}",
        f"GRANT SELECT ON archive.messages, archive.conversations TO {reader}",
    )
    assert await archived(server.url(user=reader)) == 0
    connection = await asyncpg.connect(server.url(user=reader), server_settings={"parley.tenant": "acme"})
    try:
        assert await connection.fetchval("SELECT count(*) FROM archive.messages") == 10
        assert await connection.fetchval("SELECT conversation FROM archive.conversations") == conversation(1)
    finally:
        await connection.close()


async def test_a_migration_that_was_edited_stops_the_archive_and_says_so(
    nats_server: NatsServer, operator: Client, database: str
) -> None:
    await publish(operator, talk(1))
    async with archiving(nats_server, database):
        await until(lambda: all_settled(operator))
    await administer(database, "UPDATE archive.migrations SET digest = 'x' WHERE number = 1")
    async with archiving(nats_server, database) as service:
        await says(service, "0001_messages.sql was edited")


async def test_another_master_key_stops_the_archive_and_is_not_papered_over(
    nats_server: NatsServer, operator: Client, database: str
) -> None:
    await publish(operator, talk(1))
    async with archiving(nats_server, database):
        await until(lambda: all_settled(operator))
    await publish(operator, talk(1))
    async with archiving(nats_server, database, master_key="A" * 43 + "=") as service:
        await says(service, "another master key")
    assert await archived(database) == 10
    async with archiving(nats_server, database):
        await until(lambda: all_settled(operator))
    assert await archived(database) == 20
