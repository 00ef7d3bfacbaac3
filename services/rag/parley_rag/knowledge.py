"""Search and ingestion, over a store and a model."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Literal

import msgspec

from parley_mesh.telemetry import tracer
from parley_proto.rag import Document, IngestReply, Passage, SearchRequest, Skipped
from parley_rag import metrics
from parley_rag.adapters import Known, Row, Store
from parley_rag.answers import Answers
from parley_rag.chunking import Sizes, chunks
from parley_rag.domain import Found, Mode, best_passages
from parley_rag.embedding import Encoder
from parley_rag.parts import whole_of
from parley_rag.queries import QueryWorkers
from parley_rag.questions import Probe, probes
from parley_rag.requests import Scope, accept, content_hash, scope_of
from parley_rag.writer import Writer

_DOCUMENTS_AT_ONCE = 32

Origin = Literal["package", "ingest"]


class Knowledge:
    """What is known, by tenant. Every method may raise TransientError: `knowledge_unavailable`, `embedding_failed`."""

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        writer: Writer,
        *,
        answers: Answers,
        workers: QueryWorkers,
        sizes: Sizes,
        floor: float,
        candidates: int,
        written: Callable[[int], None] = lambda _rows: None,
    ) -> None:
        self._store = store
        self._encoder = encoder
        self._writer = writer
        self._answers = answers
        self._workers = workers
        self._sizes = sizes
        self._floor = floor
        self._candidates = candidates
        self._version = f"3/{encoder.model.name}/{sizes.window}/{sizes.overlap}/{sizes.passage}"
        self._written = written

    async def search(self, request: SearchRequest) -> list[Passage]:
        """The best passages for a checked request; none where nothing is relevant."""
        scope, ways = _scope(request), probes(request.query, request.history)
        key = self._answers.key(await self._store.version(), scope, request, ways)
        remembered = self._answers.get(key)
        if remembered is not None:
            return remembered
        found = await self._looked_up(ways, request.mode, scope)
        passages = best_passages(found, mode=request.mode, limit=request.limit, floor=self._floor)
        self._answers.keep(key, passages)
        return passages

    async def ingest(self, tenant: str, documents: Sequence[Document]) -> IngestReply:
        """Store what changed, skip what did not, and say what was refused and why."""
        accepted = accept(documents)
        names = [document.document_id for document in accepted.documents]
        known = await self._store.known(tenant, names)
        # Embedding takes long: other writers go on meanwhile.
        reply = await self._store_changed(tenant, accepted.documents, known, "ingest", self._writer.turn)
        async with self._writer.turn():
            await self._cut_off(tenant, names)
        skipped = [*accepted.skipped, *reply.skipped]
        _count(reply, len(skipped))
        return msgspec.structs.replace(reply, skipped=skipped)

    async def adopt(self, tenant: str, documents: Sequence[Document], *, complete: bool = True) -> IngestReply:
        """Bring the articles of the package up to date: new, changed and, where `documents` is complete, withdrawn.

        An article that somebody has ingested in a version of their own stays theirs.
        """
        async with self._writer.turn():
            known = await self._store.known(tenant)
            offered = [document for document in documents if not _own(known, document)]
            withdrawn = {name for name, one in known.items() if one.origin == "package"}
            withdrawn -= {document.document_id for document in documents}
            if withdrawn and complete:
                await self._store.replace(tenant, dict.fromkeys(withdrawn, 0), [])
            reply = await self._store_changed(tenant, offered, known, "package", nullcontext)
        _count(reply, len(reply.skipped))
        return reply

    async def forget(self, tenant: str, documents: Sequence[str]) -> int:
        """Remove documents with all their parts; how many there were."""
        async with self._writer.turn():
            parts = [part for part in await self._store.parts(tenant) if whole_of(part)[0] in documents]
            known = await self._store.known(tenant, [*documents, *parts])
            if known:
                await self._store.replace(tenant, dict.fromkeys(known, 0), [])
                self._written(len(known))
        return len(known)

    async def _cut_off(self, tenant: str, names: Sequence[str]) -> None:
        """Remove the later parts of documents that have become shorter."""
        longest: dict[str, int] = {}
        for name in names:
            whole, number = whole_of(name)
            longest[whole] = max(number, longest.get(whole, 0))
        stored = [(part, *whole_of(part)) for part in await self._store.parts(tenant)]
        left = [part for part, whole, number in stored if number > longest.get(whole, number)]
        if left:
            await self._store.replace(tenant, dict.fromkeys(left, 0), [])

    async def found(self, request: SearchRequest) -> list[Found]:
        """What each way to look up a checked request finds in its scope, unranked and nothing held back."""
        return await self._looked_up(probes(request.query, request.history), request.mode, _scope(request))

    async def _looked_up(self, ways: Sequence[Probe], mode: Mode, scope: Scope) -> list[Found]:
        with tracer().start_as_current_span("rag.embed.query"):
            vectors = await self._encoder.vectors([way.meaning for way in ways])
        with tracer().start_as_current_span("rag.table"):
            pairs = list(zip(ways, vectors, strict=True))
            return await self._workers.run(
                lambda: asyncio.gather(*(self._look_up(mode, way, vector, scope) for way, vector in pairs))
            )

    async def _look_up(self, mode: Mode, way: Probe, vector: bytes, scope: Scope) -> Found:
        searches = []
        if mode != "text":
            searches.append(self._store.by_vector(vector, scope, self._candidates))
        if mode != "vector":
            searches.append(self._store.by_text(way.words, vector, scope, self._candidates))
        return Found(way, [hit for hits in await asyncio.gather(*searches) for hit in hits])

    async def _store_changed(
        self,
        tenant: str,
        documents: Sequence[Document],
        known: dict[str, Known],
        origin: Origin,
        turn: Callable[[], AbstractAsyncContextManager[None]],
    ) -> IngestReply:
        changed = [document for document in documents if self._changed(document, known)]
        skipped: list[Skipped] = []
        windows = 0
        for at in range(0, len(changed), _DOCUMENTS_AT_ONCE):
            group = changed[at : at + _DOCUMENTS_AT_ONCE]
            rows = await self._rows(tenant, group, origin)
            counts = {document.document_id: 0 for document in group}
            for row in rows:
                counts[row.document.document_id] += 1
            async with turn():
                await self._store.replace(tenant, counts, rows)
                self._written(len(rows))
            skipped += [Skipped(document, "it has no words") for document, count in counts.items() if not count]
            windows += len(rows)
        metrics.WINDOWS.set(await self._store.rows())
        replaced = sum(document.document_id in known for document in changed)
        return IngestReply(len(changed) - len(skipped), len(documents) - len(changed), windows, skipped, replaced)

    def _changed(self, document: Document, known: dict[str, Known]) -> bool:
        before = known.get(document.document_id)
        return before is None or before.content_hash != content_hash(document, self._version)

    async def _rows(self, tenant: str, documents: Sequence[Document], origin: Origin) -> list[Row]:
        cut = await asyncio.to_thread(lambda: [(one, chunk) for one in documents for chunk in chunks(one, self._sizes)])
        texts = dict.fromkeys(text for _, chunk in cut for text in (chunk.indexed, chunk.heading))
        encoded = await self._encoder.vectors(list(texts), remember=False, urgent=False)
        vectors = dict(zip(texts, encoded, strict=True))
        return [
            Row(
                tenant=tenant,
                document=one,
                origin=origin,
                content_hash=content_hash(one, self._version),
                chunk=chunk,
                vector=vectors[chunk.indexed],
                heading=vectors[chunk.heading],
            )
            for one, chunk in cut
        ]


def _scope(request: SearchRequest) -> Scope:
    return scope_of(request, datetime.datetime.now(datetime.UTC).date())


def _own(known: dict[str, Known], document: Document) -> bool:
    before = known.get(document.document_id)
    return before is not None and before.origin != "package"


def _count(reply: IngestReply, skipped: int) -> None:
    for outcome, count in (("stored", reply.stored), ("unchanged", reply.unchanged), ("skipped", skipped)):
        metrics.DOCUMENTS.labels(outcome).inc(count)
