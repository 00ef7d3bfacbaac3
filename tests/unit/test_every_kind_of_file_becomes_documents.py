"""HTML pages, PDF files, and what is refused with its reason."""

from __future__ import annotations

import gzip
import io
import json
import zipfile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paper_pdf import content, pdf, writer

from parley_proto.rag import Document
from parley_rag.chunking import sections
from parley_rag.reading import LARGEST, read

PAGE = """<!DOCTYPE html><html lang="en_GB"><head><title>Refunds | Shop</title></head><body>
<nav>Home</nav><header><h1>Refunds</h1></header>
<p>Money comes <a href="https://evil.example/">back</a> in 5&nbsp;days for item_no *7*. <img src="x" alt="secret"></p>
<h2>By card</h2><ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul>
<h3>Detail</h3><table><tr><th>Country</th><th>Days</th></tr><tr><td>France</td><td>3</td></tr></table>
<h2>By bank</h2><p>Slower.</p><footer>Imprint</footer></body></html>"""


def only(name: str, data: bytes) -> Document:
    """The one document of a file of which nothing is skipped."""
    reading = read(name, data)
    assert reading.skipped == []
    [document] = reading.documents
    return document


def refusal(name: str, data: bytes) -> str:
    """Why nothing of a file is taken."""
    reading = read(name, data)
    assert reading.documents == []
    [skipped] = reading.skipped
    return skipped.reason


def test_a_page_becomes_sections_with_its_lists_and_tables() -> None:
    document = only("help/refunds.html", PAGE.encode())
    assert (document.document_id, document.title, document.language) == ("help/refunds.html", "Refunds | Shop", "en-GB")
    first, card, detail, bank = sections(document.text)
    assert (first.title, first.text) == ("", "Money comes back in 5\xa0days for item_no *7*.")
    assert card.title == "By card"
    assert "- one\n  - inner\n- two" in card.text
    assert detail.title == "By card > Detail" and "| France | 3 |" in detail.text
    assert (bank.title, bank.text) == ("By bank", "Slower.")


def test_a_page_is_known_by_its_content_and_named_by_its_heading() -> None:
    document = only("page.txt", b"\n<HTML><body><h1>Opening hours</h1><h3>Today</h3>From nine.</body>")
    assert (document.title, document.text) == ("Opening hours", "## Today\n\nFrom nine.")


@pytest.mark.parametrize(
    "hidden",
    [
        '<p style="display: none">SECRET</p>',
        '<p style="color:red; DISPLAY : /* x */ none !important">SECRET</p>',
        '<p style="visibility:hidden">SECRET</p>',
        '<p style="opacity:0.0">SECRET</p>',
        '<p style="font-size:0px">SECRET</p>',
        '<p style="position:absolute;left:-9999px">SECRET</p>',
        '<p style="' + "a:b;" * 1_000 + 'display:none">SECRET</p>',
        "<div hidden><p>SECRET</p></div>",
        '<div aria-hidden="True"><div><p>SECRET</p></div></div>',
        "<!-- SECRET -->",
        "<![CDATA[SECRET]]>",
        "<script>SECRET</script>",
        "<style>SECRET</style>",
        "<template>SECRET</template>",
        "<noscript>SECRET</noscript>",
        "<aside>SECRET</aside>",
        "<form><label>SECRET</label></form>",
        "<dialog>SECRET</dialog>",
        "<svg><text>SECRET</text></svg>",
        '<div role="navigation">SECRET</div>',
        '<img alt="SECRET" src="x">',
        '<a href="https://host.example/SECRET" title="SECRET">link</a>',
        '<meta name="description" content="SECRET">',
    ],
)
def test_what_a_reader_does_not_see_is_left_out(hidden: str) -> None:
    text = only("a.html", f"<html><body><p>Before</p>{hidden}<p>After</p></body></html>".encode()).text
    assert "SECRET" not in text
    assert text.startswith("Before") and text.endswith("After")


def test_what_a_reader_does_see_stays() -> None:
    shown = '<p style="opacity:0.9;font-size:0.8em;left:-10px">Shown</p><dialog open>Asked</dialog><main></main>'
    assert only("a.html", shown.encode()).text == "Shown\n\nAsked"


def test_the_main_part_of_a_page_is_all_that_counts() -> None:
    assert only("a.html", b"<body><div>Menu</div><main><p>Text</p></main><div>Ads</div></body>").text == "Text"


def test_a_page_is_read_in_the_encoding_that_it_names() -> None:
    page = '<html><head><meta charset="shift_jis"></head><body>返品は三十日以内に</body></html>'
    assert only("a.html", page.encode("shift_jis")).text == "返品は三十日以内に"


def test_a_page_without_visible_text_or_end_is_refused() -> None:
    assert refusal("a.html", b"<html><body hidden>x</body></html>") == "it has no text that a reader would see"
    assert refusal("a.html", PAGE.encode()[:300]) == "it is half-written: send it again"
    assert refusal("a.html", b"<p>Text</p><!-- SECRET") == "it is half-written: send it again"
    assert refusal("a.html", b"<html>" + b"<div>" * 3_000 + b"x") == "it is nested too deeply"


def test_a_pdf_becomes_a_section_a_page() -> None:
    document = only("man-ual.pdf", pdf("We ship infor-\nmation every\nday.", "Second page."))
    assert (document.document_id, document.title) == ("man-ual.pdf", "man ual")
    pages = [(section.title, section.text) for section in sections(document.text)]
    assert pages == [("Page 1", "We ship information every day."), ("Page 2", "Second page.")]


