"""JSON: one document a line (JSONL, NDJSON), an array of them, or a single one. Pure."""

from __future__ import annotations

import io
from collections.abc import Iterator

import msgspec

from parley_proto.rag import Document, Skipped
from parley_rag.reading.fields import Said, documents_of
from parley_rag.reading.outcome import Defaults, Reading, Unreadable
from parley_rag.reading.text import cleaned, decoded, encoding_mark

MOST_DOCUMENTS = 200_000
_ID_FIELDS = ("document_id", "passage_id", "doc_id", "id")
_TEXT_FIELDS = ("text", "content", "body")
_SAID = Said.__struct_fields__

Numbered = tuple[str, bytes | msgspec.Raw]


class _Row(msgspec.Struct, frozen=True):
    """The fields that are looked at; what else a row has is passed over, however deep or large it is."""

    document_id: object = None
    passage_id: object = None
    doc_id: object = None
    id: object = None
    text: object = None
    content: object = None
    body: object = None
    title: object = None
    specialty: object = None
    language: object = None
    valid_from: object = None
    valid_until: object = None
    access: object = None
    source: object = None


def read_rows(name: str, content: bytes, defaults: Defaults) -> Reading:
    """A document for each row, which has an id, a text, and what of the other fields of Document it wants to say.

    A row that can't be taken is skipped and named by its line. Of rows with one id the last that can be taken is.
    Unreadable for more than 200,000 rows.
    """
    if encoding_mark(content):
        content = decoded(content).encode()
    kept: dict[str, tuple[str, list[Document]]] = {}
    skipped: list[Skipped] = []
    for where, row in _numbered(name, content):
        try:
            documents = _documents(name, row, defaults)
        except Unreadable as error:
            skipped.append(Skipped(f"{name} {where}", error.message))
            continue
        key = documents[0].document_id
        if before := kept.pop(key, None):
            skipped.append(Skipped(key, f"{before[0]} is replaced by {where} of the file, which has the same id"))
        kept[key] = where, documents
    if not kept and not skipped:
        raise Unreadable("it has no rows")
    return Reading([document for _, documents in kept.values() for document in documents], skipped)


def _numbered(name: str, content: bytes) -> Iterator[Numbered]:
    """Each row with how a person finds it, such as 'line 7'."""
    for count, numbered in enumerate(_elements(name, content) or _lines(content), start=1):
        if count > MOST_DOCUMENTS:
            raise Unreadable(f"it has more than {MOST_DOCUMENTS:,} rows: split it")
        yield numbered


def _elements(name: str, content: bytes) -> list[Numbered]:
    """The rows of a JSON array, or of one object over several lines; none where it is neither."""
    start = content.lstrip()[:1]
    try:
        if start == b"[":
            rows = msgspec.json.decode(content, type=list[msgspec.Raw])
            return [(f"row {number}", row) for number, row in enumerate(rows, start=1)]
        if start == b"{" and b"\n" in content.strip():
            return [("row 1", msgspec.json.decode(content, type=msgspec.Raw))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # An array that ends too early; elsewhere it is one bad line, and the others may be good.
        if start == b"[" and name.lower().endswith(".json"):
            raise Unreadable(f"it is no JSON, perhaps half-written: {error}") from error
    return []


def _lines(content: bytes) -> Iterator[Numbered]:
    if b"\n" not in content:
        content = content.replace(b"\r", b"\n")
    lines = enumerate(io.BytesIO(content), start=1)
    return ((f"line {number}", line) for number, line in lines if not line.isspace())


def _documents(name: str, row: bytes | msgspec.Raw, defaults: Defaults) -> list[Document]:
    try:
        found = msgspec.json.decode(row, type=_Row)
        _check_access(row)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"it is not a JSON object: {error}") from error
    except RecursionError as error:
        raise Unreadable("it is not a JSON object: it is nested too deeply") from error
    values = {field: _text(found, field) for field in _SAID}
    said = Said(access=values.pop("access"), **{field: value or "" for field, value in values.items()})
    text = _first(found, _TEXT_FIELDS)
    return documents_of(
        _first(found, _ID_FIELDS), cleaned(text), said, defaults, cleaned(_text(found, "source") or name)
    )


def _check_access(row: bytes | msgspec.Raw) -> None:
    """A row that says who may read it in a field that nobody looks at would be public."""
    fields = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
    for name, value in fields.items():
        elsewhere = name.casefold().strip() == "access" and name != "access"
        if elsewhere or (name in ("meta", "metadata") and b'"access"' in bytes(value).lower()):
            raise Unreadable(f"it says who may read it in {name!r}: write that as 'access' beside its text")


def _first(row: _Row, fields: tuple[str, ...]) -> str:
    texts = (_text(row, field) for field in fields)
    found = next((text for text in texts if text is not None), None)
    if found is None:
        raise Unreadable(f"it has no {fields[0]!r} field")
    return found


def _text(row: _Row, field: str) -> str | None:
    value = getattr(row, field)
    if field in _ID_FIELDS and type(value) is int:
        return str(value)
    if value is None or isinstance(value, str):
        return value
    raise Unreadable(f"its field {field!r} is not a text")
