from __future__ import annotations

import asyncpg
import msgspec
import pytest

from parley_cli.errors import CommandError
from parley_cli.supervise import postgres as cluster_of
from parley_testkit.postgres import PASSWORD, Postgres

WRITER = cluster_of.Role("clerk", 'it\'s "quoted"; --', makes_schemas=False, member_of="parley_clerk_writer")


async def test_a_wrong_password_opens_nothing(postgres: Postgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.cluster.url("backoffice", "wrong"))
    with pytest.raises(CommandError, match="was made with another password"):
        await cluster_of.answers(msgspec.structs.replace(postgres.cluster, password="wrong"))


async def test_a_service_makes_its_own_schema_and_sees_no_other(postgres: Postgres) -> None:
    own, other = await asyncpg.connect(postgres.url("backoffice")), await asyncpg.connect(postgres.url("archiver"))
    try:
        await own.execute("CREATE SCHEMA backoffice; CREATE TABLE backoffice.things (name text)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await other.execute("SELECT * FROM backoffice.things")
    finally:
        await own.close()
        await other.close()


async def test_a_writer_may_make_no_schema_and_any_password_is_kept_as_it_is(postgres: Postgres) -> None:
    for _ in range(2):
        await cluster_of.provide(postgres.cluster, [WRITER])
    connection = await asyncpg.connect(
        host="127.0.0.1", port=postgres.cluster.port, user="clerk", password=WRITER.password, database="parley"
    )
    try:
        assert await connection.fetchval("SELECT pg_has_role('clerk', 'parley_clerk_writer', 'USAGE')")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE SCHEMA mine")
    finally:
        await connection.close()


async def test_what_was_committed_survives_a_kill_of_all_its_processes(postgres: Postgres) -> None:
    connection = await asyncpg.connect(postgres.url("backoffice"))
    await connection.execute("CREATE SCHEMA kept; CREATE TABLE kept.things AS SELECT 7 AS number")
    postgres.kill()
    connection.terminate()
    await postgres.start()
    again = await asyncpg.connect(postgres.cluster.url("backoffice", PASSWORD))
    try:
        assert await again.fetchval("SELECT number FROM kept.things") == 7
    finally:
        await again.close()


async def test_it_listens_on_this_machine_only(postgres: Postgres) -> None:
    connection = await cluster_of.connect(postgres.cluster)
    try:
        assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
        assert await connection.fetchval("SHOW unix_socket_directories") == ""
    finally:
        await connection.close()
