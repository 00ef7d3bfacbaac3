"""What is asked of the service, checked: what is refused and why, and what of the table a search may see. Pure."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

import msgspec

from parley_proto.envelope import digest
from parley_proto.errors import PermanentError
from parley_proto.rag import PUBLIC, Document, EmbedRequest, IngestRequest, SearchRequest, Skipped

GENERAL = "general"
FILTERS = ("document", "language", "source", "specialty")
# Days are ordinals of the proleptic Gregorian calendar: one comparison of whole numbers in the table.
ALWAYS = 0
FOREVER = datetime.date.max.toordinal()

_QUERY_CHARACTERS = 8_000
_HISTORY_TURNS = 50
_EMBED_TEXTS = 256
_EMBED_CHARACTERS = 65_536
_PASSAGES = 50
_DOCUMENTS = 1_000
_DOCUMENT_CHARACTERS = 1_000_000
_NAME_CHARACTERS = 300

_TENANT = re.compile(r"\A[A-Za-z0-9._-]{1,64}\Z")
_TOKEN = re.compile(r"\A[a-z0-9][a-z0-9-]{0,62}\Z")
_LANGUAGE = re.compile(r"\A([a-z]{2,3}(-[A-Za-z0-9]{2,8})*)?\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Scope(msgspec.Struct, frozen=True):
    """What a search may see. It becomes part of the query to the table, which alone says what is seen.

    `specialties` empty means any. `equal` holds further columns and the value that each must have.
    """

    tenant: str
    groups: tuple[str, ...]
    day: int
    specialties: tuple[str, ...] = ()
    equal: tuple[tuple[str, str], ...] = ()


class Accepted(msgspec.Struct, frozen=True):
    """What of an ingestion may be stored, each document once, and what may not."""

    documents: list[Document]
    skipped: list[Skipped]


def check_search(request: SearchRequest) -> None:
    """PermanentError when the request makes no sense: empty, too long, or naming what can't be."""
    if not request.query.strip():
        raise PermanentError("The search query is empty: say what to look for.", code="empty_query")
    length = max(map(len, [request.query, *request.history]))
    if length > _QUERY_CHARACTERS:
        raise PermanentError(
            f"The search query has {length:,} characters: send at most {_QUERY_CHARACTERS:,}.", code="query_too_long"
        )
    if len(request.history) > _HISTORY_TURNS:
        raise PermanentError(
            f"{len(request.history):,} earlier turns are too many: send the last {_HISTORY_TURNS} at most.",
            code="query_too_long",
        )
    if not 1 <= request.limit <= _PASSAGES:
        raise PermanentError(f"The search limit is {request.limit}: ask for 1 to {_PASSAGES}.", code="bad_limit")
    check_tenant(request.tenant)
    if request.specialty and not _TOKEN.match(request.specialty):
        raise PermanentError(
            f"{request.specialty[:40]!r} can't be a specialty: use a-z, 0-9 and dashes, or leave it empty.",
            code="bad_specialty",
        )
    unknown = sorted(set(request.filters) - set(FILTERS))
    if unknown:
        raise PermanentError(
            f"There is no field {unknown[0][:40]!r} to filter by: there are {', '.join(FILTERS)}.",
            code="unknown_filter",
        )


def scope_of(request: SearchRequest, today: datetime.date) -> Scope:
    """What the asker may see on the day asked for; PermanentError `bad_day` for what is no ISO date."""
    try:
        day = datetime.date.fromisoformat(request.at) if request.at else today
    except ValueError as error:
        raise PermanentError(f"{request.at[:40]!r} is no date: write it as 2026-05-31.", code="bad_day") from error
    return Scope(
        tenant=request.tenant,
        groups=tuple(sorted({PUBLIC, *request.groups})),
        day=day.toordinal(),
        specialties=tuple(sorted({request.specialty, GENERAL})) if request.specialty else (),
        equal=tuple(sorted(request.filters.items())),
    )


