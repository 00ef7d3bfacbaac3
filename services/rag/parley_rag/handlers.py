"""One function a request: decode, check, do, encode."""

from __future__ import annotations

from collections.abc import Callable

from parley_proto.envelope import deadline_of, decode, encode, now_ms
from parley_proto.errors import ParleyError, TransientError
from parley_proto.rag import (
    EmbedReply,
    EmbedRequest,
    IngestReply,
    IngestRequest,
    Passage,
    SearchReply,
    SearchRequest,
)
from parley_rag import metrics
from parley_rag.embedding import Encoder
from parley_rag.knowledge import Knowledge
from parley_rag.requests import check_embed, check_ingest, check_search


class Handlers:
    """The answers to rag.search, rag.embed and rag.ingest. PermanentError for what can't be right on a second try."""

    def __init__(self, knowledge: Knowledge, encoder: Encoder, not_read_yet: Callable[[], str]) -> None:
        self._knowledge = knowledge
        self._encoder = encoder
        self._not_read_yet = not_read_yet

    async def search(self, data: bytes, headers: dict[str, str]) -> bytes:
        """TransientError `late` for one whose asker has gone: under load its place belongs to who still waits."""
        request: SearchRequest = decode(data, SearchRequest)
        check_search(request)
        asked_at = now_ms()
        if deadline_of(headers, asked_at + 1) <= asked_at:
            metrics.SEARCHES.labels(request.mode, "late").inc()
            raise TransientError("Whoever asked this waits for it no longer.", code="late")
        try:
            with metrics.SEARCH_SECONDS.time():
                passages = await self._search(request)
        except ParleyError as error:
            metrics.SEARCHES.labels(request.mode, error.code).inc()
            raise
        metrics.SEARCHES.labels(request.mode, "found" if passages else "nothing").inc()
        return encode(SearchReply(passages))

    async def embed(self, data: bytes, _headers: dict[str, str]) -> bytes:
        request: EmbedRequest = decode(data, EmbedRequest)
        check_embed(request)
        vectors = await self._encoder.vectors(request.texts)
        model = self._encoder.model
        return encode(EmbedReply(model.name, model.dimensions, b"".join(vectors)))

    async def ingest(self, data: bytes, _headers: dict[str, str]) -> bytes:
        request: IngestRequest = decode(data, IngestRequest)
        check_ingest(request)
        reply: IngestReply = await self._knowledge.ingest(request.tenant, request.documents)
        return encode(reply)

    async def _search(self, request: SearchRequest) -> list[Passage]:
        """Nothing found before everything is read is no answer: the caller may try again."""
        passages = await self._knowledge.search(request)
        if not passages and (reason := self._not_read_yet()):
            raise TransientError(reason, code="knowledge_unavailable")
        return passages
