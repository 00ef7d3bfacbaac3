"""The tables and the made-up data: laid down once, by whichever instance comes first."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from parley_backoffice import seed
from parley_mesh.migrations import migrate

if TYPE_CHECKING:
    from parley_backoffice.adapters import Connection

# Any number will do, as long as every instance takes the same one.
_LOCK = 7_243_110_001
_SEED = "200-customers"


async def apply(connection: Connection, now: datetime) -> None:
    """Bring the schema up to date and lay down the made-up data, all in one transaction.

    A second instance waits for the first and then finds everything done.
    Raises PermanentError where an applied migration was edited.
    """
    async with connection.transaction():
        await migrate(connection, "backoffice", "parley_backoffice.migrations", _LOCK)
        await _seed(connection, now)


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
