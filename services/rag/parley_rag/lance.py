"""The store on LanceDB: one table, searched by vector and by full text, filtered inside the query."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lancedb.expr import col, lit
from lancedb.index import FTS, Bitmap, BTree, HnswSq
from lancedb.table import AsyncTable

from parley_mesh.telemetry import log
from parley_proto.errors import TransientError
from parley_rag.adapters import Known, Row
from parley_rag.domain import Hit
from parley_rag.filters import beyond, visible
from parley_rag.parts import PART
from parley_rag.requests import Scope
from parley_rag.resident import Resident, Windows
from parley_rag.schema import HEADING, KEY, LOOKED_UP, ROW_ID, SHOWN, model_of, schema_for, to_arrow, vectors_to_numpy
from parley_rag.snapshots.restoring import undo_half

TABLE = "knowledge"

# A scan costs 1.4 ms a 1,000 windows. HNSW with its defaults loses answers (limits.md), so each partition is explored
# this many times as far as windows are wanted, twice as many are compared exactly, and no partition is left out.
INDEX_FROM = 8_192
_PARTITION = 16_384
_ALL_PARTITIONS = 64
_EXPLORED = 4
_REFINED = 2
_CONSTRUCTION = 150
# Of a table in memory this many times as many are looked through by full text as are wanted.
_LOOKED_THROUGH = 20
# A condition is as deep as it names documents, and DataFusion goes down it on one stack: 900 end the process.
_CUT_AT_ONCE = 100
_CONFLICT = "commit conflict"
# Where in its own source an error of LanceDB arose says nothing to an operator.
_SOURCE = re.compile(r",? ?\S*/src/\S+\.rs:\d+(:\d+)?")
_FRESH = timedelta(seconds=1)
# Searches that began before a clean-up still read the version that they began with.
_KEPT = timedelta(minutes=10)


class LanceStore:
    """Opens its table at the first use, and again after a failure: a restored folder is found without a restart.

    `trouble` says what is wrong with the table, and is empty again after a success; `troubled` is set meanwhile.
    A table made by another model than `model` is trouble too: vectors of two models can't be compared.
    With at most `resident` windows it is kept in memory, and vectors are compared there.
    """

    def __init__(
        self,
        where: Path | str,
        model: str,
        dimensions: int,
        options: Mapping[str, str] | None = None,
        *,
        resident: int = 0,
    ) -> None:
        # A relative name that starts with "db" would be taken for LanceDB's cloud.
        self.where = str(where) if "://" in str(where) else str(Path(where).resolve())
        self.schema = schema_for(model, dimensions)
        self._options = dict(options or {})
        self._resident = Resident(resident)
        self._opened: AsyncTable | None = None
        self._opening = asyncio.Lock()
        self._tables = 0
        self.trouble = ""
        self.troubled = asyncio.Event()

    @property
    def in_memory(self) -> int:
        """How many windows are kept in memory too."""
        return self._resident.count

    async def rows(self) -> int:
        async with self.table() as table:
            return int(await table.count_rows())

    async def version(self) -> tuple[int, int]:
        async with self.table() as table:
            return self._tables, int(await table.version())

    async def create(self) -> bool:
        """Make the table if there is none, and say whether there was none; a damaged one stays as it is."""
        async with self.translated():
            await self._undo_half_restore()
            connection = await self.connect()
            listed = await connection.list_tables()
            return TABLE not in listed.tables and await self._create(connection)

    async def _undo_half_restore(self) -> None:
        if "://" in self.where:
            return
        if back := await asyncio.to_thread(undo_half, Path(self.where) / f"{TABLE}.lance"):
            log("parley.rag").warning("a restore was cut off and is undone", extra={"table": back})

    async def known(self, tenant: str, documents: Sequence[str] | None = None) -> dict[str, Known]:
        first = (col("tenant") == lit(tenant)) & (col("number") == lit(0))
        if documents is not None:
            first = first & col("document").isin([lit(document) for document in documents])
        async with self.table() as table:
            found = await table.query().where(first).select(["document", "content_hash", "origin"]).to_arrow()
        return {row["document"]: Known(row["content_hash"], row["origin"]) for row in found.to_pylist()}

    async def parts(self, tenant: str) -> list[str]:
        later = (col("tenant") == lit(tenant)) & (col("number") == lit(0)) & col("document").contains(PART)
        async with self.table() as table:
            found = await table.query().where(later).select(["document"]).to_arrow()
        return [row["document"] for row in found.to_pylist()]

    async def replace(self, tenant: str, counts: dict[str, int], rows: Sequence[Row]) -> None:
        async with self.table() as table:
            known = await self._rows_of(table, tenant, list(counts))
            shrunk = {document: count for document, count in counts.items() if count < known.get(document, 0)}
            if shrunk:
                # First: what is cut off here leaves the old content hash behind, so that the next try sees a change.
                cut = list(shrunk.items())
                for at in range(0, len(cut), _CUT_AT_ONCE):
                    await table.delete(beyond(tenant, dict(cut[at : at + _CUT_AT_ONCE])))
            if rows:
                merge = table.merge_insert([KEY]).when_matched_update_all().when_not_matched_insert_all()
                await merge.execute(to_arrow(rows, self.schema))

    async def by_vector(self, vector: bytes, scope: Scope, limit: int) -> list[Hit]:
        query = np.frombuffer(vector, np.float32)
        async with self.table() as table:
            windows = await self._resident.windows(table)
            if windows and (places := await self._resident.visible(table, windows, scope)) is not None:
                return windows.nearest(query, places, limit)
            search = table.query().nearest_to(query).column("vector").distance_type("cosine")
            search = search.nprobes(_ALL_PARTITIONS).ef(_EXPLORED * limit).refine_factor(_REFINED)
            filtered = search.where(visible(scope)).select([*SHOWN, HEADING, "_distance"]).limit(limit)
            found = await filtered.to_arrow()
        return _hits(found, query, 1.0 - found["_distance"].to_numpy(), np.zeros(found.num_rows))

    async def by_text(self, query: str, vector: bytes, scope: Scope, limit: int) -> list[Hit]:
        meant = np.frombuffer(vector, np.float32)
        async with self.table() as table:
            windows = await self._resident.windows(table)
            if windows and (hits := await self._worded(table, windows, query, meant, scope, limit)) is not None:
                return hits
            search = table.query().nearest_to_text(query, columns="indexed").where(visible(scope)).limit(limit)
            found = await search.select([*SHOWN, HEADING, "vector", "_score"]).to_arrow()
        return _hits(found, meant, vectors_to_numpy(found["vector"]) @ meant, found["_score"].to_numpy())

    async def _worded(
        self,
        table: AsyncTable,
        windows: Windows,
        query: str,
        meant: npt.NDArray[np.float32],
        scope: Scope,
        limit: int,
    ) -> list[Hit] | None:
        """The best for everyone, of which those stay that `scope` may see: a condition costs more than the search.

        None where those may be too few, or the table has gone on: then it has to be asked with the condition.
        """
        places = await self._resident.visible(table, windows, scope)
        if places is None or len(places) * _LOOKED_THROUGH < windows.count:
            return None
        most = _LOOKED_THROUGH * limit
        best = table.query().nearest_to_text(query, columns="indexed").select(["_score"]).with_row_id()
        found = await best.limit(most).to_arrow()
        if await table.version() != windows.version:
            return None
        row_ids, scores = found[ROW_ID].to_pylist(), found["_score"].to_numpy()
        hits = windows.worded(row_ids, scores, places, meant, limit)
        return hits if len(hits) == limit or found.num_rows < most else None

    async def tend(self) -> None:
        async with self.table() as table:
            indexed = await _indexed(table)
            if "indexed" not in indexed:
                await table.create_index("indexed", config=FTS())
            if await table.count_rows() >= INDEX_FROM:
                for column in [name for name in LOOKED_UP if name not in indexed]:
                    await table.create_index(column, config=BTree() if column == "document" else Bitmap())
            await table.optimize(cleanup_older_than=_KEPT)

    async def index_vectors(self) -> None:
        """The name of the index says how many partitions it has: a table that outgrew them gets another one."""
        async with self.table() as table:
            partitions = partitions_for(await table.count_rows())
            names = {index.name for index in await table.list_indices() if "vector" in index.columns}
            if not partitions or f"vector_{partitions}" in names:
                return
            config = HnswSq(distance_type="cosine", num_partitions=partitions, ef_construction=_CONSTRUCTION)
            await table.create_index("vector", config=config, name=f"vector_{partitions}")
            for name in names:
                await table.drop_index(name)

    def reopen(self) -> None:
        """Forget the open table: somebody has put another one in its place, whose versions count anew."""
        self._another()
        if self._opened:
            self._opened.close()  # type: ignore[no-untyped-call]
        self._opened = None

    async def close(self) -> None:
        await self._resident.close()
        self.reopen()

    @asynccontextmanager
    async def table(self) -> AsyncIterator[AsyncTable]:
        """The open table; TransientError `knowledge_unavailable` for whatever LanceDB makes of it."""
        async with self.translated():
            yield self._opened or await self._open()
            self.trouble = ""
            self.troubled.clear()

    @asynccontextmanager
    async def translated(self) -> AsyncIterator[None]:
        try:
            yield
        except (RuntimeError, OSError, ValueError, KeyError, pa.ArrowException) as error:
            # LanceDB has no exception of its own: what is wrong with a table comes as one of these.
            raise self._failed(error) from error

    async def connect(self) -> lancedb.AsyncConnection:
        options = self._options or None
        return await lancedb.connect_async(self.where, read_consistency_interval=_FRESH, storage_options=options)

    async def _open(self) -> AsyncTable:
        async with self._opening:
            if not self._opened:
                table = await (await self.connect()).open_table(TABLE)
                made_by = model_of(await table.schema())
                if made_by != model_of(self.schema):
                    raise self._mixed(made_by)
                self._opened = table
            return self._opened

    async def _create(self, connection: lancedb.AsyncConnection) -> bool:
        try:
            table = await connection.create_table(TABLE, schema=self.schema)
            await table.create_index("indexed", config=FTS())
        except ValueError as error:
            # Another instance on the same folder was faster.
            if "already exists" not in str(error):
                raise
            return False
        return True

    async def _rows_of(self, table: AsyncTable, tenant: str, documents: list[str]) -> dict[str, int]:
        """How many rows each of `documents` has, those with none left out."""
        there = (col("tenant") == lit(tenant)) & col("document").isin([lit(document) for document in documents])
        found = await table.query().where(there).select(["document"]).to_arrow()
        counted = found["document"].value_counts().to_pylist()
        return {one["values"]: one["counts"] for one in counted}

    def _another(self) -> None:
        self._tables += 1
        self._resident.forget()

    def _mixed(self, made_by: str) -> TransientError:
        self.trouble = (
            f"The knowledge table in {self.where} was made with {made_by or 'an unknown model'} and this service "
            f"embeds with {model_of(self.schema)}: set PARLEY_RAG_EMBEDDING and PARLEY_RAG_PRECISION back, or "
            "make it anew with `parley kb reindex`."
        )
        self.troubled.set()
        return TransientError(self.trouble, code="knowledge_unavailable")

    def _failed(self, error: Exception) -> TransientError:
        if _CONFLICT in str(error):
            # Somebody else has written meanwhile: the table is sound, and what was to be done is done next time.
            return TransientError("Another instance is writing to the table; try again.", code="table_busy")
        self._opened = None
        self._another()
        reason = _SOURCE.sub("", str(error).splitlines()[0])[:200] if str(error) else type(error).__name__
        self.trouble = (
            f"The knowledge table in {self.where} can't be used: {reason}. Bring it back with `parley kb restore`, or "
            "remove the folder: rag then reads its articles again."
        )
        self.troubled.set()
        return TransientError(self.trouble, code="knowledge_unavailable")


def partitions_for(rows: int) -> int:
    """How many partitions the vector index of a table with `rows` has, a power of two; 0 for no index."""
    return 0 if rows < INDEX_FROM else min(1 << (rows // _PARTITION).bit_length(), _ALL_PARTITIONS)


async def _indexed(table: AsyncTable) -> set[str]:
    return {column for index in await table.list_indices() for column in index.columns}


def _hits(
    found: pa.Table, vector: npt.NDArray[np.float32], cosines: npt.NDArray[Any], scores: npt.NDArray[Any]
) -> list[Hit]:
    headings = vectors_to_numpy(found[HEADING]) @ vector
    numbers = zip(cosines.tolist(), headings.tolist(), scores.tolist(), strict=True)
    rows = zip(found.select(SHOWN).to_pylist(), numbers, strict=True)
    return [Hit(**row, cosine=cosine, heading=heading, bm25=score) for row, (cosine, heading, score) in rows]
