"""Text of others made fit to be quoted: no markup, links, images or control characters. Pure."""

from __future__ import annotations

import html
import re
import unicodedata

from parley_llm_gateway.offline.memo import remembered

_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)|!\[[^\]]*\]\[[^\]]*\]")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)|\[([^\]]*)\]\[[^\]]*\]")
_SCRIPT = re.compile(r"<\s*(script|style)\b.*?<\s*/\s*\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<\s*/?\s*[a-zA-Z!|][^<>]{0,500}>")
_URL = re.compile(r"\b(?:https?|ftp|data|javascript|file)\s*:\s*(?://)?\S+|\bwww\.\S+", re.IGNORECASE)
_MARKS = re.compile(r"[*`~|]{1,}|(?<!\w)_{1,3}(?=\w)|(?<=\w)_{1,3}(?!\w)|^\s{0,3}(?:#{1,6}|>+)\s+", re.MULTILINE)
_LISTED = re.compile(r"^\s*(?:[-+•]|\d{1,2}[.)])\s+", re.MULTILINE)
_SPACE = re.compile(r"\s+")
_STRAY = re.compile(r"\(\s*\)|\[\s*\]|[<>]")
_LONG_NUMBER = re.compile(r"(?:\d[ -]?){12,}\d?")
_ABBREVIATION = re.compile(
    r"\b(?:e\.g|i\.e|etc|approx|no|nr|vs|mr|mrs|ms|dr|st|min|max|incl|excl|[a-z])\.$", re.IGNORECASE
)
_END = re.compile(r"(?<=[.!?…])[\"')\]]{0,2}\s+(?=[\"'(\[]?[A-Z0-9])")


def plain(text: str) -> str:
    """`text` on one line, without anything that a page could run, load or hide."""
    return _SPACE.sub(" ", _stripped(text)).strip()


def lines(text: str) -> list[str]:
    """The lines of `text`, each made plain; markers of lists and headings are gone."""
    marked = _LISTED.sub("", _stripped(text))
    return [line for raw in marked.splitlines() if (line := _SPACE.sub(" ", raw).strip())]


def sentences(text: str) -> list[str]:
    """The sentences of `text`, made plain, in order."""
    found: list[str] = []
    for line in lines(text):
        begun = ""
        for part in _END.split(line):
            begun = f"{begun} {part}".strip()
            if not _ABBREVIATION.search(begun):
                found.append(begun)
                begun = ""
        if begun:
            found.append(begun)
    return found


def quoted(text: str, longest: int = 60) -> str:
    """A few of the customer's own words, fit to be repeated: plain, short, without long numbers or quotes."""
    bare = _LONG_NUMBER.sub("…", plain(text)).replace("“", "").replace("”", "").replace('"', "").strip(" .,!?;:")
    if len(bare) <= longest:
        return bare
    return bare[:longest].rsplit(" ", 1)[0].rstrip(" .,!?;:") + " …"


def sentence(text: str) -> str:
    """`text` with a full stop, if it has no end of its own."""
    text = plain(text)
    return text if not text or text[-1] in ".!?…" else f"{text}."


@remembered
def _stripped(text: str) -> str:
    shown = html.unescape(unicodedata.normalize("NFC", text))
    shown = "".join(char if char == "\n" or _visible(char) else " " if char in "\t\r" else "" for char in shown)
    for pattern, instead in (
        (_SCRIPT, " "),
        (_IMAGE, " "),
        (_LINK, r"\1\2"),
        (_TAG, " "),
        (_URL, " "),
        (_MARKS, " "),
        (_STRAY, " "),
    ):
        shown = pattern.sub(instead, shown)
    return shown


def _visible(char: str) -> bool:
    """False for control, format (zero width, direction, tags), surrogate and private characters."""
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co")
