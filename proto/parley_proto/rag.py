"""Knowledge: search, embeddings, ingestion, and what operators ask of the table."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

PUBLIC = "public"


class Passage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A window of a document. `score` is 0 to 1: how likely it answers the query.

    `start` and `end` are character offsets of `text` in the document as it is stored.
    """

    passage_id: str
    document: str
    title: str
    text: str
    score: float
    section: str = ""
    specialty: str = ""
    start: int = 0
    end: int = 0
    source: str = ""


class SearchRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """`history` holds the customer's turns before this one, oldest first; the last two are used.

    `filters` narrows what is searched (`language`, `document`, `source`, `specialty`; an unknown field is refused).
    `groups` are those that the asker belongs to, from the session, never from a text: what is for others is not
    searched. `at` is the day that validity is judged by, ISO 8601; today when empty.
    """

    query: str
    tenant: str = "default"
    specialty: str = ""
    limit: int = 5
    mode: Literal["hybrid", "vector", "text"] = "hybrid"
    history: list[str] = []
    filters: dict[str, str] = {}
    groups: list[str] = []
    at: str = ""


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
    """`document_id` is the key: the same id replaces. `text` is Markdown or plain text.

    `valid_from` and `valid_until` are ISO dates, both inclusive, empty for no bound. `access` names the group that may
    read it. `source` says where it came from, such as a file's name.
    """

    document_id: str
    title: str
    text: str
    specialty: str = "general"
    language: str = ""
    valid_from: str = ""
    valid_until: str = ""
    access: str = PUBLIC
    source: str = ""


class IngestRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    documents: list[Document]
    tenant: str = "default"


class Skipped(msgspec.Struct, frozen=True):
    document_id: str
    reason: str


class IngestReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many documents were stored (`replaced` of them over another text), unchanged, and refused with reasons."""

    stored: int
    unchanged: int
    chunks: int
    skipped: list[Skipped] = []
    replaced: int = 0


class IngestJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """Take in the objects of the bucket `documents` whose names start with `prefix`.

    The rest are defaults for what a document does not say of itself. `clean` removes the objects when all is done:
    uploads are of no more use then.
    """

    job_id: str
    prefix: str
    tenant: str = "default"
    specialty: str = "general"
    language: str = ""
    valid_from: str = ""
    valid_until: str = ""
    access: str = PUBLIC
    clean: bool = False


class IngestProgress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a job has come: kept in the bucket `ingestions` under its id, so that another instance goes on from it.

    `object` and `cursor` say where to go on: the object that is being read and how much of it is done, -1 for all.
    `resumed` counts how often somebody had to go on after a death, `resumed_from` is what was done by then, `failures`
    how often a step failed for a reason that nobody foresaw. Only the first 200 reasons are kept, `refused` counts all.
    """

    job_id: str
    state: Literal["waiting", "running", "done", "failed"]
    objects: int = 0
    objects_done: int = 0
    object: str = ""
    cursor: int = 0
    documents: int = 0
    stored: int = 0
    unchanged: int = 0
    refused: int = 0
    chunks: int = 0
    replaced: int = 0
    skipped: list[Skipped] = []
    resumed: int = 0
    resumed_from: int = 0
    failures: int = 0
    instance: str = ""
    reason: str = ""
    at: int = 0


class TableRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an operator asks of the table; `name` is a tag, a snapshot, a version or a document."""

    action: Literal["stats", "versions", "snapshots", "snapshot", "tag", "restore", "reindex", "forget"]
    name: str = ""
    tenant: str = "default"


class TableReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """One sentence for a person, and the facts behind it."""

    said: str
    facts: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
