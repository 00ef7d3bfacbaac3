"""What kind of file something is: by its content first, then by its name. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from parley_rag.reading.outcome import Unreadable
from parley_rag.reading.text import NEITHER, encoding_mark, looks_binary

Kind = Literal["markdown", "html", "pdf", "rows"]

MARKDOWN = (".md", ".markdown", ".txt")
ROWS = (".jsonl", ".ndjson", ".json")
_HTML = (".html", ".htm", ".xhtml")
_KNOWN = ".md, .txt, .html, .pdf, .jsonl or .json"
_HEAD = 4_096

_UNPACK = "unpack it and send what is inside"
_SAVE = "save it as PDF or text"
_DECRYPT = "decrypt it and send it again"
_SIGNATURES = (
    (b"PK\x03\x04", f"it is a ZIP archive or an Office file: {_UNPACK}, or {_SAVE}"),
    (b"PK\x05\x06", "it is an empty ZIP archive"),
    (b"\x1f\x8b", f"it is compressed with gzip: {_UNPACK}"),
    (b"BZh91AY", f"it is compressed with bzip2: {_UNPACK}"),
    (b"\xfd7zXZ\x00", f"it is compressed with xz: {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"it is compressed with zstd: {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"it is a 7z archive: {_UNPACK}"),
    (b"Rar!\x1a\x07", f"it is a RAR archive: {_UNPACK}"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"it is an Office file, perhaps encrypted: {_SAVE}"),
    (b"{\\rtf", f"it is an RTF file: {_SAVE}"),
    (b"%!PS", f"it is a PostScript file: {_SAVE}"),
    (b"\x89PNG\r\n\x1a\n", "it is a PNG picture, not text"),
    (b"\xff\xd8\xff", "it is a JPEG picture, not text"),
    (b"GIF87a", "it is a GIF picture, not text"),
    (b"GIF89a", "it is a GIF picture, not text"),
    (b"\x7fELF", "it is a program, not text"),
    (b"MZ\x90\x00", "it is a program, not text"),
    (b"SQLite format 3\x00", "it is an SQLite database, not text"),
    (b"PAR1", "it is a Parquet file, not text"),
    (b"-----BEGIN PGP MESSAGE", f"it is encrypted with PGP: {_DECRYPT}"),
    (b"age-encryption.org/", f"it is encrypted with age: {_DECRYPT}"),
    (b"Salted__", f"it is encrypted: {_DECRYPT}"),
)


def kind_of(name: str, content: bytes) -> Kind:
    """The kind of the file `name`; Unreadable says what else it is."""
    if not content:
        raise Unreadable("it is empty")
    refusal = next((reason for magic, reason in _SIGNATURES if content.startswith(magic)), "")
    if refusal:
        raise Unreadable(refusal)
    head, suffix = content[:_HEAD], PurePosixPath(name).suffix.lower()
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"%PDF-") or (suffix == ".pdf" and b"%PDF-" in head):
        return "pdf"
    if looks_binary(head) and not encoding_mark(head):
        raise Unreadable(NEITHER)
    return "html" if _is_html(head) else _by_suffix(suffix)


def identity(name: str) -> str:
    """The id of the one document in the file `name`: 'billing/refunds.md' is 'billing/refunds'.

    Other kinds than Markdown and text keep their suffix, so that files of one name and two kinds are two documents.
    """
    path = PurePosixPath(name.lstrip("/"))
    if not path.name:
        return ""
    return str(path.with_suffix("")) if path.suffix.lower() in MARKDOWN else str(path)


def _by_suffix(suffix: str) -> Kind:
    if suffix in _HTML:
        return "html"
    if suffix in ROWS:
        return "rows"
    if suffix in MARKDOWN or not suffix:
        return "markdown"
    if suffix == ".pdf":
        raise Unreadable("it is named .pdf but is no PDF")
    raise Unreadable(f"it is of a kind that can't be ingested: use {_KNOWN}")


def _is_html(head: bytes) -> bool:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html")) or (start.startswith(b"<?xml") and b"<html" in start)
