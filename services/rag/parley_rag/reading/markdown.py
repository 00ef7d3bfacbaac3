"""Markdown with front matter, and plain text. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from parley_proto.documents import split_front_matter
from parley_rag.reading.fields import Said, documents_of
from parley_rag.reading.kinds import identity
from parley_rag.reading.outcome import Defaults, Reading, Unreadable
from parley_rag.reading.text import decoded

# What it says of itself, who may read it above all, would be lost.
_UNCLOSED = re.compile(
    r"\s*---[ \t]*\n(?:title|specialty|language|valid[_-](?:from|until)|access|keywords|updated)[ \t]*:"
    r"(?!.*^---[ \t]*$)",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_ACCESS = re.compile(
    r"^\W{0,8}access[\"']?[ \t]*[:=][ \t]*[\"']?[\w-]{1,60}[\"']?\W{0,4}$", re.MULTILINE | re.IGNORECASE
)
_HEAD = 1_500
_HEADING = re.compile(r"^#[ \t]+(\S.*)$", re.MULTILINE)


def read_markdown(name: str, content: bytes, defaults: Defaults) -> Reading:
    """One article, named by its front matter, its `# ` heading or its file; Unreadable for what is no text.

    The front matter stays in the text: its keywords are found by search.
    """
    text = decoded(content)
    if _UNCLOSED.match(text):
        raise Unreadable("its front matter does not end: write --- on a line of its own below it")
    front, body = split_front_matter(text)
    if front.access is None and _ACCESS.search(text[:_HEAD]):
        raise Unreadable("it seems to say who may read it, but not in front matter between two lines of ---")
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
