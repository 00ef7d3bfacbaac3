"""Rules of the knowledge service: what is refused, how hits become passages. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from parley_proto.envelope import digest
from parley_proto.errors import PermanentError
from parley_proto.rag import Document, EmbedRequest, IngestRequest, Passage, SearchRequest, Skipped

GENERAL = "general"

_QUERY_CHARACTERS = 8_000
_EMBED_TEXTS = 256
_EMBED_CHARACTERS = 65_536
_PASSAGES = 50
_DOCUMENTS = 1_000
_DOCUMENT_CHARACTERS = 1_000_000
_NAME_CHARACTERS = 300

# Reciprocal rank fusion (Cormack et al. 2009) with a small constant: only the first few passages are ever used.
# Tuned on e-manual and StackFAQ questions: recall@5 0.91 and 0.995; the usual 60 gives 0.88 and 0.97.
_RANK_CONSTANT = 2
_TEXT_WEIGHT = 1.5
# A passage that is far below the floor is not evidence, even beside a good one.
_BELOW_FLOOR = 0.15

_TENANT = re.compile(r"\A[A-Za-z0-9._-]{1,64}\Z")
_SPECIALTY = re.compile(r"\A[a-z0-9][a-z0-9-]{0,62}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Hit(msgspec.Struct, frozen=True):
    """A window that a search found. `cosine` is its similarity to the query, however it was found."""

    document: str
    number: int
    section_number: int
    title: str
    section: str
    specialty: str
    passage: str
    cosine: float


class Accepted(msgspec.Struct, frozen=True):
    """What of an ingestion may be stored, each document once, and what may not."""

    documents: list[Document]
    skipped: list[Skipped]


def check_search(request: SearchRequest) -> None:
    """PermanentError when the request makes no sense: empty, too long, or naming what can't be a tenant."""
    if not request.query.strip():
        raise PermanentError("The search query is empty: say what to look for.", code="empty_query")
    if len(request.query) > _QUERY_CHARACTERS:
        length = len(request.query)
        raise PermanentError(
            f"The search query has {length:,} characters: send at most {_QUERY_CHARACTERS:,}.", code="query_too_long"
        )
    if not 1 <= request.limit <= _PASSAGES:
        raise PermanentError(f"The search limit is {request.limit}: ask for 1 to {_PASSAGES}.", code="bad_limit")
    _check_tenant(request.tenant)
    if request.specialty and not _SPECIALTY.match(request.specialty):
        raise PermanentError(
            f"{request.specialty[:40]!r} can't be a specialty: use a-z, 0-9 and dashes, or leave it empty.",
            code="bad_specialty",
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


def accept(request: IngestRequest) -> Accepted:
    """The documents of `request` that can be stored; PermanentError only where the request as a whole is wrong."""
    _check_tenant(request.tenant)
    if not request.documents:
        raise PermanentError("There is no document to ingest: send at least one.", code="empty_documents")
    if len(request.documents) > _DOCUMENTS:
        raise PermanentError(
            f"{len(request.documents):,} documents are too many at once: send at most {_DOCUMENTS:,}.",
            code="too_many_documents",
        )
    last = {document.document_id: index for index, document in enumerate(request.documents)}
    documents: list[Document] = []
    skipped: list[Skipped] = []
    for index, document in enumerate(request.documents):
        reason = _reason(document, again=last[document.document_id] != index)
        if reason:
            skipped.append(Skipped(document.document_id[:_NAME_CHARACTERS], reason))
        else:
            documents.append(document)
    return Accepted(documents, skipped)


def content_hash(document: Document, version: str) -> str:
    """Changes whenever the stored chunks of `document` would; `version` names the model and the sizes."""
    return digest(version, document.title, document.specialty, document.text)


def passages(by_vector: Sequence[Hit], by_text: Sequence[Hit], *, limit: int, floor: float) -> list[Passage]:
    """The best sections of two rankings, each shown by its best window; none when no cosine reaches `floor`."""
    best = _best_windows([*by_vector, *by_text])
    if not best or max(hit.cosine for hit in best.values()) < floor:
        return []
    order = fused([_sections(by_vector), _sections(by_text)], [1.0, _TEXT_WEIGHT])
    kept = [best[section] for section in order if best[section].cosine >= floor - _BELOW_FLOOR]
    return [_passage(hit) for hit in kept[:limit]]


Key = tuple[str, int]


def fused(rankings: Sequence[Sequence[Key]], weights: Sequence[float]) -> list[Key]:
    """One ranking out of several, best first: each entry earns weight / (constant + rank) in every ranking it is in."""
    earned: dict[Key, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, key in enumerate(ranking, start=1):
            earned[key] = earned.get(key, 0.0) + weight / (_RANK_CONSTANT + rank)
    return sorted(earned, key=lambda key: -earned[key])


def _sections(hits: Sequence[Hit]) -> list[Key]:
    """The sections that `hits` belong to, in the order of their best window."""
    return list(dict.fromkeys((hit.document, hit.section_number) for hit in hits))


def _best_windows(hits: Sequence[Hit]) -> dict[Key, Hit]:
    best: dict[Key, Hit] = {}
    for hit in hits:
        key = (hit.document, hit.section_number)
        if key not in best or hit.cosine > best[key].cosine:
            best[key] = hit
    return best


def _passage(hit: Hit) -> Passage:
    return Passage(
        passage_id=f"{hit.document}#{hit.number}",
        document=hit.document,
        title=hit.title,
        text=hit.passage,
        score=round(hit.cosine, 4),
        section=hit.section,
        specialty=hit.specialty,
    )


def _check_tenant(tenant: str) -> None:
    if not _TENANT.match(tenant):
        raise PermanentError(f"{tenant[:40]!r} can't be a tenant: use A-Z a-z 0-9 . _ and dashes.", code="bad_tenant")


def _reason(document: Document, again: bool) -> str:
    if not document.document_id.strip():
        return "it has no document_id"
    if len(document.document_id) > _NAME_CHARACTERS or _CONTROL.search(document.document_id):
        return f"its document_id is longer than {_NAME_CHARACTERS} characters or has control characters"
    if again:
        return "the same document_id comes again later in this request"
    if len(document.title) > _NAME_CHARACTERS:
        return f"its title is longer than {_NAME_CHARACTERS} characters"
    if not _SPECIALTY.match(document.specialty):
        return f"{document.specialty[:40]!r} can't be a specialty: use a-z, 0-9 and dashes"
    if len(document.text) > _DOCUMENT_CHARACTERS:
        return f"its text is longer than {_DOCUMENT_CHARACTERS:,} characters"
    return "" if document.text.strip() else "it has no text"
