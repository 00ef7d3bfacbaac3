"""Search and ingestion, over a store and a model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from parley_mesh.telemetry import log, tracer
from parley_proto.errors import ParleyError
from parley_proto.rag import Document, IngestReply, IngestRequest, Passage, SearchRequest, Skipped
from parley_rag import metrics
from parley_rag.adapters import Known, Row, Store
from parley_rag.batching import Encoder
from parley_rag.chunking import Chunk, Sizes, chunks
from parley_rag.domain import Hit, accept, content_hash, passages

# Few enough that a search waits for one slice at most: 8 windows take about 60 ms.
_SLICE = 8
_DOCUMENTS_AT_ONCE = 32


class Knowledge:
    """What is known, by tenant. Every method may raise TransientError: `knowledge_unavailable`, `embedding_failed`."""

    def __init__(self, store: Store, encoder: Encoder, *, sizes: Sizes, floor: float, candidates: int) -> None:
        self._store = store
        self._encoder = encoder
        self._sizes = sizes
        self._floor = floor
        self._candidates = candidates
        self._version = f"1/{encoder.model.name}/{sizes.window}/{sizes.overlap}/{sizes.passage}"
        self._writing = asyncio.Lock()
        self._upkeep: asyncio.Task[None] | None = None
        self._grown = False

    async def search(self, request: SearchRequest) -> list[Passage]:
        """The best passages for a checked request; none where nothing is relevant."""
        with tracer().start_as_current_span("rag.embed.query"):
            [vector] = await self._encoder.vectors([request.query])
        with tracer().start_as_current_span("rag.table"):
            by_vector, by_text = await asyncio.gather(self._by_vector(request, vector), self._by_text(request, vector))
        return passages(by_vector, by_text, limit=request.limit, floor=self._floor)

    async def ingest(self, request: IngestRequest) -> IngestReply:
        """Store what changed, skip what did not, and say what was refused and why."""
        accepted = accept(request)
        async with self._writing:
            known = await self._store.known(request.tenant)
            reply = await self._store_changed(request.tenant, accepted.documents, known, "ingest")
        skipped = [*accepted.skipped, *reply.skipped]
        _count(reply, len(skipped))
        return IngestReply(reply.stored, reply.unchanged, reply.chunks, skipped)

    async def adopt(self, tenant: str, documents: Sequence[Document]) -> IngestReply:
        """Bring the articles of the package up to date: new, changed and withdrawn ones.

        An article that somebody has ingested in a version of their own stays theirs.
        """
        async with self._writing:
            known = await self._store.known(tenant)
            offered = [document for document in documents if not _own(known, document)]
            withdrawn = {name for name, one in known.items() if one.origin == "package"}
            withdrawn -= {document.document_id for document in documents}
            if withdrawn:
                await self._store.replace(tenant, sorted(withdrawn), [])
            reply = await self._store_changed(tenant, offered, known, "package")
        _count(reply, len(reply.skipped))
        return reply

    async def close(self) -> None:
        """Let the indexes be: an unfinished one is begun anew after the next ingestion."""
        if self._upkeep:
            self._upkeep.cancel()
            await asyncio.gather(self._upkeep, return_exceptions=True)

    async def _by_vector(self, request: SearchRequest, vector: bytes) -> list[Hit]:
        if request.mode == "text":
            return []
        return await self._store.by_vector(vector, request.tenant, request.specialty, self._candidates)

    async def _by_text(self, request: SearchRequest, vector: bytes) -> list[Hit]:
        if request.mode == "vector":
            return []
        return await self._store.by_text(request.query, vector, request.tenant, request.specialty, self._candidates)

    async def _store_changed(
        self, tenant: str, documents: Sequence[Document], known: dict[str, Known], origin: str
    ) -> IngestReply:
        changed = [document for document in documents if self._changed(document, known)]
        skipped: list[Skipped] = []
        windows = 0
        for at in range(0, len(changed), _DOCUMENTS_AT_ONCE):
            group = changed[at : at + _DOCUMENTS_AT_ONCE]
            rows = await self._rows(tenant, group, origin)
            there = {row.document for row in rows}
            await self._store.replace(tenant, [document.document_id for document in group], rows)
            skipped += [Skipped(one.document_id, "it has no words") for one in group if one.document_id not in there]
            windows += len(rows)
        if changed:
            self._keep_up()
        metrics.WINDOWS.set(await self._store.rows())
        return IngestReply(len(changed) - len(skipped), len(documents) - len(changed), windows, skipped)

    def _keep_up(self) -> None:
        """Indexes follow in the background: rows that are not in them yet are found all the same, more slowly."""
        self._grown = True
        if self._upkeep is None or self._upkeep.done():
            self._upkeep = asyncio.create_task(self._tend())

    async def _tend(self) -> None:
        try:
            while self._grown:
                self._grown = False
                async with self._writing:
                    await self._store.tend()
                await self._store.index_vectors()
        except ParleyError as error:
            log("parley.rag").warning("indexes not up to date", extra={"reason": error.message})

    def _changed(self, document: Document, known: dict[str, Known]) -> bool:
        before = known.get(document.document_id)
        return before is None or before.content_hash != content_hash(document, self._version)

    async def _rows(self, tenant: str, documents: Sequence[Document], origin: str) -> list[Row]:
        cut = await asyncio.to_thread(lambda: [(one, chunk) for one in documents for chunk in chunks(one, self._sizes)])
        vectors = await self._vectors([chunk for _, chunk in cut])
        return [
            Row(
                tenant=tenant,
                document=one.document_id,
                title=one.title,
                specialty=one.specialty,
                origin=origin,
                content_hash=content_hash(one, self._version),
                chunk=chunk,
                vector=vector,
            )
            for (one, chunk), vector in zip(cut, vectors, strict=True)
        ]

    async def _vectors(self, cut: Sequence[Chunk]) -> list[bytes]:
        found: list[bytes] = []
        for at in range(0, len(cut), _SLICE):
            texts = [chunk.indexed for chunk in cut[at : at + _SLICE]]
            found += await self._encoder.vectors(texts, remember=False)
        return found


def _own(known: dict[str, Known], document: Document) -> bool:
    before = known.get(document.document_id)
    return before is not None and before.origin != "package"


def _count(reply: IngestReply, skipped: int) -> None:
    for outcome, count in (("stored", reply.stored), ("unchanged", reply.unchanged), ("skipped", skipped)):
        metrics.DOCUMENTS.labels(outcome).inc(count)
