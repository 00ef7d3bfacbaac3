"""Wiring: settings and the mesh in, a service out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from parley_embedding.minilm import load
from parley_mesh.endpoints import Endpoint
from parley_mesh.runner import Mesh, Service
from parley_mesh.telemetry import log
from parley_proto import subjects
from parley_proto.errors import ParleyError, SettingsError
from parley_rag.adapters import Model
from parley_rag.articles import folder_of, read_articles
from parley_rag.batching import Encoder
from parley_rag.chunking import Sizes
from parley_rag.handlers import Handlers
from parley_rag.knowledge import Knowledge
from parley_rag.lance import LanceStore
from parley_rag.settings import Settings

_RETRY_S = 3.0


async def build(settings: Settings, mesh: Mesh, model: Model | None = None) -> Service:
    """The service; SettingsError where the model or a folder is missing. `model` replaces MiniLM in tests."""
    if settings.overlap_words >= settings.window_words:
        raise SettingsError("PARLEY_RAG_OVERLAP_WORDS must be smaller than PARLEY_RAG_WINDOW_WORDS.")
    articles = folder_of(settings.knowledge_dir)
    if model is None:
        model = await asyncio.to_thread(load, settings.data / "model", settings.precision, settings.threads)
    encoder = Encoder(
        model,
        batch_size=settings.batch_size,
        cache_size=settings.cache_size,
    )
    store = LanceStore(settings.data / "lance")
    sizes = Sizes(settings.window_words, settings.overlap_words, settings.passage_words)
    knowledge = Knowledge(store, encoder, sizes=sizes, floor=settings.floor, candidates=settings.candidates)
    reading = Reading(store, knowledge, articles, mesh.settings.tenant)
    handlers = Handlers(knowledge, encoder, reading.reason)

    async def close() -> None:
        await reading.stop()
        await knowledge.close()
        await encoder.close()
        store.close()

    return Service(
        endpoints=[
            Endpoint("search", subjects.RAG_SEARCH, answer=handlers.search),
            Endpoint("embed", subjects.RAG_EMBED, answer=handlers.embed),
            Endpoint("ingest", subjects.RAG_INGEST, answer=handlers.ingest, limit=4),
        ],
        ready=reading.reason,
        start=reading.start,
        close=close,
        stats=reading.stats,
    )


class Reading:
    """Keeps the package's articles in the table: at the start, and again whenever the table was lost."""

    def __init__(self, store: LanceStore, knowledge: Knowledge, folder: Path | None, tenant: str) -> None:
        self._store = store
        self._knowledge = knowledge
        self._folder = folder
        self._tenant = tenant
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
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

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
            await self._store.create()
            documents = await asyncio.to_thread(read_articles, self._folder) if self._folder else []
            reply = await self._knowledge.adopt(self._tenant, documents)
        except ParleyError as error:
            return error.message
        self._last = msgspec.to_builtins(reply)
        log("parley.rag").info("articles read", extra={"stored": reply.stored, "unchanged": reply.unchanged})
        return ""