def test_the_outline_of_a_pdf_names_its_sections() -> None:
    outline = [("Start", 0), ("Refunds", 1), ("Fees", 1)]
    made = pdf(
        "Welcome.", "2.1 Refunds\nmoney back.\n2.2 Fees\nOne euro.", "Two euros.", outline=outline, title="Guide"
    )
    document = only("m.pdf", made)
    assert document.title == "Guide"
    assert [(section.title, section.text) for section in sections(document.text)] == [
        ("Start (page 1)", "Welcome."),
        ("Refunds (page 2)", "money back."),
        ("Fees (page 2)", "One euro."),
        ("Fees (page 3)", "Two euros."),
    ]


def test_a_pdf_is_known_by_its_content() -> None:
    assert only("scan.txt", pdf("Text.")).text == "## Page 1\n\nText."
    assert refusal("scan.pdf", b"Just text") == "it is named .pdf but is no PDF"


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_a_pdf_is_opened_without_a_password_or_not_at_all(algorithm: str) -> None:
    locked = writer("Secret.")
    locked.encrypt("password", algorithm=algorithm)
    assert refusal("a.pdf", content(locked)) == "it is encrypted: remove its password and send it again"
    for_owners = writer("Open.")
    for_owners.encrypt("", "owner", algorithm=algorithm)
    assert only("a.pdf", content(for_owners)).text == "## Page 1\n\nOpen."


def test_a_pdf_that_ends_too_early_or_has_no_text_is_refused() -> None:
    whole = pdf("Text.", "More text.")
    for part in (whole[: len(whole) // 2], whole[:-10], whole[:9]):
        assert refusal("a.pdf", part) == "it is half-written: send it again"
    assert refusal("a.pdf", pdf("", "")).startswith("it has no text layer")


def test_a_damaged_page_costs_only_itself() -> None:
    whole = pdf("First.", "Second.")
    text = b"/F1 12 Tf 14 TL 50 750 Td (Second.) Tj"
    assert text in whole
    reading = read("a.pdf", whole.replace(text, b"<<<".ljust(len(text) - 2) + b"Tj"))
    assert [document.text for document in reading.documents] == ["## Page 1\n\nFirst."]
    assert [skipped.document_id for skipped in reading.skipped] == ["a.pdf page 2"]


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(zipfile.ZipInfo("a.md"), "Text")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.md", b"", "it is empty"),
        ("a.md", b" \n\t", "it has no text"),
        ("a.md", b"---\ntitle: T\n---\n", "it has no text"),
        ("a.jsonl", b"\n\n", "it has no rows"),
        ("a.docx", archive(), "it is a ZIP archive or an Office file: unpack it"),
        ("a.md", archive(), "it is a ZIP archive or an Office file: unpack it"),
        ("a.md.gz", gzip.compress(b"Text", mtime=0), "it is compressed with gzip"),
        ("a.txt", b"\x89PNG\r\n\x1a\n" + bytes(20), "it is a PNG picture"),
        ("a.jsonl", b"\x7fELF" + bytes(20), "it is a program"),
        ("a.md", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(20), "it is an Office file, perhaps encrypted"),
        ("a.md", b"-----BEGIN PGP MESSAGE-----\n\nhQ", "it is encrypted with PGP"),
        ("a.md", bytes(range(256)) * 20, "it is neither text nor PDF"),
        ("a.md", "Ein Text".encode("utf-16-le"), "it is neither text nor PDF"),
        ("a.md", "Привет, это текст".encode("cp1251"), "it is neither text nor PDF in an encoding that can be told"),
        ("a.md", "Gebühren für Sie".encode()[:-6], "it is half-written"),
        ("a.md", "Text".encode("utf-16")[:-1], "it is half-written"),
        ("a.md", b"Text\n" * 9 + bytes(4_000), "it is neither text nor PDF"),
        ("a.csv", b"a,b", "it is of a kind that can't be ingested"),
        ("", b"Text", "it has no document_id"),
    ],
)
def test_a_bad_file_is_refused_with_what_it_is(name: str, data: bytes, reason: str) -> None:
    assert refusal(name, data).startswith(reason)


def test_a_file_that_is_too_large_is_refused_with_its_size() -> None:
    assert refusal("a.md", b"x" * (LARGEST + 1)) == "it is too large: it has 65 MB, the limit is 64 MB"


NAMES = st.sampled_from(["a.md", "a.html", "a.pdf", "a.jsonl", "a.json", "a", "", ".", "..", "/", "a/../b.txt"])
PAPERS = [PAGE.encode(), pdf("Text.", outline=[("T", 0)]), json.dumps({"id": "a", "text": "t"}).encode()]
SCRAPS = b'%PDF-1.4\n|%%EOF|---\n|access: x\n|{"id":1,|[|]|<|<p style=|<!--|\xff\xfe|\xc3|\n'.split(b"|")
PIECES = st.sampled_from([*PAPERS, *SCRAPS])


@settings(max_examples=300, deadline=None)
@given(st.one_of(NAMES, st.text()), st.one_of(st.binary(), st.text().map(str.encode), st.lists(PIECES).map(b"".join)))
@example("\ud800.md", b"Text")
@example("x" * 1_000 + ".md", b"Text")
def test_reading_never_raises_and_never_stays_silent(name: str, data: bytes) -> None:
    reading = read(name, data)
    assert reading.documents or reading.skipped
    for document in reading.documents:
        assert document.document_id.strip() and document.text.strip()
        document.text.encode()
    for skipped in reading.skipped:
        assert skipped.reason
        skipped.document_id.encode()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_pdf_with_any_bytes_changed_never_raises(data: st.DataObject) -> None:
    whole = bytearray(pdf("Text.", "More.", outline=[("T", 0)], title="T"))
    for _ in range(data.draw(st.integers(1, 20))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    reading = read("a.pdf", bytes(whole))
    assert reading.documents or reading.skipped
