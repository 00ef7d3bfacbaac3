"""PostgreSQL: the pool, transactions, calls that are carried out once, and what its errors mean."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import asyncpg
import msgspec
from msgspec import Struct

from parley_backoffice import schema
from parley_backoffice.domain import Call, Reply, replay_of, reply_to, wait_before
from parley_backoffice.settings import Settings
from parley_mesh.tasks import end
from parley_proto.errors import ConflictError, ParleyError, TransientError

if TYPE_CHECKING:
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

T = TypeVar("T")
Clock: TypeAlias = Callable[[], datetime]
Work: TypeAlias = "Callable[[Connection], Awaitable[T]]"
Effect: TypeAlias = "Callable[[Connection, datetime], Awaitable[Struct]]"

_log = logging.getLogger("parley.backoffice")

# The connection is gone, or the server asked for another try: nothing of the transaction has an effect, or all of it.
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that breaks in the middle of a reply leaves asyncpg's state askew
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    OSError,
)
_CLAIM = """
INSERT INTO backoffice.calls (idempotency_key, fingerprint, name, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING idempotency_key
"""
_STORED = "SELECT fingerprint, status, body FROM backoffice.calls WHERE idempotency_key = $1"
_SETTLE = "UPDATE backoffice.calls SET status = $2, body = $3 WHERE idempotency_key = $1"


def pool_of(settings: Settings) -> Pool:
    """A pool that is not open yet; it connects when it is first used, so it opens without a database."""
    pool: Pool = asyncpg.create_pool(
        settings.database_url,
        min_size=0,
        max_size=settings.pool_max,
        timeout=settings.acquire_timeout,
        command_timeout=settings.statement_timeout,
        server_settings={
            "application_name": "parley-backoffice",
            "statement_timeout": _milliseconds(settings.statement_timeout),
            "lock_timeout": _milliseconds(settings.lock_wait),
            "idle_in_transaction_session_timeout": _milliseconds(settings.request_timeout * 2),
        },
        init=_teach_json,
    )
    return pool


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


async def _teach_json(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    def encode(value: object) -> str:
        return msgspec.json.encode(value).decode()

    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=encode, decoder=msgspec.json.decode)


class Database:
    """The company's records behind a pool; survives that PostgreSQL is away and comes back."""

    def __init__(self, pool: Pool, settings: Settings, clock: Clock) -> None:
        self._pool = pool
        self._settings = settings
        self._clock = clock
        self._not_ready: str | None = "The database has not been reached yet."

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the pool, prepare the tables beside what else goes on, and close the pool at the end."""
        await self._pool
        preparing = asyncio.create_task(self._prepare(), name="prepare the tables")
        try:
            yield
        finally:
            await end(preparing)
            await self._close()

    async def _close(self) -> None:
        try:
            await asyncio.wait_for(self._pool.close(), self._settings.drain)
        except TimeoutError:
            _log.warning("connections were still in use at the end and were cut")
            self._pool.terminate()

    async def _prepare(self) -> None:
        attempt = 0
        while self._not_ready is not None:
            try:
                async with self._connection() as connection:
                    await schema.apply(connection, self._clock())
                self._not_ready = None
            except Exception as error:  # whatever is wrong may be put right while this runs
                meaning = _meaning(error)
                self._not_ready = meaning.message if meaning else f"The tables could not be prepared: {error!r}"
                _log.warning("not ready: %s (%r)", self._not_ready, error)
                await asyncio.sleep(wait_before(attempt))
                attempt += 1
        _log.info("the tables are ready")

    def now(self) -> datetime:
        """The time by the clock of this service."""
        return self._clock()

    async def read(self, work: Work[T]) -> T:
        """Do some reading in one transaction. Raises TransientError where the database is away."""
        return await self._transaction(work)

    async def once(self, call: Call, success: int, effect: Effect) -> Reply:
        """Carry a call out once: effect and reply are stored in one transaction, a repeat gets the reply again.

        A concurrent call with the same key waits for the first one; raises ConflictError `in_progress` where that
        takes too long, and TransientError where the database is away (repeating with the same key is safe).
        """

        async def work(connection: Connection) -> Reply:
            now = self._clock()
            if await connection.fetchval(_CLAIM, call.key, call.fingerprint, call.name, now) is None:
                stored = await connection.fetchrow(_STORED, call.key)
                assert stored is not None, "calls are never removed"
                return replay_of(call, stored["fingerprint"], stored["status"], stored["body"])
            reply = reply_to(await effect(connection, now), success)
            await connection.execute(_SETTLE, call.key, reply.status, reply.body.decode())
            return reply

        return await self._transaction(work)

    async def why_not_ready(self) -> str | None:
        """One sentence on why calls can't be served now, or None."""
        if self._not_ready is not None:
            return self._not_ready
        try:
            async with asyncio.timeout(self._settings.acquire_timeout):
                await self._transaction(lambda connection: connection.fetchval("SELECT 1"))
        except TimeoutError:
            return "The database did not answer in time."
        except ParleyError as error:
            return error.message
        return None

    async def _transaction(self, work: Work[T]) -> T:
        """Run `work` in a transaction; a second time where the connection turns out to be lost.

        The second time is safe also after an ambiguous commit: a call finds its own key then.
        """
        if self._not_ready is not None:
            raise TransientError(self._not_ready)
        try:
            async with asyncio.timeout(self._settings.request_timeout):
                return await self._attempt_twice(work)
        except Exception as error:
            meaning = _meaning(error)
            if meaning is None:
                raise
            raise meaning from error

    async def _attempt_twice(self, work: Work[T]) -> T:
        try:
            return await self._attempt(work)
        except TimeoutError:  # also an OSError, but trying again would only double the wait
            raise
        except _LOST as error:
            _log.info("trying once more after a lost connection: %r", error)
        return await self._attempt(work)

    async def _attempt(self, work: Work[T]) -> T:
        async with self._connection() as connection, connection.transaction():
            return await work(connection)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        async with self._pool.acquire(timeout=self._settings.acquire_timeout) as connection:
            yield connection


def _meaning(error: Exception) -> ParleyError | None:
    """What an error of asyncpg means to the caller, or None where it is a fault of this program."""
    if isinstance(error, ParleyError):
        return error
    if isinstance(error, asyncpg.LockNotAvailableError):
        return ConflictError("Another call is busy with the same object; try again.", code="in_progress")
    if isinstance(error, TimeoutError | asyncpg.QueryCanceledError):
        return TransientError("The database did not answer in time; try again.")
    if isinstance(error, (*_LOST, asyncpg.TooManyConnectionsError)):
        return TransientError("The database can't be reached; try again.")
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError | asyncpg.InvalidCatalogNameError):
        return TransientError(f"The database refuses the connection: {error}.")
    return None
