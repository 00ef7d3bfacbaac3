"""Documents as chunks: sections at headings, windows of sentences inside a section. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec

from parley_proto.documents import split_front_matter
from parley_proto.rag import Document

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_HEADING = re.compile(r"(#{1,4})[ \t]+(.*)")
_ROW = re.compile(r"[ \t]*\|")
_LINE = re.compile(r"[^\n]+")
_SENTENCE = re.compile(r"\S.*?(?:[.!?][\"')\]]*(?=\s)|\Z)", re.DOTALL)
# What is longer counts as several words: a line without a space is cut too. Full text keeps no longer word either.
_WORD = re.compile(r"\S{1,40}")


class Sizes(msgspec.Struct, frozen=True):
    """All in words: of a window, of what two neighbours share, and of the passage around a window that is shown."""

    window: int = 60
    overlap: int = 30
    passage: int = 160


class Section(msgspec.Struct, frozen=True):
    """A part of a document under one heading, from the character `start` on.

    `title` names the headings above it, 'Refunds > Card'; it is empty for what stands before the first.
    """

    title: str
    text: str
    start: int = 0


class Span(msgspec.Struct, frozen=True):
    """A sentence or a row: character offsets in its section and length in words.

    Spans of one `block` (a table or a code fence) are shown together; it is negative outside of them.
    """

    start: int
    end: int
    words: int
    block: int = -1


class Chunk(msgspec.Struct, frozen=True):
    """A window with the passage that is shown for it; `number` counts from 0 through the document.

    `passage` is `text[start:end]` of the Document, whose front matter counts. `indexed` is what the vector stands for
    and full text finds: title, section, window and the article's keywords, without which a tenth more of short
    questions stay unanswered. `heading` is title and section alone, for a question that repeats them; the same as
    `indexed` where there is neither.
    """

    number: int
    section: str
    section_number: int
    passage: str
    start: int
    end: int
    indexed: str
    heading: str


def chunks(document: Document, sizes: Sizes) -> list[Chunk]:
    """Every window of `document`; none for a document without a word."""
    front, body = split_front_matter(document.text)
    before = len(document.text) - len(body)
    found: list[Chunk] = []
    for section_number, section in enumerate(sections(body)):
        names = [name for name in (document.title, section.title) if name]
        spans = spans_of(section.text, sizes)
        for first, last in windows(spans, sizes):
            window = section.text[spans[first].start : spans[last].end]
            start, end = widened(spans, first, last, sizes.passage)
            indexed = "\n".join([*names, window, front.keywords] if front.keywords else [*names, window])
            found.append(
                Chunk(
                    number=len(found),
                    section=section.title,
                    section_number=section_number,
                    passage=section.text[start:end],
                    start=before + section.start + start,
                    end=before + section.start + end,
                    indexed=indexed,
                    heading=heading_of(document.title, section.title, indexed),
                )
            )
    return found


def heading_of(title: str, section: str, indexed: str) -> str:
    """Title and section alone, as they are embedded; what is indexed where there is neither."""
    return "\n".join(name for name in (title, section) if name) or indexed


def sections(text: str) -> list[Section]:
    """`text` cut at its headings of the levels 1 to 4, except inside code fences.

    The first heading of level 1 is the document's title and names no section.
    """
    path: list[tuple[int, str]] = []
    found: list[Section] = []
    start, titled = 0, False
    for line, level, name in _headings(text):
        found.append(_section(path, text, start, line.start()))
        path = [above for above in path if above[0] < level]
        if level > 1 or titled:
            path.append((level, name))
        titled = titled or level == 1
        start = line.end()
    found.append(_section(path, text, start, len(text)))
    return [section for section in found if section.text]


def spans_of(text: str, sizes: Sizes) -> list[Span]:
    """The sentences of `text`, line by line, the rows of its tables and fences; one longer than a window is cut."""
    found: list[Span] = []
    for block, (start, end, fixed) in enumerate(_blocks(text)):
        if not fixed:
            found += _sentences(text, start, end, sizes.window)
            continue
        whole = _pieces(text, start, end, sizes.passage)
        if len(whole) == 1 and whole[0].words <= sizes.window:
            found += whole
        else:
            # What is longer than a passage can't be shown in one piece anyway: it is cut between rows.
            together = block if len(whole) == 1 else -1
            found += _rows(text, start, end, sizes.window, together)
    return found


def windows(spans: Sequence[Span], sizes: Sizes) -> list[tuple[int, int]]:
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


def widened(spans: Sequence[Span], first: int, last: int, limit: int) -> tuple[int, int]:
    """Character offsets of a window with its neighbours, following and preceding in turn, up to `limit` words.

    A table or code fence that the window is part of is always completed.
    """
    first, last = _first_of_block(spans, first), _last_of_block(spans, last)
    words = _words(spans, first, last)
    growing = True
    while growing:
        growing = False
        if last + 1 < len(spans):
            following = _last_of_block(spans, last + 1)
            more = _words(spans, last + 1, following)
            if words + more <= limit:
                last, words, growing = following, words + more, True
        if first > 0:
            preceding = _first_of_block(spans, first - 1)
            more = _words(spans, preceding, first - 1)
            if words + more <= limit:
                first, words, growing = preceding, words + more, True
    return spans[first].start, spans[last].end


def _headings(text: str) -> Iterator[tuple[re.Match[str], int, str]]:
    """Each heading's line, level and name."""
    fence = ""
    for line in _LINE.finditer(text):
        mark = _FENCE.match(line.group())
        if mark:
            fence = _fence_after(fence, mark.group(1), line.group())
        heading = None if fence or mark else _HEADING.match(line.group())
        if heading:
            yield line, len(heading.group(1)), heading.group(2).rstrip(" \t#")


