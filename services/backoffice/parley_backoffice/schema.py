"""The tables and the made-up data: laid down once, by whichever instance comes first."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from importlib.resources import files
from typing import TYPE_CHECKING

from msgspec import Struct

from parley_backoffice import seed
from parley_proto.errors import PermanentError

if TYPE_CHECKING:
    from parley_backoffice.adapters import Connection

# Any number will do, as long as every instance takes the same one.
_LOCK = 7_243_110_001
_SEED = "200-customers"
_BOOKKEEPING = """
CREATE SCHEMA IF NOT EXISTS backoffice;
CREATE TABLE IF NOT EXISTS backoffice.migrations (
    number integer PRIMARY KEY, name text NOT NULL, digest text NOT NULL, applied_at timestamptz NOT NULL
);
"""


class Migration(Struct, frozen=True):
    """One numbered SQL file; the digest tells whether it was edited after it was applied."""

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """The SQL files of the package, in order. Raises PermanentError where numbers are missing or doubled."""
    folder = files("parley_backoffice.migrations")
    names = sorted(entry.name for entry in folder.iterdir() if re.fullmatch(r"\d{4}_\w+\.sql", entry.name))
    found = [Migration(int(name[:4]), name, (folder / name).read_text("utf-8")) for name in names]
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise PermanentError(f"The migrations must be numbered 0001, 0002, … without gaps, but are {names}.")
    return found


async def apply(connection: Connection, now: datetime) -> None:
    """Bring the schema up to date and lay down the made-up data, all in one transaction.

    A second instance waits for the first and then finds everything done.
    Raises PermanentError where an applied migration was edited.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(_BOOKKEEPING)
        rows = await connection.fetch("SELECT number, digest FROM backoffice.migrations")
        applied = {row["number"]: row["digest"] for row in rows}
        for migration in migrations():
            await _step(connection, migration, applied.get(migration.number), now)
        await _seed(connection, now)


async def _step(connection: Connection, migration: Migration, digest: str | None, now: datetime) -> None:
    if digest is None:
        await connection.execute(migration.sql)
        insert = "INSERT INTO backoffice.migrations VALUES ($1, $2, $3, $4)"
        await connection.execute(insert, migration.number, migration.name, migration.digest, now)
    elif digest != migration.digest:
        raise PermanentError(f"Migration {migration.name} was edited after it was applied; add a new one instead.")


async def _seed(connection: Connection, now: datetime) -> None:
    mark = "INSERT INTO backoffice.seeds VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING name"
    if await connection.fetchval(mark, _SEED, now) is None:
        return
    data = seed.dataset(now)
    for table, columns in seed.COLUMNS.items():
        names = columns.split()
        places = ", ".join(f"${place}" for place in range(1, len(names) + 1))
        insert = f"INSERT INTO backoffice.{table} ({', '.join(names)}) VALUES ({places})"
        await connection.executemany(insert, getattr(data, table))
