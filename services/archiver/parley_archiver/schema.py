"""The tables of the archive and who may use them: laid down once, by whichever instance comes first."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from parley_mesh.migrations import migrate

if TYPE_CHECKING:
    import asyncpg

_MIGRATIONS = "parley_archiver.migrations"
# The one that archive.ensure_months takes: a grant and a new partition change the same row of pg_class,
# and PostgreSQL refuses whichever comes second.
_LOCK = 7_243_110_002


async def apply(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Bring schema `archive` and its roles up to date, in one transaction; a second instance finds it done.

    PermanentError where an applied migration was edited.
    """
    async with connection.transaction():
        await migrate(connection, "archive", _MIGRATIONS, _LOCK)
        await connection.execute((files(_MIGRATIONS) / "roles.sql").read_text("utf-8"))
