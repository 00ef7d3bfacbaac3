"""The knowledge service in this process: the real model and a real table in a folder of the test's own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from parley_mesh.jetstream import NatsBus
from parley_mesh.runner import Mesh, Service
from parley_proto import subjects
from parley_proto.envelope import decode, encode
from parley_proto.rag import (
    Document,
    EmbedReply,
    EmbedRequest,
    IngestReply,
    IngestRequest,
    Passage,
    SearchReply,
    SearchRequest,
    TableReply,
    TableRequest,
)
from parley_testkit import requirements
from parley_testkit.nats_server import NatsServer

WAIT_S = 30.0


class Rag:
    """The endpoints of a service, as a caller on NATS sees them."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._answers = {endpoint.subject: endpoint.answer for endpoint in service.endpoints}

    async def ask(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> bytes:
        answer = self._answers[subject]
        assert answer
        return await answer(data, headers or {})

    async def search(self, query: str, **fields: object) -> list[Passage]:
        request = SearchRequest(query, **fields)  # type: ignore[arg-type]
        reply: SearchReply = decode(await self.ask(subjects.RAG_SEARCH, encode(request)), SearchReply)
        return reply.passages

    async def ingest(self, *documents: Document, tenant: str = "default") -> IngestReply:
        data = await self.ask(subjects.RAG_INGEST, encode(IngestRequest(list(documents), tenant)))
        reply: IngestReply = decode(data, IngestReply)
        return reply

    async def table(self, action: str, name: str = "") -> TableReply:
        data = await self.ask(subjects.RAG_TABLE, encode(TableRequest(action, name)))  # type: ignore[arg-type]
        reply: TableReply = decode(data, TableReply)
        return reply

    async def embed(self, *texts: str) -> EmbedReply:
        reply: EmbedReply = decode(await self.ask(subjects.RAG_EMBED, encode(EmbedRequest(list(texts)))), EmbedReply)
        return reply

    async def until_ready(self, seconds: float = WAIT_S) -> None:
        async with asyncio.timeout(seconds):
            while self.service.ready():
                await asyncio.sleep(0.02)


Start = Callable[..., Awaitable[Rag]]


async def mesh_on(server: NatsServer) -> Mesh:
    """What rag gets to build itself from, with the rights that it has in real life."""
    client = await server.connect("rag")
    return Mesh("rag", server.settings("rag"), NatsBus(client), client, "rag-test")


def shared(name: str) -> Path:
    """A file of ../shared/data, or of PARLEY_SHARED; ends the test where that is absent."""
    beside = requirements.project_root().parent / "shared"
    path = Path(os.environ.get("PARLEY_SHARED") or beside) / "data" / name
    if not path.is_file():
        requirements.missing("shared", "needs ../shared")
    return path


def words(passages: Sequence[Passage]) -> list[str]:
    return [passage.document for passage in passages]
