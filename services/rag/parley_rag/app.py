"""Wiring: settings and the mesh in, a service out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parley_mesh.bus import Subscription
from parley_mesh.endpoints import Endpoint
from parley_mesh.runner import Mesh, Service
from parley_proto import subjects
from parley_proto.errors import SettingsError
from parley_rag.answers import Answers
from parley_rag.articles import folder_of
from parley_rag.bucket import Bucket
from parley_rag.chunking import Sizes
from parley_rag.copies import Copies
from parley_rag.embedding import Embedder, Encoder, embedder_for
from parley_rag.handlers import Handlers
from parley_rag.ingestion import Ingestions
from parley_rag.keeping import Articles
from parley_rag.knowledge import Knowledge
from parley_rag.lance import LanceStore
from parley_rag.operations import Operations
from parley_rag.queries import QueryWorkers
from parley_rag.reading import Reader
from parley_rag.settings import Settings
from parley_rag.snapshots import Snapshots
from parley_rag.upkeep import Upkeep
from parley_rag.versions import Versions
from parley_rag.writer import Writer


async def build(settings: Settings, mesh: Mesh, model: Embedder | None = None) -> Service:
    """The service; SettingsError where the model or a folder is missing. `model` replaces the local one in tests."""
    if settings.overlap_words >= settings.window_words:
        raise SettingsError("PARLEY_RAG_OVERLAP_WORDS must be smaller than PARLEY_RAG_WINDOW_WORDS.")
    folder = folder_of(settings.knowledge_dir)
    local = encoder_for(settings, model or await embedder_for(settings, mesh.bus, "local"))
    # The router is trained on the local model: its vectors are always those.
    encoder = local
    if settings.embedding != "local":
        remote = await embedder_for(settings, mesh.bus, settings.embedding, tenant=mesh.settings.tenant)
        encoder = encoder_for(settings, remote)
    parts = Parts(settings, mesh, encoder, folder)
    handlers = Handlers(parts.knowledge, local, parts.articles.reason)

    async def close() -> None:
        await parts.close()
        for one in {local, encoder}:
            await one.close()

    return Service(
        endpoints=[
            Endpoint("search", subjects.RAG_SEARCH, answer=handlers.search, limit=settings.query_waiting),
            Endpoint("embed", subjects.RAG_EMBED, answer=handlers.embed, limit=settings.query_waiting),
            Endpoint("ingest", subjects.RAG_INGEST, answer=handlers.ingest, limit=4),
            Endpoint("table", subjects.RAG_TABLE, answer=parts.operations.answer, limit=4),
        ],
        ready=parts.articles.reason,
        start=parts.start,
        drain=parts.drain,
        close=close,
        stats=parts.articles.stats,
    )


def encoder_for(settings: Settings, model: Embedder) -> Encoder:
    """The encoder over `model`, with its queue and caches as the settings say."""
    return Encoder(
        model,
        batch_size=settings.batch_size,
        max_waiting=settings.embed_waiting,
        cache_size=settings.cache_size,
        disk=settings.data / "embeddings.sqlite" if settings.disk_cache_mb else None,
        disk_mb=settings.disk_cache_mb,
    )


class Parts:
    """What the service is made of, and the order in which it starts and stops."""

    def __init__(self, settings: Settings, mesh: Mesh, encoder: Encoder, articles: Path | None) -> None:
        self._settings = settings
        self._mesh = mesh
        self._encoder = encoder
        remote = "://" in settings.table
        model = encoder.model
        self._store = LanceStore(settings.table, model.name, model.dimensions, resident=settings.resident_rows)
        writer = Writer(None if remote else settings.data)
        versions = Versions(self._store)
        copies = Copies(
            self._store,
            versions,
            Snapshots(settings.snapshots),
            writer,
            where=settings.snapshots,
            kept=settings.snapshots_kept,
        )
        self._upkeep = Upkeep(self._store, writer, copies.after_a_change, quiet_s=settings.quiet_s)
        self._answers = Answers(settings.query_cache_size)
        self._workers = QueryWorkers(
            least=settings.query_workers_least, most=settings.query_workers_most, waiting=settings.query_waiting
        )
        self.knowledge = Knowledge(
            self._store,
            encoder,
            writer,
            answers=self._answers,
            workers=self._workers,
            sizes=Sizes(settings.window_words, settings.overlap_words, settings.passage_words),
            floor=settings.floor,
            candidates=settings.candidates,
            written=self._upkeep.written,
        )
        self.articles = Articles(self._store, self.knowledge, articles, mesh.settings.tenant, self._tell)
        self._reader = Reader(timeout_s=settings.read_timeout_s, memory_mb=settings.read_memory_mb)
        self._ingestions = Ingestions(
            mesh.client,
            Bucket(mesh.client),
            self.knowledge,
            self._reader,
            settings.data / "spool",
            mesh.instance,
        )
        self.operations = Operations(
            self.knowledge, versions, copies, encoder, writer, changed=self._tell, more_facts=self._facts
        )
        self._listening: Subscription | None = None

    async def start(self) -> None:
        self._encoder.start()
        self._listening = await self._mesh.bus.listen(subjects.RAG_CHANGED, self._hear)
        await self._upkeep.start()
        await self.articles.start()
        await self._ingestions.start()

    async def drain(self) -> None:
        await self._ingestions.drain(self._mesh.settings.drain_s / 2)

    async def close(self) -> None:
        if self._listening:
            await self._listening.close()
        await self.articles.stop()
        await self._upkeep.close()
        await self._workers.close()
        await self._reader.close()
        await self._store.close()

    async def _tell(self) -> None:
        """Every instance hears it, this one too; but our own next search must not wait for it."""
        self._forget()
        await self._mesh.bus.publish(subjects.RAG_CHANGED, b"")

    async def _hear(self, _subject: str, _data: bytes, _headers: dict[str, str]) -> None:
        self._forget()

    def _forget(self) -> None:
        self._store.reopen()
        self._answers.clear()
        self._ingestions.table_replaced()
        self._upkeep.written(0)

    def _facts(self) -> dict[str, Any]:
        return {
            "embedding workers": self._encoder.workers,
            "query workers": self._workers.workers,
            "answers remembered": len(self._answers),
            "windows in memory": self._store.in_memory,
        }
