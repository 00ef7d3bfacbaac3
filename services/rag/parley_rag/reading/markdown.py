"""Markdown with front matter, and plain text. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from parley_proto.documents import split_front_matter
from parley_rag.reading.fields import Said, documents_of
from parley_rag.reading.kinds import identity
from parley_rag.reading.outcome import Defaults, Reading
from parley_rag.reading.text import decoded

_HEADING = re.compile(r"^#[ \t]+(\S.*)$", re.MULTILINE)


def read_markdown(name: str, content: bytes, defaults: Defaults) -> Reading:
    """One article, named by its front matter, its `# ` heading or its file; Unreadable for what is no text.

    The front matter stays in the text: its keywords are found by search.
    """
    text = decoded(content)
    front, body = split_front_matter(text)
    said = Said(
        title=front.title or _heading(body) or title_of(name),
        specialty=front.specialty,
        language=front.language,
        valid_from=front.valid_from,
        valid_until=front.valid_until,
        access=front.access,
    )
    return Reading(documents_of(identity(name), text if body.strip() else "", said, defaults, name), [])


def title_of(name: str) -> str:
    """A title out of a file's name: 'billing/refund-times.md' is 'refund times'."""
    return PurePosixPath(name).stem.replace("-", " ").replace("_", " ")


def _heading(body: str) -> str:
    found = _HEADING.search(body)
    return found.group(1).rstrip(" \t#") if found else ""
