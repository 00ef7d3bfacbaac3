"""Knowledge: search, embeddings, ingestion."""

from __future__ import annotations

from typing import Literal

import msgspec


class Passage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A window of a document. `score` is the cosine similarity (-1 to 1) of its best window to the query."""

    passage_id: str
    document: str
    title: str
    text: str
    score: float
    section: str = ""
    specialty: str = ""


class SearchRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    query: str
    tenant: str = "default"
    specialty: str = ""
    limit: int = 5
    mode: Literal["hybrid", "vector", "text"] = "hybrid"


class SearchReply(msgspec.Struct, frozen=True):
    """Best first; empty where nothing is relevant."""

    passages: list[Passage]


class EmbedRequest(msgspec.Struct, frozen=True):
    texts: list[str]


class EmbedReply(msgspec.Struct, frozen=True):
    """`vectors` holds little-endian float32, `dimensions` of them a text, in order."""

    model: str
    dimensions: int
    vectors: bytes


class Document(msgspec.Struct, frozen=True, omit_defaults=True):
    """`document_id` is the key: the same id replaces. `text` is Markdown or plain text."""

    document_id: str
    title: str
    text: str
    specialty: str = "general"


class IngestRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    documents: list[Document]
    tenant: str = "default"


class Skipped(msgspec.Struct, frozen=True):
    document_id: str
    reason: str


class IngestReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many documents were stored, found unchanged, and refused with their reasons."""

    stored: int
    unchanged: int
    chunks: int
    skipped: list[Skipped] = []
