"""Documents as chunks: sections at `## ` headings, windows of sentences inside a section. Pure."""

from __future__ import annotations

import re

import msgspec

from parley_proto.documents import split_front_matter
from parley_proto.rag import Document

_FENCE = re.compile(r"\A\s*(```|~~~)")
_HEADING = re.compile(r"\A##[ \t]+(.*?)[ \t#]*\Z")
_TITLE = re.compile(r"\A#[ \t]+")
_LINE = re.compile(r"[^\n]+")
_SENTENCE = re.compile(r"\S.*?(?:[.!?][\"')\]]*(?=\s)|\Z)", re.DOTALL)
_WORD = re.compile(r"\S+")


class Sizes(msgspec.Struct, frozen=True):
    """All in words: of a window, of what two neighbours share, and of the passage around a window that is shown."""

    window: int = 80
    overlap: int = 20
    passage: int = 160


class Section(msgspec.Struct, frozen=True):
    """A part of a document under one heading; `title` is empty for what stands before the first."""

    title: str
    text: str


class Span(msgspec.Struct, frozen=True):
    """A sentence of a section: character offsets and length in words."""

    start: int
    end: int
    words: int


class Chunk(msgspec.Struct, frozen=True):
    """A window with the passage that is shown for it; `number` counts from 0 through the document.

    `indexed` is what the vector stands for and full text finds: title, section, window and the article's keywords,
    without which a tenth more of short questions stay unanswered.
    """

    number: int
    section: str
    section_number: int
    passage: str
    indexed: str


def chunks(document: Document, sizes: Sizes) -> list[Chunk]:
    """Every window of `document`; none for a document without a word."""
    front, body = split_front_matter(document.text)
    found: list[Chunk] = []
    for section_number, section in enumerate(sections(body)):
        spans = spans_of(section.text, sizes.window)
        for first, last in windows(spans, sizes):
            window = section.text[spans[first].start : spans[last].end]
            start, end = widened(spans, first, last, sizes.passage)
            parts = (document.title, section.title, window, front.keywords)
            found.append(
                Chunk(
                    number=len(found),
                    section=section.title,
                    section_number=section_number,
                    passage=section.text[start:end],
                    indexed="\n".join(part for part in parts if part),
                )
            )
    return found


def sections(text: str) -> list[Section]:
    """`text` cut at its `## ` headings, except inside code fences; its `# ` title line is left out."""
    title, fenced = "", False
    lines: list[str] = []
    found: list[Section] = []
    for line in text.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        heading = None if fenced else _HEADING.match(line)
        if heading:
            found.append(Section(title, "\n".join(lines).strip()))
            title, lines = heading.group(1), []
        elif fenced or not _TITLE.match(line):
            lines.append(line)
    found.append(Section(title, "\n".join(lines).strip()))
    return [section for section in found if section.text]


def spans_of(text: str, longest: int) -> list[Span]:
    """The sentences of `text`, line by line; one of more than `longest` words is cut."""
    return [
        piece
        for line in _LINE.finditer(text)
        for sentence in _SENTENCE.finditer(line.group())
        for piece in _pieces(text, line.start() + sentence.start(), line.start() + sentence.end(), longest)
    ]


def windows(spans: list[Span], sizes: Sizes) -> list[tuple[int, int]]:
    """First and last span of each window: about `sizes.window` words, `sizes.overlap` of them shared with the next."""
    found: list[tuple[int, int]] = []
    first = 0
    while first < len(spans):
        last = _grown(spans, first, sizes.window)
        found.append((first, last))
        if last == len(spans) - 1:
            break
        first = _stepped_back(spans, first, last, sizes.overlap)
    return found


def widened(spans: list[Span], first: int, last: int, limit: int) -> tuple[int, int]:
    """Character offsets of a window with its neighbours, following and preceding in turn, up to `limit` words."""
    words = sum(span.words for span in spans[first : last + 1])
    growing = True
    while growing:
        growing = False
        if last + 1 < len(spans) and words + spans[last + 1].words <= limit:
            last, growing = last + 1, True
            words += spans[last].words
        if first > 0 and words + spans[first - 1].words <= limit:
            first, growing = first - 1, True
            words += spans[first].words
    return spans[first].start, spans[last].end


def _pieces(text: str, start: int, end: int, longest: int) -> list[Span]:
    words = list(_WORD.finditer(text, start, end))
    groups = [words[at : at + longest] for at in range(0, len(words), longest)]
    return [Span(group[0].start(), group[-1].end(), len(group)) for group in groups]


def _grown(spans: list[Span], first: int, size: int) -> int:
    words, last = spans[first].words, first
    while last + 1 < len(spans) and words + spans[last + 1].words <= size:
        last += 1
        words += spans[last].words
    return last


def _stepped_back(spans: list[Span], first: int, last: int, overlap: int) -> int:
    """The start of the next window: as many whole sentences back as fit into `overlap` words, at least one on."""
    following, shared = last + 1, 0
    while following - 1 > first and shared + spans[following - 1].words <= overlap:
        following -= 1
        shared += spans[following].words
    return following
