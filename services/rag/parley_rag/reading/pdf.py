"""PDF files that have a text layer, page by page. Pure."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from pypdf import PdfReader
from pypdf.errors import DependencyError
from pypdf.generic import Destination

from parley_proto.rag import Skipped
from parley_rag.reading.fields import Said, documents_of, language_tag
from parley_rag.reading.kinds import identity
from parley_rag.reading.markdown import title_of
from parley_rag.reading.outcome import Defaults, Reading, Unreadable
from parley_rag.reading.text import HALF_WRITTEN, cleaned, one_line

# The end mark is in the last 1024 bytes (PDF 32000-1:2008, annex H.3); some writers add a little.
_TAIL = 2_048
_NO_TEXT = "it has no text layer: run text recognition (OCR) over it and send it again"
_NUMBERING = 12
_HYPHENATED = re.compile(r"(?<=[a-zà-ÿ])-\n(?=[a-zà-ÿ])")
_WRAPPED = re.compile(r"(?<=[\w,;)])[ \t]*\n(?=[a-zà-ÿ(])")
_NO_TITLE = re.compile(r"\A(?:untitled.*|document\d*|.*\.(?:docx?|indd|tex|qxd|xlsx?|pptx?)|)\Z", re.IGNORECASE)

Headings = Mapping[int, Sequence[str]]


def read_pdf(name: str, content: bytes, defaults: Defaults) -> Reading:
    """The file as one document with a section for each page, and for each heading of its outline.

    A page that is damaged is skipped. Unreadable for a file that is half-written, encrypted or without text.
    """
    reader = _opened(content)
    pages, skipped = _pages(reader, name)
    if not any(text.strip() for text in pages.values()):
        raise Unreadable(skipped[0].reason if skipped else _NO_TEXT)
    said = Said(title=_title(reader) or title_of(name), language=_language(reader))
    text = "\n\n".join(_sections(pages, _outline(reader)))
    return Reading(documents_of(identity(name), text, said, defaults, name), skipped)


def _opened(content: bytes) -> PdfReader:
    if b"%%EOF" not in content[-_TAIL:]:
        raise Unreadable(HALF_WRITTEN)
    reader = PdfReader(io.BytesIO(content))
    try:
        locked = reader.is_encrypted and not reader.decrypt("")
    except (DependencyError, NotImplementedError) as error:
        raise Unreadable("it is encrypted in a way that can't be opened here: send it without") from error
    if locked:
        raise Unreadable("it is encrypted: remove its password and send it again")
    return reader


def _pages(reader: PdfReader, name: str) -> tuple[dict[int, str], list[Skipped]]:
    pages: dict[int, str] = {}
    skipped: list[Skipped] = []
    for number, page in enumerate(reader.pages, start=1):
        try:
            pages[number] = cleaned(page.extract_text())
        except MemoryError:
            raise
        except Exception as error:  # pypdf raises whatever a damaged page makes of its code
            skipped.append(Skipped(f"{name} page {number}", f"it is damaged: {type(error).__name__}"))
    return pages, skipped


def _sections(pages: Mapping[int, str], headings: Headings) -> Iterator[str]:
    running = ""
    for number, text in pages.items():
        lines = text.strip().split("\n")
        for title in headings.get(number, ()):
            found = next((index for index, line in enumerate(lines) if _is_heading(line, title)), None)
            if found is None:
                running = title
            else:
                lines[found] = f"\n{_heading(title, number)}\n"
        if not lines[0].startswith("\n"):
            lines.insert(0, f"{_heading(running, number)}\n")
        yield _unwrapped("\n".join(lines))
        running = next(reversed(headings.get(number, ())), running)


def _unwrapped(text: str) -> str:
    """`text` with words and sentences put together that the page broke over lines."""
    return _WRAPPED.sub(" ", _HYPHENATED.sub("", text)).strip()


def _is_heading(line: str, title: str) -> bool:
    """Whether a line is a title of the outline, which may lack its numbering."""
    words = " ".join(line.split()).casefold()
    return words.endswith(title.casefold()) and len(words) <= len(title) + _NUMBERING


def _heading(title: str, page: int) -> str:
    return f"## {title} (page {page})" if title else f"## Page {page}"


def _outline(reader: PdfReader) -> Headings:
    """The titles of the outline by page; none where there is no outline or it is damaged."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    try:
        for entry in _flat(reader.outline):
            number, title = reader.get_destination_page_number(entry), one_line(entry.title or "")
            if number is not None and number >= 0 and title:
                found[number + 1].append(title)
    except MemoryError:
        raise
    except Exception:  # a damaged outline costs the headings, not the text
        return {}
    return found


def _flat(outline: Sequence[object]) -> Iterator[Destination]:
    for entry in outline:
        if isinstance(entry, list):
            yield from _flat(entry)
        elif isinstance(entry, Destination):
            yield entry


def _title(reader: PdfReader) -> str:
    """The title in the metadata, unless it is only what a word processor left there."""
    title = reader.metadata.title if reader.metadata else None
    shown = one_line(title if isinstance(title, str) else "")
    return "" if _NO_TITLE.match(shown) else shown


def _language(reader: PdfReader) -> str:
    return language_tag(str(reader.root_object.get("/Lang") or ""))
