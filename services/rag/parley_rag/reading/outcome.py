"""What goes into reading a file and what comes out."""

from __future__ import annotations

import msgspec

from parley_proto.errors import PermanentError
from parley_proto.rag import PUBLIC, Document, Skipped


class Defaults(msgspec.Struct, frozen=True):
    """What holds for documents that do not say otherwise, given by whoever takes them in."""

    specialty: str = "general"
    language: str = ""
    access: str = PUBLIC
    valid_from: str = ""
    valid_until: str = ""


class Reading(msgspec.Struct, frozen=True):
    """The documents of a file, and what of it was not taken and why."""

    documents: list[Document]
    skipped: list[Skipped]


class Slice(msgspec.Struct, frozen=True):
    """Some documents of a file. `next` is where the next slice starts; None after the last."""

    documents: list[Document]
    skipped: list[Skipped]
    next: int | None = None


class Unreadable(PermanentError):
    """Why a file or a row is not taken: one clause for a person, such as 'it is empty'."""

    code = "unreadable_document"
