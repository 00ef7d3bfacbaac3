"""What follows a write in the background: compaction, indexes, a snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from parley_mesh.tasks import end
from parley_mesh.telemetry import log
from parley_proto.errors import ParleyError
from parley_rag import metrics
from parley_rag.adapters import Store
from parley_rag.writer import Writer

Snapshot = Callable[[], Awaitable[None]]


class Upkeep:
    """Tends the table when writes pause for `quiet_s` or have brought `rows_most` rows, and then snapshots it.

    Rows that are in no index yet are found all the same, more slowly. An unfinished index is begun anew after the
    next write.
    """

    def __init__(
        self, store: Store, writer: Writer, snapshot: Snapshot, *, quiet_s: float, rows_most: int = 10_000
    ) -> None:
        self._store = store
        self._writer = writer
        self._snapshot = snapshot
        self._quiet_s = quiet_s
        self._rows_most = rows_most
        self._rows = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def written(self, rows: int) -> None:
        """Hear of a write of `rows` rows."""
        self._rows += max(rows, 1)
        self._wake.set()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="upkeep")

    async def close(self) -> None:
        await end(self._task)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            quiet = await self._pause()
            self._rows = 0
            await self._guarded("tend", self._tend)
            await self._guarded("index", self._store.index_vectors)
            if quiet:
                await self._guarded("snapshot", self._snapshot)

    async def _pause(self) -> bool:
        """Wait for the writes to pause; False when there were so many that it can't wait longer."""
        while self._rows < self._rows_most:
            self._wake.clear()
            try:
                async with asyncio.timeout(self._quiet_s):
                    await self._wake.wait()
            except TimeoutError:
                return True
        self._wake.clear()
        return False

    async def _tend(self) -> None:
        async with self._writer.turn():
            await self._store.tend()

    async def _guarded(self, name: str, task: Callable[[], Awaitable[None]]) -> None:
        try:
            with metrics.UPKEEP_SECONDS.labels(name).time():
                await task()
        except ParleyError as error:
            log("parley.rag").warning("upkeep failed", extra={"task": name, "reason": error.message})
        except Exception:
            # Nobody waits for this task: one that ends would leave the table untended, and say nothing.
            log("parley.rag").exception("upkeep failed", extra={"task": name})
