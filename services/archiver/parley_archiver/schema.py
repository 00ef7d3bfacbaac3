"""The tables of the archive: numbered SQL files, each applied once by whichever instance comes first."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from parley_proto.errors import PermanentError

if TYPE_CHECKING:
    import asyncpg

# The one that archive.ensure_months takes: a grant and a new partition change the same row of pg_class,
# and PostgreSQL refuses whichever comes second.
_LOCK = 7_243_110_002
_BOOKKEEPING = """
DO $$ BEGIN
    -- Not IF NOT EXISTS: that asks for the right to create schemas even where this one is there.
    IF to_regnamespace('archive') IS NULL THEN
        CREATE SCHEMA archive;
    END IF;
END $$;
CREATE TABLE IF NOT EXISTS archive.migrations (
    number integer PRIMARY KEY, name text NOT NULL, digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
);
"""


class Migration(msgspec.Struct, frozen=True):
    """One numbered SQL file; the digest tells whether it was edited after it was applied."""

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """The numbered SQL files of the package, in order. PermanentError where numbers are missing or doubled."""
    folder = files("parley_archiver.migrations")
    names = sorted(entry.name for entry in folder.iterdir() if re.fullmatch(r"\d{4}_\w+\.sql", entry.name))
    found = [Migration(int(name[:4]), name, (folder / name).read_text("utf-8")) for name in names]
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise PermanentError(f"The migrations must be numbered 0001, 0002, … without gaps, but are {names}.")
    return found


async def apply(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Bring schema `archive` up to date, in one transaction; a second instance waits and finds it done.

    PermanentError where an applied migration was edited.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(_BOOKKEEPING)
        rows = await connection.fetch("SELECT number, digest FROM archive.migrations")
        applied = {row["number"]: row["digest"] for row in rows}
        for migration in migrations():
            await _step(connection, migration, applied.get(migration.number))
        await connection.execute((files("parley_archiver.migrations") / "roles.sql").read_text("utf-8"))


async def _step(connection: asyncpg.Connection[asyncpg.Record], migration: Migration, digest: str | None) -> None:
    if digest is None:
        await connection.execute(migration.sql)
        insert = "INSERT INTO archive.migrations (number, name, digest) VALUES ($1, $2, $3)"
        await connection.execute(insert, migration.number, migration.name, migration.digest)
    elif digest != migration.digest:
        raise PermanentError(f"Migration {migration.name} was edited after it was applied; add a new one instead.")
