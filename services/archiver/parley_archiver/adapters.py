"""Where the record is kept: PostgreSQL, and its twin in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol, TypeAlias

import asyncpg

from parley_archiver import checkpoint_table, queries, schema
from parley_archiver.checkpoints import Kept, Place
from parley_archiver.domain import Owner, Row, Sealed, changes
from parley_archiver.settings import Settings
from parley_mesh.telemetry import log
from parley_proto.errors import ParleyError, PermanentError, TransientError

if TYPE_CHECKING:
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

WRITER = "parley_archiver_writer"
CONNECT_S = 5.0
# "tuple concurrently updated": somebody else granted or changed the same table at that moment.
_INTERNAL = "XX000"
_PASSING = (asyncpg.OperatorInterventionError, asyncpg.TransactionRollbackError, asyncpg.InsufficientResourcesError)


class Store(Protocol):
    """The record. Every method may raise TransientError (away, slow) and PermanentError (refused, edited schema)."""

    async def prepare(self) -> None:
        """Lay down or update the tables, once; cheap afterwards."""
        ...

    async def ping(self) -> None:
        """Raises where the record can't be reached."""
        ...

    async def write(self, batch: Sequence[Sealed], checkpoints: Sequence[Kept] = ()) -> int:
        """Store `batch` and, where they are newer, `checkpoints` in one transaction; how many messages were new."""
        ...

    async def owners(self, conversations: Sequence[str]) -> dict[str, Owner]:
        """Those of `conversations` whose customer the record knows."""
        ...

    async def transcript(self, tenant: str, conversation: str, limit: int, max_bytes: int) -> list[Row]:
        """The newest rows, at most `limit` and `max_bytes` of ciphertext, in the log's order."""
        ...

    async def checkpoint(self, conversation: str) -> Kept | None:
        """The newest checkpoint of a conversation."""
        ...

    async def last_seq(self, conversation: str) -> int:
        """The sequence of the newest message of a conversation, 0 for none."""
        ...

    async def resting(self, after: Place, before: int, limit: int) -> list[Kept]:
        """Checkpoints not retired that rest since `before` (ms) or longer, behind `after`, the longest first."""
        ...

    async def retired(self, conversation: str, revision: int) -> None:
        """Nothing of the conversation is in the log any more, as long as `revision` is its newest checkpoint."""
        ...

    async def close(self) -> None: ...


class PostgresStore:
    """The record in schema `archive`. Connects when first used, and as the insert-only role where it may."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: Pool | None = None
        self._opening = asyncio.Lock()
        self._prepared = False
        self._months: set[date] = set()

    async def prepare(self) -> None:
        if self._prepared:
            return
        async with _translated():
            url = self._settings.migrate_database_url or self._settings.database_url
            connection = await asyncpg.connect(
                url, timeout=CONNECT_S, command_timeout=self._settings.statement_timeout_s
            )
            try:
                await schema.apply(connection)
            finally:
                await connection.close(timeout=CONNECT_S)
        self._prepared = True

    async def ping(self) -> None:
        async with self._connection() as connection:
            await connection.fetchval("SELECT 1")

    async def write(self, batch: Sequence[Sealed], checkpoints: Sequence[Kept] = ()) -> int:
        try:
            async with self._connection() as connection:
                await self._ensure_months(connection, batch)
                return await _write(connection, batch, checkpoints)
        except ParleyError:
            # Whatever we believed of the tables may be wrong: they can have been restored from a backup.
            self._prepared = False
            self._months.clear()
            raise

    async def owners(self, conversations: Sequence[str]) -> dict[str, Owner]:
        async with self._connection() as connection:
            rows = await connection.fetch(queries.OWNERS, conversations)
        return {row["conversation"]: Owner(row["tenant"], row["customer_key_id"]) for row in rows}

    async def transcript(self, tenant: str, conversation: str, limit: int, max_bytes: int) -> list[Row]:
        async with self._connection() as connection:
            rows = await connection.fetch(queries.TRANSCRIPT, tenant, conversation, limit, max_bytes)
        return [queries.row_of(row) for row in rows]

    async def checkpoint(self, conversation: str) -> Kept | None:
        async with self._connection() as connection:
            found = await connection.fetchrow(checkpoint_table.ONE, conversation)
        return checkpoint_table.kept_of(found) if found else None

    async def last_seq(self, conversation: str) -> int:
        async with self._connection() as connection:
            return int(await connection.fetchval(checkpoint_table.LAST_SEQ, conversation))

    async def resting(self, after: Place, before: int, limit: int) -> list[Kept]:
        since, conversation = after
        places = queries.time_of(before), queries.time_of(since), conversation
        async with self._connection() as connection:
            rows = await connection.fetch(checkpoint_table.RESTING, *places, limit)
        return [checkpoint_table.kept_of(row) for row in rows]

    async def retired(self, conversation: str, revision: int) -> None:
        async with self._connection() as connection:
            await connection.execute(checkpoint_table.RETIRED, conversation, revision)

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), CONNECT_S)
        except TimeoutError:
            log("parley.archiver").warning("connections were still in use at the end and were cut")
            pool.terminate()

    async def _ensure_months(self, connection: Connection, batch: Sequence[Sealed]) -> None:
        """The partitions that `batch` needs, outside of its transaction: no lock is held while rows are written."""
        for month in sorted(queries.months(batch) - self._months):
            await connection.execute("SELECT archive.ensure_months($1)", month)
            self._months.add(month)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        async with _translated():
            pool = await self._open()
            async with pool.acquire(timeout=CONNECT_S) as connection:
                yield connection

    async def _open(self) -> Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._settings.database_url,
                    min_size=0,
                    max_size=self._settings.pool_size,
                    timeout=CONNECT_S,
                    command_timeout=self._settings.statement_timeout_s,
                    server_settings={"application_name": "parley-archiver"},
                    init=_become_writer,
                )
            return self._pool


async def _become_writer(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Give up every right but adding to the record, where the role is there and the user may take it."""
    try:
        await connection.execute(f"SET ROLE {WRITER}")
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError) as error:
        log("parley.archiver").warning("the archiver keeps the rights of its user", extra={"reason": str(error)})


