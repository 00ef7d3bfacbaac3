"""PDF files for tests, written page by page."""

from __future__ import annotations

import io
from collections.abc import Sequence

from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

_FONT = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}


def writer(*pages: str, outline: Sequence[tuple[str, int]] = (), title: str = "") -> PdfWriter:
    """A PDF with one page a text; `outline` holds titles with the index of their page."""
    made = PdfWriter()
    for text in pages:
        page = made.add_blank_page(612, 792)
        font = DictionaryObject({NameObject(key): NameObject(value) for key, value in _FONT.items()})
        fonts = DictionaryObject({NameObject("/F1"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        shown = " ".join(f"({line}) Tj T*" for line in text.split("\n"))
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 14 TL 50 750 Td {shown} ET".encode())
        page[NameObject("/Contents")] = made._add_object(stream)
    for name, index in outline:
        made.add_outline_item(title=name, page_number=index)
    if title:
        made.add_metadata({"/Title": title})
    return made


def content(made: PdfWriter) -> bytes:
    file = io.BytesIO()
    made.write(file)
    return file.getvalue()


def pdf(*pages: str, outline: Sequence[tuple[str, int]] = (), title: str = "") -> bytes:
    return content(writer(*pages, outline=outline, title=title))
