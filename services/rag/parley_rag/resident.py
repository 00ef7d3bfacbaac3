"""A small table in memory: LanceDB needs some 5 ms of a processor for any vector query, a multiplication 0.1."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lancedb.table import AsyncTable

from parley_mesh.tasks import end
from parley_mesh.telemetry import log
from parley_rag.domain import Hit
from parley_rag.filters import visible
from parley_rag.requests import Scope
from parley_rag.schema import HEADING, KEY, ROW_ID, SHOWN, vectors_to_numpy

Numbers = npt.NDArray[Any]

_SCOPES = 256
# A table that is being written to has another version every moment: reading it takes at most a fifth of the time.
_PAUSES = 4


class Windows:
    """All windows of one version of the table, and which of them each scope may see.

    Another version may give the same row id to another window.
    """

    def __init__(self, version: int, found: pa.Table) -> None:
        self.version = version
        self._vectors = vectors_to_numpy(found["vector"])
        self._headings = vectors_to_numpy(found[HEADING])
        self._rows = found.select(SHOWN).to_pylist()
        self._places = {number: place for place, number in enumerate(found[ROW_ID].to_pylist())}
        self._visible: OrderedDict[Scope, Numbers] = OrderedDict()

    @property
    def count(self) -> int:
        return len(self._rows)

    def visible(self, scope: Scope) -> Numbers | None:
        """The places that `scope` may see; None before `show` has said so."""
        if scope in self._visible:
            self._visible.move_to_end(scope)
        return self._visible.get(scope)

    def show(self, scope: Scope, row_ids: Sequence[int]) -> Numbers:
        places = self._visible[scope] = self._at(row_ids)
        if len(self._visible) > _SCOPES:
            self._visible.popitem(last=False)
        return places

    def nearest(self, vector: Numbers, places: Numbers, limit: int) -> list[Hit]:
        """Of `places` the `limit` nearest to `vector`, exactly."""
        cosines = (self._vectors @ vector)[places]
        best = np.argsort(-cosines, kind="stable")[:limit]
        return self._hits(places[best], vector, np.zeros(len(best)))

    def worded(
        self, row_ids: Sequence[int], scores: Numbers, places: Numbers, vector: Numbers, limit: int
    ) -> list[Hit]:
        """The first `limit` of `row_ids` that are among `places`; `scores` are what full text gave them."""
        shown = np.zeros(self.count, bool)
        shown[places] = True
        found = self._at(row_ids)
        kept = np.flatnonzero(shown[found])[:limit]
        return self._hits(found[kept], vector, scores[kept])

    def _at(self, row_ids: Sequence[int]) -> Numbers:
        return np.array([self._places[number] for number in row_ids], np.intp)

    def _hits(self, places: Numbers, vector: Numbers, scores: Numbers) -> list[Hit]:
        cosines, headings = self._vectors[places] @ vector, self._headings[places] @ vector
        found = zip(places.tolist(), cosines.tolist(), headings.tolist(), scores.tolist(), strict=True)
        return [Hit(**self._rows[at], cosine=near, heading=head, bm25=words) for at, near, head, words in found]


class Resident:
    """Keeps the windows of a table of at most `most`, read anew in the background when its version is another one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._windows: Windows | None = None
        self._too_large = -1
        self._reading: asyncio.Task[None] | None = None
        self._not_before = 0.0

    @property
    def count(self) -> int:
        """How many windows are in memory."""
        return self._windows.count if self._windows else 0

    async def windows(self, table: AsyncTable) -> Windows | None:
        """What the table holds now; None while that is not here, so that the table itself has to be asked."""
        if not self._most:
            return None
        version = await table.version()
        if self._windows and self._windows.version == version:
            return self._windows
        if version != self._too_large:
            self._read_soon(table)
        return None

    async def visible(self, table: AsyncTable, windows: Windows, scope: Scope) -> Numbers | None:
        """What `scope` may see of `windows`, by the table's own word; None where it has gone on meanwhile."""
        places = windows.visible(scope)
        if places is None:
            seen = await table.query().where(visible(scope)).select([KEY]).with_row_id().to_arrow()
            if await table.version() == windows.version:
                places = windows.show(scope, seen[ROW_ID].to_pylist())
        return places

    def forget(self) -> None:
        """Another table is in its place, whose versions count anew."""
        self._windows, self._too_large = None, -1
        if self._reading:
            self._reading.cancel()
            self._reading = None

    async def close(self) -> None:
        await end(self._reading)

    def _read_soon(self, table: AsyncTable) -> None:
        if not self._reading and time.monotonic() >= self._not_before:
            self._reading = asyncio.create_task(self._read(table), name="windows into memory")
            self._reading.add_done_callback(self._read_ended)

    def _read_ended(self, task: asyncio.Task[None]) -> None:
        if task is self._reading:
            self._reading = None
        if not task.cancelled() and (error := task.exception()):
            # The searches go to the table meanwhile, and say what is wrong with it.
            log("parley.rag").info("table not read into memory", extra={"reason": str(error)[:200]})

    async def _read(self, table: AsyncTable) -> None:
        began = time.monotonic()
        try:
            version = await table.version()
            if await table.count_rows() > self._most:
                self._too_large = version
                return
            found = await table.query().select([*SHOWN, HEADING, "vector"]).with_row_id().to_arrow()
            windows = await asyncio.to_thread(Windows, version, found)
            if await table.version() == version:
                self._windows = windows
        finally:
            self._not_before = time.monotonic() + _PAUSES * (time.monotonic() - began)
