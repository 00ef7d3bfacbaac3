"""Long documents are stored in parts, each with an id that names the whole. Pure."""

from __future__ import annotations

PART = "#part-"


def whole_of(document_id: str) -> tuple[str, int]:
    """The id of the whole document and the number of this part, from 1."""
    whole, mark, number = document_id.rpartition(PART)
    return (whole, int(number)) if mark and number.isdecimal() else (document_id, 1)