async def _write(connection: Connection, batch: Sequence[Sealed], checkpoints: Sequence[Kept]) -> int:
    async with connection.transaction():
        inserted = {row["seq"] for row in await connection.fetch(queries.INSERT, *queries.message_arrays(batch))}
        written = [sealed for sealed in batch if sealed.row.columns.seq in inserted]
        changed = changes(written)
        if changed:
            await connection.execute(queries.UPSERT, *queries.change_arrays(changed))
        if checkpoints:
            await connection.execute(checkpoint_table.UPSERT, *checkpoint_table.arrays(checkpoints))
    return len(written)


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """PostgreSQL's errors as the mesh's: what can pass, and what somebody has to put right."""
    try:
        yield
    except (asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, asyncpg.InterfaceError, OSError) as error:
        raise TransientError(
            f"PostgreSQL can't be reached ({_said(error)}): start it or correct PARLEY_ARCHIVER_DATABASE_URL; "
            "what comes meanwhile waits in the log.",
            code="archive_away",
        ) from error
    except asyncpg.PostgresError as error:
        if isinstance(error, _PASSING) or error.sqlstate == _INTERNAL:
            raise TransientError(
                f"PostgreSQL broke off ({_said(error)}); the archiver tries again.", code="archive_away"
            ) from error
        raise PermanentError(
            f"PostgreSQL refuses the archive ({_said(error)}): correct it there or in PARLEY_ARCHIVER_DATABASE_URL; "
            "what comes meanwhile waits in the log.",
            code="archive_refused",
        ) from error


def _said(error: Exception) -> str:
    """The error's first line alone: its details can quote a row."""
    return str(error).partition("\n")[0] or type(error).__name__


class MemoryStore:
    """The twin for fast tests; `fault` is raised by every call while it is set."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int, int], Row] = {}
        self.customers: dict[str, Owner] = {}
        self.checkpoints: dict[str, Kept] = {}
        self._retired: set[tuple[str, int]] = set()
        self.fault: Exception | None = None

    async def prepare(self) -> None:
        await self.ping()

    async def ping(self) -> None:
        if self.fault:
            raise self.fault

    async def write(self, batch: Sequence[Sealed], checkpoints: Sequence[Kept] = ()) -> int:
        await self.ping()
        new = {_place(sealed.row): sealed for sealed in batch if _place(sealed.row) not in self.rows}
        self.rows |= {place: sealed.row for place, sealed in new.items()}
        for change in changes(new.values()):
            if change.root:
                self.customers.setdefault(change.conversation, Owner(change.tenant, change.root))
        for kept in checkpoints:
            known = self.checkpoints.get(kept.conversation)
            if known is None or _age(known.row) < _age(kept.row):
                self.checkpoints[kept.conversation] = kept
        return len(new)

    async def owners(self, conversations: Sequence[str]) -> dict[str, Owner]:
        await self.ping()
        return {cid: self.customers[cid] for cid in conversations if cid in self.customers}

    async def transcript(self, tenant: str, conversation: str, limit: int, max_bytes: int) -> list[Row]:
        await self.ping()
        wanted = (tenant, conversation)
        rows = [row for row in self.rows.values() if (row.columns.tenant, row.columns.conversation) == wanted]
        newest = sorted(rows, key=lambda row: -row.columns.seq)[:limit]
        totals = accumulate(len(row.ciphertext) for row in newest)
        return [row for row, total in zip(newest, totals, strict=True) if total <= max_bytes][::-1]

    async def checkpoint(self, conversation: str) -> Kept | None:
        await self.ping()
        return self.checkpoints.get(conversation)

    async def last_seq(self, conversation: str) -> int:
        await self.ping()
        of = [row.columns.seq for row in self.rows.values() if row.columns.conversation == conversation]
        return max(of, default=0)

    async def resting(self, after: Place, before: int, limit: int) -> list[Kept]:
        await self.ping()
        found = [kept for kept in self.checkpoints.values() if 0 < kept.rests_since <= before and kept.place > after]
        waiting = [kept for kept in found if (kept.conversation, kept.revision) not in self._retired]
        return sorted(waiting, key=lambda kept: kept.place)[:limit]

    async def retired(self, conversation: str, revision: int) -> None:
        await self.ping()
        self._retired.add((conversation, revision))

    async def close(self) -> None:
        self.fault = TransientError("The archive is closed.", code="archive_away")


def _age(row: Row) -> tuple[int, int]:
    return row.columns.at, row.columns.seq


def _place(row: Row) -> tuple[str, int, int]:
    return row.columns.stream, row.columns.seq, row.columns.at
