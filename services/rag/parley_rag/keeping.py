"""Keeps the package's articles in the table: at the start, and again whenever the table was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from parley_mesh.tasks import end
from parley_mesh.telemetry import log
from parley_proto.errors import ParleyError
from parley_rag.articles import read_articles
from parley_rag.knowledge import Knowledge
from parley_rag.lance import LanceStore
from parley_rag.reading import Reading

_RETRY_S = 3.0


class Articles:
    """`folder` None keeps nothing, but still makes the table; `made` hears of each that was made."""

    def __init__(
        self,
        store: LanceStore,
        knowledge: Knowledge,
        folder: Path | None,
        tenant: str,
        made: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._knowledge = knowledge
        self._folder = folder
        self._tenant = tenant
        self._made = made
        self._reason = "The knowledge articles are being read."
        self._task: asyncio.Task[None] | None = None
        self._last: dict[str, Any] = {}

    def reason(self) -> str:
        """Why the knowledge is not complete, one sentence; empty when it is."""
        return self._reason or self._store.trouble

    def stats(self) -> dict[str, Any]:
        reason = self.reason()
        return {"knowledge": self._last | ({"waiting_for": reason} if reason else {})}

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="articles")

    async def stop(self) -> None:
        await end(self._task)

    async def _run(self) -> None:
        while True:
            before = self._reason
            self._reason = await self._read()
            if self._reason and self._reason != before:
                log("parley.rag").error("articles not read", extra={"reason": self._reason})
            if self._reason:
                await asyncio.sleep(_RETRY_S)
            else:
                await self._store.troubled.wait()

    async def _read(self) -> str:
        """Bring the table up to date; the reason why that did not work."""
        try:
            if await self._store.create():
                await self._made()
            reading = await asyncio.to_thread(read_articles, self._folder) if self._folder else Reading([], [])
            reply = await self._knowledge.adopt(self._tenant, reading.documents, complete=not reading.skipped)
        except ParleyError as error:
            return error.message
        except Exception:
            # Nobody waits for this task: one that ends would leave the service without its knowledge, and say nothing.
            log("parley.rag").exception("articles not read")
            return "The knowledge articles can't be read: the log of rag says why."
        skipped = [*reading.skipped, *reply.skipped]
        for one in skipped:
            log("parley.rag").error("article not read", extra={"article": one.document_id, "reason": one.reason})
        self._last = msgspec.to_builtins(msgspec.structs.replace(reply, skipped=skipped))
        log("parley.rag").info("articles read", extra={"stored": reply.stored, "unchanged": reply.unchanged})
        return ""
