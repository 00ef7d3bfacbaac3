"""Wiring: settings and the mesh in, a service out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from parley_mesh.endpoints import Endpoint
from parley_mesh.runner import Mesh, Service
from parley_mesh.telemetry import log
from parley_proto import subjects
from parley_proto.errors import ParleyError, SettingsError, TransientError
from parley_rag.adapters import Model
from parley_rag.articles import folder_of, read_articles
from parley_rag.batching import Encoder
from parley_rag.chunking import Sizes
from parley_rag.handlers import Handlers
from parley_rag.knowledge import Knowledge
from parley_rag.lance import LanceStore
from parley_rag.minilm import load
from parley_rag.settings import Settings

_RETRY_S = 5.0


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
    """Reads the package's articles in the background at start, again and again until the table takes them."""

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
        return self._reason

    def stats(self) -> dict[str, Any]:
        return {"knowledge": self._last | ({"waiting_for": self._reason} if self._reason else {})}

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._read()
                return
            except TransientError as error:
                self._reason = error.message
                log("parley.rag").warning("articles not read yet", extra={"reason": error.message})
            except ParleyError as error:
                self._reason = error.message
                log("parley.rag").error("articles can't be read", extra={"reason": error.message})
                return
            await asyncio.sleep(_RETRY_S)

    async def _read(self) -> None:
        await self._store.create()
        if self._folder:
            documents = await asyncio.to_thread(read_articles, self._folder)
            reply = await self._knowledge.adopt(self._tenant, documents)
            self._last = msgspec.to_builtins(reply)
            log("parley.rag").info("articles read", extra={"stored": reply.stored, "unchanged": reply.unchanged})
        self._reason = ""
