"""Files as Documents: Markdown with front matter, plain text, and JSONL rows. Pure: it reads text, not disks."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import msgspec

from parley_proto.errors import PermanentError
from parley_proto.rag import Document

MARKDOWN = (".md", ".markdown", ".txt")
JSONL = (".jsonl", ".ndjson")
SUFFIXES = MARKDOWN + JSONL

_ID_FIELDS = ("document_id", "passage_id", "doc_id", "id")
_TEXT_FIELDS = ("text", "content")
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_KEY = re.compile(r"\A[a-z_]+\Z")


class FrontMatter(msgspec.Struct, frozen=True):
    """What stands between the `---` lines at the top of an article."""

    title: str = ""
    specialty: str = ""
    updated: str = ""
    keywords: str = ""


def parse(name: str, text: str) -> list[Document]:
    """The documents of the file `name` ('billing/refunds.md'); PermanentError says what can't be read and where."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in JSONL:
        return parse_jsonl(name, text)
    if suffix in MARKDOWN:
        return [parse_markdown(name, text)]
    known = ", ".join(SUFFIXES)
    raise PermanentError(f"{name} is of a kind that can't be ingested: use one of {known}.", code="unreadable_document")


def parse_markdown(name: str, text: str) -> Document:
    """One article. Its id is `name` without the suffix; the front matter stays in the text for `split_front_matter`."""
    normal = _newlines(text)
    front, body = split_front_matter(normal)
    heading = _HEADING.search(body)
    path = PurePosixPath(name)
    title = front.title or (heading.group(1) if heading else "") or path.stem.replace("-", " ")
    identity = str(path.with_suffix(""))
    return Document(document_id=identity, title=title, text=normal, specialty=front.specialty or "general")


def parse_jsonl(name: str, text: str) -> list[Document]:
    """One document a line, with `document_id` (or `passage_id`, `doc_id`, `id`), `text`, and a title and specialty."""
    lines = enumerate(_newlines(text).split("\n"), start=1)
    return [_row(f"{name} line {number}", line) for number, line in lines if line.strip()]


def split_front_matter(text: str) -> tuple[FrontMatter, str]:
    """The front matter of `text` and what follows it; text that has none, or another kind, comes back whole."""
    found = _FRONT.match(text)
    if not found:
        return FrontMatter(), text
    pairs = (line.partition(":") for line in found.group(1).splitlines() if line.strip())
    values = {key.strip(): value.strip().strip("\"'") for key, colon, value in pairs if colon}
    if not values or not all(_KEY.match(key) for key in values):
        return FrontMatter(), text
    known = {key: value for key, value in values.items() if key in FrontMatter.__struct_fields__}
    return FrontMatter(**known), text[found.end() :]


def _row(where: str, line: str) -> Document:
    try:
        row = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise PermanentError(f"{where} is not a JSON object: {error}.", code="unreadable_document") from error
    values = {
        "document_id": _first(where, row, _ID_FIELDS),
        "title": row.get("title") or "",
        "text": _first(where, row, _TEXT_FIELDS),
        "specialty": row.get("specialty") or "general",
    }
    try:
        return msgspec.convert(values, Document)
    except msgspec.ValidationError as error:
        raise PermanentError(f"{where} is not a document: {error}.", code="unreadable_document") from error


def _first(where: str, row: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if name in row:
            return row[name]
    raise PermanentError(f"{where} has no {names[0]!r} field.", code="unreadable_document")


def _newlines(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
