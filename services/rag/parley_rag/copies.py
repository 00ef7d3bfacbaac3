"""Snapshots as the service takes and restores them: when, of which version, under which name."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

from parley_mesh.telemetry import log
from parley_proto.errors import ParleyError, PermanentError
from parley_rag import metrics
from parley_rag.lance import TABLE, LanceStore
from parley_rag.snapshots import Snapshots
from parley_rag.snapshots.rules import AUTOMATIC
from parley_rag.versions import Versions
from parley_rag.writer import Writer


class Copies:
    """`kept` automatic snapshots are kept, 0 takes none; those that an operator named stay."""

    def __init__(
        self, store: LanceStore, versions: Versions, snapshots: Snapshots, writer: Writer, *, where: str, kept: int
    ) -> None:
        self._store = store
        self._versions = versions
        self._snapshots = snapshots
        self._writer = writer
        self._kept = kept
        self.where = where

    @property
    def trouble(self) -> str:
        """What is wrong with the table, '' while nothing is known to be."""
        return self._store.trouble

    async def after_a_change(self) -> None:
        """The automatic snapshot, when writes have paused: only what is new is copied."""
        if not self._kept:
            return
        try:
            await self.take("")
            async with self._writer.turn():
                await asyncio.to_thread(self._snapshots.prune, self._kept)
        except ParleyError:
            metrics.SNAPSHOTS.labels("failed").inc()
            raise

    async def take(self, name: str) -> str:
        """Copy the present version; one sentence. No writer may be at work meanwhile, or clean up what is copied."""
        async with self._writer.turn():
            facts = await self._versions.facts()
            chosen = name or f"{AUTOMATIC}{_now()}-v{facts['version']}"
            taken = await asyncio.to_thread(self._snapshots.take, self._table, name=chosen, facts=facts)
        metrics.SNAPSHOTS.labels("taken").inc()
        return (
            f"Snapshot {chosen}: {taken.copied_files} files with {taken.copied_bytes / 1e6:.1f} MB copied, "
            f"{taken.reused_files} with {taken.reused_bytes / 1e6:.1f} MB were there."
        )

    async def listed(self) -> list[dict[str, Any]]:
        found = await asyncio.to_thread(self._snapshots.list)
        return [
            {
                "name": one.name,
                "at": one.at,
                "version": one.version,
                "rows": one.facts.get("rows"),
                "model": one.facts.get("model"),
                "MB": sum(file.size for file in one.files) / 1e6,
            }
            for one in found
        ]

    async def restore(self, name: str) -> str:
        """Put a snapshot in the table's place, the newest sound one where none is named; one sentence.

        PermanentError `snapshot_missing` or `snapshot_damaged` leaves the table as it was.
        """
        self._store.reopen()
        names = [name] if name else [one.name for one in await asyncio.to_thread(self._snapshots.list)]
        for candidate in names:
            try:
                aside = await asyncio.to_thread(self._snapshots.restore, candidate, self._table)
            except PermanentError as error:
                if name:
                    raise
                log("parley.rag").error("snapshot not used", extra={"snapshot": candidate, "reason": error.message})
                continue
            finally:
                self._store.reopen()
            kept = f" What was there is now {aside}." if aside else ""
            return f"Snapshot {candidate} is back with {await self._store.rows():,} windows.{kept}"
        raise PermanentError(
            f"There is no sound snapshot in {self.where}: remove the table's folder, and rag reads its articles again.",
            code="snapshot_missing",
        )

    @property
    def _table(self) -> str:
        return f"{self._store.where.rstrip('/')}/{TABLE}.lance"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
