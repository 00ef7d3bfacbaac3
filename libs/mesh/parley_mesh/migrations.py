"""The tables of a service: numbered SQL files of its package, each applied once by whichever instance comes first."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from typing import TYPE_CHECKING

from msgspec import Struct

from parley_proto.errors import PermanentError

if TYPE_CHECKING:
    from typing import TypeAlias

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]


class Migration(Struct, frozen=True):
    """One numbered SQL file; the digest tells whether it was edited after it was applied."""

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def numbered(package: str) -> list[Migration]:
    """The numbered SQL files of a package, in order. Raises PermanentError where numbers are missing or doubled."""
    folder = files(package)
    names = sorted(entry.name for entry in folder.iterdir() if re.fullmatch(r"\d{4}_\w+\.sql", entry.name))
    found = [Migration(int(name[:4]), name, (folder / name).read_text("utf-8")) for name in names]
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise PermanentError(f"The migrations must be numbered 0001, 0002, … without gaps, but are {names}.")
    return found


async def migrate(connection: Connection, schema: str, package: str, lock: int) -> None:
    """Bring `schema` up to date with the package's files, inside the transaction that the caller has begun.

    `lock` is the number of PostgreSQL's advisory lock: a second instance waits for the first and finds it done.
    Raises PermanentError where an applied migration was edited.
    """
    await connection.execute("SELECT pg_advisory_xact_lock($1)", lock)
    await connection.execute(_bookkeeping(schema))
    rows = await connection.fetch(f"SELECT number, digest FROM {schema}.migrations")
    applied = {row["number"]: row["digest"] for row in rows}
    for migration in numbered(package):
        digest = applied.get(migration.number)
        if digest is None:
            await connection.execute(migration.sql)
            insert = f"INSERT INTO {schema}.migrations (number, name, digest, applied_at) VALUES ($1, $2, $3, now())"
            await connection.execute(insert, migration.number, migration.name, migration.digest)
        elif digest != migration.digest:
            raise PermanentError(f"Migration {migration.name} was edited after it was applied; add a new one instead.")


def _bookkeeping(schema: str) -> str:
    return f"""
        DO $$ BEGIN
            -- Not IF NOT EXISTS: that asks for the right to create schemas even where this one is there.
            IF to_regnamespace('{schema}') IS NULL THEN
                CREATE SCHEMA {schema};
            END IF;
        END $$;
        CREATE TABLE IF NOT EXISTS {schema}.migrations (
            number integer PRIMARY KEY, name text NOT NULL, digest text NOT NULL, applied_at timestamptz NOT NULL
        );
    """
