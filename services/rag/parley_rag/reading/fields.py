"""What a document says of itself and what was said for it, put together. Pure."""

from __future__ import annotations

import re

import msgspec

from parley_proto.rag import PUBLIC, Document
from parley_rag.parts import PART
from parley_rag.reading.outcome import Defaults, Unreadable
from parley_rag.reading.text import CONTROL, one_line

LONGEST_TEXT = 1_000_000
LONGEST_ID = 300
_LONGEST_TITLE = 200
_BREAKS = ("\n## ", "\n\n", "\n", " ")
_LANGUAGE = re.compile(r"\A([A-Za-z]{2,3})((?:-[A-Za-z0-9]{2,8})*)\Z")


class Said(msgspec.Struct, frozen=True):
    """What a document says of itself; empty for nothing, and None for nothing about access."""

    title: str = ""
    specialty: str = ""
    language: str = ""
    valid_from: str = ""
    valid_until: str = ""
    access: str | None = None


def documents_of(document_id: str, text: str, said: Said, defaults: Defaults, source: str) -> list[Document]:
    """The document, in parts `id#part-2` and so on where `text` is longer than a million characters.

    Unreadable for an id or an access that can't be, and where there is no text.
    """
    if not text.strip():
        raise Unreadable("it has no text")
    parts = parts_of(text, LONGEST_TEXT)
    _check_id(_part_id(document_id, len(parts)))
    access, title = narrowed(said.access, defaults.access), one_line(said.title)[:_LONGEST_TITLE]
    return [
        Document(
            document_id=_part_id(document_id, number),
            title=title if number == 1 else f"{title} (part {number})",
            text=part,
            specialty=said.specialty or defaults.specialty,
            language=said.language or defaults.language,
            valid_from=said.valid_from or defaults.valid_from,
            valid_until=said.valid_until or defaults.valid_until,
            access=access,
            source=source,
        )
        for number, part in enumerate(parts, start=1)
    ]


def narrowed(said: str | None, given: str) -> str:
    """The group that may read a document: `said` by itself, `given` by whoever takes it in.

    A document may narrow what was given, never widen it: of 'public' any group is a part, and 'public' in a document
    changes nothing. Whether one group is a part of another nobody knows here, so a document for another group than
    the one given is Unreadable.
    """
    if said is None or said == given:
        return given
    if not said:
        raise Unreadable("its access is empty: name the group that may read it, or leave the field out")
    if given == PUBLIC:
        return said
    if said == PUBLIC:
        return given
    raise Unreadable(f"its access is {said[:40]!r}, but it was sent in for {given!r}: send it in by itself")


def language_tag(text: str) -> str:
    """A language as pages and PDFs name it ('EN_us' is 'en-us'); empty for what is none."""
    found = _LANGUAGE.match(text.strip().replace("_", "-"))
    return found.group(1).lower() + found.group(2) if found else ""


def parts_of(text: str, longest: int) -> list[str]:
    """`text` in parts of at most `longest` characters, cut before a heading, a paragraph, a line or a word."""
    parts: list[str] = []
    at = 0
    while len(text) - at > longest:
        end = _break(text, at + longest // 2, at + longest)
        parts.append(text[at:end])
        at = end
    return [part for part in [*parts, text[at:]] if part.strip()]


def _break(text: str, least: int, most: int) -> int:
    places = (text.rfind(mark, least, most) for mark in _BREAKS)
    return next((place + 1 for place in places if place >= 0), most)


def _part_id(document_id: str, number: int) -> str:
    return document_id if number == 1 else f"{document_id}{PART}{number}"


def _check_id(document_id: str) -> None:
    if not document_id.strip():
        raise Unreadable("it has no document_id")
    if len(document_id) > LONGEST_ID:
        raise Unreadable(f"its document_id is longer than {LONGEST_ID} characters")
    if CONTROL.search(document_id):
        raise Unreadable("its document_id has control characters")
