"""The store on LanceDB: one local table, searched by vector and by full text, filtered inside the query."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lancedb.expr import Expr, col, lit
from lancedb.index import FTS, HnswSq
from lancedb.table import AsyncTable

from parley_proto.errors import TransientError
from parley_rag.adapters import Known, Row
from parley_rag.domain import GENERAL, Hit

TABLE = "knowledge"
DIMENSIONS = 384

# A scan costs 1.4 ms a 1,000 windows. HNSW with its defaults loses answers; exploring this many times the windows that
# are wanted, and comparing twice as many exactly, lost none of the best ten among 50,000, with and without a filter.
_INDEX_FROM = 8_192
_EXPLORED = 4
_REFINED = 2
_FRESH = timedelta(seconds=1)
_KEPT = timedelta(minutes=10)
_SHOWN = ["document", "number", "section_number", "title", "section", "specialty", "passage"]
_SCHEMA = pa.schema(
    [pa.field(name, pa.string()) for name in ("tenant", "document", "title", "specialty", "origin", "content_hash")]
    + [pa.field("number", pa.int32()), pa.field("section", pa.string()), pa.field("section_number", pa.int32())]
    + [pa.field("passage", pa.string()), pa.field("indexed", pa.string())]
    + [pa.field("vector", pa.list_(pa.float32(), DIMENSIONS))]
)


class LanceStore:
    """Opens its table at the first use, and again after a failure: a restored folder is found without a restart.

    `trouble` says what is wrong with the table, and is empty again after a success; `troubled` is set meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        # A relative name that starts with "db" would be taken for LanceDB's cloud.
        self._folder = folder.resolve()
        self._opened: AsyncTable | None = None
        self._opening = asyncio.Lock()
        self.trouble = ""
        self.troubled = asyncio.Event()

    async def rows(self) -> int:
        async with self._table() as table:
            return int(await table.count_rows())

    async def create(self) -> None:
        """Make the table if there is none; a damaged one stays as it is."""
        async with self._translated():
            connection = await self._connect()
            listed = await connection.list_tables()
            if TABLE not in listed.tables:
                await self._create(connection)

    async def known(self, tenant: str) -> dict[str, Known]:
        async with self._table() as table:
            first = (col("tenant") == lit(tenant)) & (col("number") == lit(0))
            found = await table.query().where(first).select(["document", "content_hash", "origin"]).to_arrow()
        return {row["document"]: Known(row["content_hash"], row["origin"]) for row in found.to_pylist()}

    async def replace(self, tenant: str, documents: Sequence[str], rows: Sequence[Row]) -> None:
        superseded = (col("tenant") == lit(tenant)) & col("document").isin([lit(document) for document in documents])
        async with self._table() as table:
            if not rows:
                await table.delete(superseded)
                return
            merge = table.merge_insert(["tenant", "document", "number"]).when_matched_update_all()
            merge = merge.when_not_matched_insert_all().when_not_matched_by_source_delete(superseded)
            await merge.execute(_arrow(rows))

    async def by_vector(self, vector: bytes, tenant: str, specialty: str, limit: int) -> list[Hit]:
        query = np.frombuffer(vector, np.float32)
        async with self._table() as table:
            search = (
                table.query().nearest_to(query).distance_type("cosine").ef(_EXPLORED * limit).refine_factor(_REFINED)
            )
            filtered = search.where(_visible(tenant, specialty)).select([*_SHOWN, "_distance"]).limit(limit)
            found = await filtered.to_arrow()
        return _hits(found, 1.0 - found["_distance"].to_numpy())

    async def by_text(self, query: str, vector: bytes, tenant: str, specialty: str, limit: int) -> list[Hit]:
        async with self._table() as table:
            search = table.query().nearest_to_text(query, columns="indexed")
            filtered = search.where(_visible(tenant, specialty)).select([*_SHOWN, "vector", "_score"]).limit(limit)
            found = await filtered.to_arrow()
        windows = found["vector"].combine_chunks().flatten().to_numpy().reshape(-1, DIMENSIONS)
        return _hits(found, windows @ np.frombuffer(vector, np.float32))

    async def tend(self) -> None:
        async with self._table() as table:
            if "indexed" not in await _indexed(table):
                await table.create_index("indexed", config=FTS())
            await table.optimize(cleanup_older_than=_KEPT)

    async def index_vectors(self) -> None:
        async with self._table() as table:
            if await table.count_rows() >= _INDEX_FROM and "vector" not in await _indexed(table):
                await table.create_index("vector", config=HnswSq(distance_type="cosine", num_partitions=1))

    def close(self) -> None:
        if self._opened:
            self._opened.close()  # type: ignore[no-untyped-call]

    @asynccontextmanager
    async def _table(self) -> AsyncIterator[AsyncTable]:
        async with self._translated():
            yield self._opened or await self._open()
            self.trouble = ""
            self.troubled.clear()

    async def _open(self) -> AsyncTable:
        async with self._opening:
            if not self._opened:
                self._opened = await (await self._connect()).open_table(TABLE)
            return self._opened

    async def _connect(self) -> lancedb.AsyncConnection:
        return await lancedb.connect_async(self._folder, read_consistency_interval=_FRESH)

    async def _create(self, connection: lancedb.AsyncConnection) -> None:
        try:
            table = await connection.create_table(TABLE, schema=_SCHEMA)
            await table.create_index("indexed", config=FTS())
        except ValueError as error:
            # Another instance on the same folder was faster.
            if "already exists" not in str(error):
                raise

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            yield
        except (RuntimeError, OSError, ValueError, KeyError, pa.ArrowException) as error:
            # LanceDB has no exception of its own: what is wrong with a table comes as one of these.
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> TransientError:
        self._opened = None
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        self.trouble = (
            f"The knowledge table in {self._folder} can't be used: {reason}. Restore the folder, or remove it: "
            "rag then reads its articles again."
        )
        self.troubled.set()
        return TransientError(self.trouble, code="knowledge_unavailable")


async def _indexed(table: AsyncTable) -> set[str]:
    return {column for index in await table.list_indices() for column in index.columns}


def _visible(tenant: str, specialty: str) -> Expr:
    own = col("tenant") == lit(tenant)
    if not specialty:
        return own
    return own & col("specialty").isin([lit(name) for name in sorted({specialty, GENERAL})])


def _hits(found: pa.Table, cosines: npt.NDArray[Any]) -> list[Hit]:
    rows = found.select(_SHOWN).to_pylist()
    return [Hit(**row, cosine=float(cosine)) for row, cosine in zip(rows, cosines, strict=True)]


def _arrow(rows: Sequence[Row]) -> pa.Table:
    vectors = np.frombuffer(b"".join(row.vector for row in rows), np.float32)
    columns: dict[str, Any] = {
        name: [getattr(row, name) for row in rows]
        for name in ("tenant", "document", "title", "specialty", "origin", "content_hash")
    }
    for name in ("number", "section", "section_number", "passage", "indexed"):
        columns[name] = [getattr(row.chunk, name) for row in rows]
    columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors), DIMENSIONS)
    return pa.table(columns, schema=_SCHEMA)