def _fence_after(fence: str, mark: str, line: str) -> str:
    """The fence that is open after `line`, which has `mark`: it closes one of its kind that is not longer."""
    if not fence:
        return mark
    closes = mark.startswith(fence) and line.strip() == mark
    return "" if closes else fence


def _section(path: list[tuple[int, str]], text: str, start: int, end: int) -> Section:
    part = text[start:end]
    content = part.strip()
    title = " > ".join(name for _, name in path if name)
    return Section(title, content, start + len(part) - len(part.lstrip()))


def _blocks(text: str) -> Iterator[tuple[int, int, bool]]:
    """Start, end and whether it is a table or a code fence, for each part of `text`."""
    fence, number = "", 0
    lines: list[tuple[tuple[str, int], re.Match[str]]] = []
    for line in _LINE.finditer(text):
        mark = _FENCE.match(line.group())
        if mark and not fence:
            number += 1
        inside = bool(mark or fence)
        if mark:
            fence = _fence_after(fence, mark.group(1), line.group())
        kind = "fence" if inside else "table" if _ROW.match(line.group()) else ""
        lines.append(((kind, number if inside else 0), line))
    for (kind, _), run in groupby(lines, key=lambda pair: pair[0]):
        members = [line for _, line in run]
        yield members[0].start(), members[-1].end(), bool(kind)


def _sentences(text: str, start: int, end: int, longest: int) -> list[Span]:
    return [
        piece
        for line in _LINE.finditer(text, start, end)
        for sentence in _SENTENCE.finditer(line.group())
        for piece in _pieces(text, line.start() + sentence.start(), line.start() + sentence.end(), longest)
    ]


def _rows(text: str, start: int, end: int, longest: int, block: int) -> list[Span]:
    return [
        msgspec.structs.replace(piece, block=block)
        for line in _LINE.finditer(text, start, end)
        for piece in _pieces(text, line.start(), line.end(), longest)
    ]


def _pieces(text: str, start: int, end: int, longest: int) -> list[Span]:
    words = list(_WORD.finditer(text, start, end))
    groups = [words[at : at + longest] for at in range(0, len(words), longest)]
    return [Span(group[0].start(), group[-1].end(), len(group)) for group in groups]


def _grown(spans: Sequence[Span], first: int, size: int) -> int:
    words, last = spans[first].words, first
    while last + 1 < len(spans) and words + spans[last + 1].words <= size:
        last += 1
        words += spans[last].words
    return last


def _stepped_back(spans: Sequence[Span], first: int, last: int, overlap: int) -> int:
    """The start of the next window: as many whole sentences back as fit into `overlap` words, at least one on."""
    following, shared = last + 1, 0
    while following - 1 > first and shared + spans[following - 1].words <= overlap:
        following -= 1
        shared += spans[following].words
    return following


def _first_of_block(spans: Sequence[Span], at: int) -> int:
    while at > 0 and spans[at].block >= 0 and spans[at - 1].block == spans[at].block:
        at -= 1
    return at


def _last_of_block(spans: Sequence[Span], at: int) -> int:
    while at + 1 < len(spans) and spans[at].block >= 0 and spans[at + 1].block == spans[at].block:
        at += 1
    return at


def _words(spans: Sequence[Span], first: int, last: int) -> int:
    return sum(span.words for span in spans[first : last + 1])
