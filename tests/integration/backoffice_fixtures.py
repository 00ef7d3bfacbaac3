"""The fixtures of the back office's tests: a database of its own for each."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest
from backoffice_company import Company, Postgres, administer, apart, database, serving, settings_for

from parley_backoffice import schema
from parley_backoffice.adapters import pool_of

# Twenty calls for one row wait for each other, and each syncs the disk.
UNHURRIED = {"lock_wait": 30.0, "acquire_timeout": 30.0, "statement_timeout": 30.0, "request_timeout": 60.0}


@pytest.fixture(scope="session")
def backoffice_server() -> Iterator[str]:
    """The address of a PostgreSQL server where databases can be made."""
    given = os.environ.get("PARLEY_TEST_DATABASE_URL")
    if given:
        yield given
        return
    postgres = Postgres()
    yield postgres.url
    postgres.end()


@pytest.fixture(scope="session")
def backoffice_template(backoffice_server: str) -> Iterator[str]:
    """The name of a database with tables and made-up data, to be copied."""
    name = f"backoffice_template_{uuid.uuid4().hex}"

    async def prepare() -> None:
        await administer(backoffice_server, f"CREATE DATABASE {name}")
        async with pool_of(settings_for(database(backoffice_server, name))) as pool, pool.acquire() as connection:
            await schema.apply(connection, datetime.now(UTC))

    apart(prepare())
    yield name
    apart(administer(backoffice_server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def backoffice_database(backoffice_server: str, backoffice_template: str) -> AsyncIterator[str]:
    """The address of a database of this test's own, with the made-up data."""
    name = f"backoffice_{uuid.uuid4().hex}"
    await administer(backoffice_server, f"CREATE DATABASE {name} TEMPLATE {backoffice_template}")
    yield database(backoffice_server, name)
    await administer(backoffice_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def company(backoffice_database: str) -> AsyncIterator[Company]:
    """A back office that is ready, with a database of its own."""
    async with serving(settings_for(backoffice_database, **UNHURRIED)) as running:
        await running.ready()
        yield running


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL server that this test alone may kill."""
    postgres = Postgres()
    yield postgres
    postgres.end()