def check_embed(request: EmbedRequest) -> None:
    """PermanentError for no text, too many, an empty one or one that is too long."""
    if not request.texts:
        raise PermanentError("There is no text to embed: send at least one.", code="empty_texts")
    if len(request.texts) > _EMBED_TEXTS:
        raise PermanentError(
            f"{len(request.texts):,} texts are too many to embed at once: send at most {_EMBED_TEXTS}.",
            code="too_many_texts",
        )
    for index, text in enumerate(request.texts):
        if not text.strip():
            raise PermanentError(f"Text {index} to embed is empty: leave it out.", code="empty_texts")
        if len(text) > _EMBED_CHARACTERS:
            raise PermanentError(
                f"Text {index} to embed has {len(text):,} characters: send at most {_EMBED_CHARACTERS:,}.",
                code="text_too_long",
            )


def check_ingest(request: IngestRequest) -> None:
    """PermanentError only where the request as a whole is wrong."""
    check_tenant(request.tenant)
    if not request.documents:
        raise PermanentError("There is no document to ingest: send at least one.", code="empty_documents")
    if len(request.documents) > _DOCUMENTS:
        raise PermanentError(
            f"{len(request.documents):,} documents are too many at once: send at most {_DOCUMENTS:,}.",
            code="too_many_documents",
        )


def check_tenant(tenant: str) -> None:
    if not _TENANT.match(tenant):
        raise PermanentError(f"{tenant[:40]!r} can't be a tenant: use A-Z a-z 0-9 . _ and dashes.", code="bad_tenant")


def accept(documents: Sequence[Document]) -> Accepted:
    """Which of `documents` can be stored; of those with one id the last."""
    last = {document.document_id: index for index, document in enumerate(documents)}
    kept: list[Document] = []
    skipped: list[Skipped] = []
    for index, document in enumerate(documents):
        reason = _reason(document, again=last[document.document_id] != index)
        if reason:
            skipped.append(Skipped(document.document_id[:_NAME_CHARACTERS], reason))
        else:
            kept.append(document)
    return Accepted(kept, skipped)


def content_hash(document: Document, version: str) -> str:
    """Changes whenever the stored rows of `document` would; `version` names the model and the sizes."""
    fields = ("title", "specialty", "language", "valid_from", "valid_until", "access", "source", "text")
    return digest(version, *(getattr(document, name) for name in fields))


def days(document: Document) -> tuple[int, int]:
    """First and last day on which an accepted document holds."""
    first = datetime.date.fromisoformat(document.valid_from).toordinal() if document.valid_from else ALWAYS
    last = datetime.date.fromisoformat(document.valid_until).toordinal() if document.valid_until else FOREVER
    return first, last


def _reason(document: Document, again: bool) -> str:
    if not document.document_id.strip():
        return "it has no document_id"
    if len(document.document_id) > _NAME_CHARACTERS or _CONTROL.search(document.document_id):
        return f"its document_id is longer than {_NAME_CHARACTERS} characters or has control characters"
    if again:
        return "the same document_id comes again later in this batch"
    if len(document.title) > _NAME_CHARACTERS:
        return f"its title is longer than {_NAME_CHARACTERS} characters"
    if len(document.text) > _DOCUMENT_CHARACTERS:
        return f"its text is longer than {_DOCUMENT_CHARACTERS:,} characters"
    return _wrong_facts(document) or ("" if document.text.strip() else "it has no text")


def _wrong_facts(document: Document) -> str:
    if not _TOKEN.match(document.specialty):
        return f"{document.specialty[:40]!r} can't be a specialty: use a-z, 0-9 and dashes"
    if not _TOKEN.match(document.access):
        return f"{document.access[:40]!r} can't be a group that may read it: use a-z, 0-9 and dashes"
    if not _LANGUAGE.match(document.language):
        return f"{document.language[:40]!r} is no language: write it like en or pt-BR"
    try:
        first, last = days(document)
    except ValueError:
        return "its valid_from or valid_until is no date: write it as 2026-05-31"
    return "its valid_until is before its valid_from" if last < first else ""
