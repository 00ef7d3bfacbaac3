"""Front matter: the lines `key: value` between `---` at the top of a Document's text. Pure."""

from __future__ import annotations

import re

import msgspec

_FRONT = re.compile(r"\A\s*^---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
# What is indented or a list belongs to the key above it.
_PAIR = re.compile(r"\A([A-Za-z][A-Za-z0-9_ -]{0,39}?)[ \t]*:(?:[ \t]+(.*))?\Z")
_PLAIN = re.compile(r"\A[a-z_]+\Z")


class FrontMatter(msgspec.Struct, frozen=True):
    """What an article says of itself; `access` is None where it says nothing about it, which is not the same as ''."""

    title: str = ""
    specialty: str = ""
    updated: str = ""
    keywords: str = ""
    language: str = ""
    valid_from: str = ""
    valid_until: str = ""
    access: str | None = None


def split_front_matter(text: str) -> tuple[FrontMatter, str]:
    """The front matter of `text` and what follows it; text that has none, or another kind, comes back whole.

    Keys are taken in any case and with dashes or underscores: an `Access:` that is overlooked would make an article
    public.
    """
    found = _FRONT.match(text)
    pairs = _pairs(found.group(1)) if found else []
    known = {_field(key): value for key, value in pairs if _field(key) in FrontMatter.__struct_fields__}
    if len({value for key, value in pairs if _field(key) == "access"}) > 1:
        # Nobody knows which is meant: an empty access is refused by whoever reads the article.
        known["access"] = ""
    if not found or not (known or (pairs and all(_PLAIN.match(key) for key, _ in pairs))):
        return FrontMatter(), text
    return FrontMatter(**known), text[found.end() :]


def _pairs(block: str) -> list[tuple[str, str]]:
    matches = filter(None, map(_PAIR.match, block.splitlines()))
    return [(found.group(1), (found.group(2) or "").strip().strip("\"'")) for found in matches]


def _field(key: str) -> str:
    return key.lower().replace("-", "_").replace(" ", "_")
