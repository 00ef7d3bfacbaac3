"""Markdown, plain text and JSON rows."""

from __future__ import annotations

import json

import pytest

from parley_proto.documents import split_front_matter
from parley_proto.rag import Document, Skipped
from parley_rag.reading import Defaults, read

ARTICLE = """---
title: Refund times
specialty: returns
updated: 2026-03-01
keywords: money back, refund
---

## By card
Five working days.
"""


def only(name: str, text: str | bytes, defaults: Defaults | None = None) -> Document:
    """The one document of a file of which nothing is skipped."""
    reading = read(name, text.encode() if isinstance(text, str) else text, defaults)
    assert reading.skipped == []
    [document] = reading.documents
    return document


def refusal(name: str, text: str | bytes, defaults: Defaults | None = None) -> str:
    """Why nothing of a file is taken."""
    reading = read(name, text.encode() if isinstance(text, str) else text, defaults)
    assert reading.documents == []
    [skipped] = reading.skipped
    return skipped.reason


def test_an_article_has_its_title_and_specialty_from_the_front_matter() -> None:
    expected = Document("returns/refund-times", "Refund times", ARTICLE, "returns", source="returns/refund-times.md")
    assert only("returns/refund-times.md", ARTICLE) == expected


def test_front_matter_is_split_from_the_text() -> None:
    front, body = split_front_matter(ARTICLE)
    assert (front.updated, front.keywords) == ("2026-03-01", "money back, refund")
    assert body.strip() == "## By card\nFive working days."


def test_a_file_without_front_matter_is_named_by_its_heading_or_its_name() -> None:
    assert only("a/b-c.md", "# A heading ##\nText").title == "A heading"
    document = only("a/b-c.txt", "Text only")
    assert (document.document_id, document.title, document.specialty) == ("a/b-c", "b c", "general")


def test_a_file_without_a_suffix_is_text() -> None:
    assert only("README", "Text only").document_id == "README"


def test_a_rule_at_the_top_is_not_front_matter() -> None:
    for text in ("---\nJust a line\n---\nand more", "---\nNote: this is prose\n---\nand more"):
        assert split_front_matter(text)[1] == text


def test_an_access_is_found_however_its_key_is_written() -> None:
    for key in ("access", "Access", "ACCESS"):
        assert only("a.md", f"\n---\n{key}: staff\nreviewed by: Ann\ntags:\n  - a\n---\nText").access == "staff"


def test_front_matter_may_say_when_and_for_whom_an_article_is() -> None:
    text = "---\nlanguage: de\nvalid-from: 2026-01-01\nvalid_until: 2026-12-31\naccess: staff\n---\nText"
    document = only("a.md", text, Defaults(language="en", valid_until="2027-01-01"))
    facts = (document.language, document.valid_from, document.valid_until, document.access)
    assert facts == ("de", "2026-01-01", "2026-12-31", "staff")


def test_what_a_document_does_not_say_comes_from_the_ingestion() -> None:
    given = Defaults("billing", "en", "staff", "2026-01-01", "2026-12-31")
    document = only("a.md", "Text", given)
    assert document == Document("a", "a", "Text", "billing", "en", "2026-01-01", "2026-12-31", "staff", "a.md")


@pytest.mark.parametrize(
    ("said", "given", "access"),
    [("staff", "public", "staff"), ("public", "staff", "staff"), ("staff", "staff", "staff"), (None, "a", "a")],
)
def test_a_document_may_narrow_who_reads_it_and_never_widen_it(said: str | None, given: str, access: str) -> None:
    article = f"---\naccess: {said}\n---\nText" if said else "Text"
    assert only("a.md", article, Defaults(access=given)).access == access
    row = json.dumps({"id": "a", "text": "Text", "access": said})
    assert only("a.jsonl", row, Defaults(access=given)).access == access


def test_an_access_that_can_not_be_kept_is_refused() -> None:
    row = json.dumps({"id": "a", "text": "Text", "access": "finance"})
    assert "for 'staff'" in refusal("a.jsonl", row, Defaults(access="staff"))
    assert "its access is empty" in refusal("a.md", "---\naccess:\n  - staff\n---\nText")


def test_windows_line_ends_and_a_byte_order_mark_are_read() -> None:
    document = only("a.md", "\ufeff" + ARTICLE.replace("\n", "\r\n"))
    assert (document.title, "\r" in document.text) == ("Refund times", False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_a_text_is_read_in_every_usual_encoding(encoding: str) -> None:
    text = "Die Rückgabe ist für Sie kostenlos – 30 Tage."
    assert only("a.txt", text.encode(encoding)).text == text


def test_characters_that_nobody_sees_are_removed() -> None:
    hidden = "re\u00adfund\u200b \u202ereversed\u202c \U000e0041tag\x07\x00" + "\nan ordinary line" * 20
    assert only("a.txt", hidden).text.splitlines()[0] == "refund reversed tag"
    assert only("a.txt", "one\x0ctwo\u2028three\rfour").text == "one\ntwo\nthree\nfour"


def test_a_name_with_control_characters_and_surrogates_is_cleaned() -> None:
    assert only("a\nb\udcff.md", "Text").document_id == "a b\ufffd"


@pytest.mark.parametrize("field", ["document_id", "passage_id", "doc_id", "id"])
def test_a_row_names_itself_in_one_of_four_ways(field: str) -> None:
    row = json.dumps({field: "x:1", "title": "T", "text": "Text", "specialty": "billing"})
    assert only("rows.jsonl", f"{row}\n\n") == Document("x:1", "T", "Text", "billing", source="rows.jsonl")


@pytest.mark.parametrize("field", ["text", "content", "body"])
def test_a_row_needs_no_title_and_no_specialty(field: str) -> None:
    row = json.dumps({"id": 7, field: "Text", "specialty": None, "more": {"nested": [1]}, "source": "crm"})
    assert only("rows.ndjson", row) == Document("7", "", "Text", "general", source="crm")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "it is not a JSON object"),
        ("[1]", "it is not a JSON object"),
        ("[" * 100_000, "it is not a JSON object"),
        ('{"x":' * 100_000, "it is not a JSON object: it is nested too deeply"),
        ('{"id":' + "9" * 100_000 + ',"text":"t"}', "it is not a JSON object"),
        ('{"id":"x","text":NaN}', "it is not a JSON object"),
        (r'{"id":"x","text":"\ud800"}', "it is not a JSON object"),
        ("\x00" * 5_000, "it is not a JSON object"),
        ('{"text":"t"}', "it has no 'document_id' field"),
        ('{"id":"","text":"t"}', "it has no document_id"),
        ('{"id":"x"}', "it has no 'text' field"),
        ('{"id":"x","text":" "}', "it has no text"),
        ('{"id":true,"text":"t"}', "its field 'id' is not a text"),
        ('{"id":"x","text":["t"]}', "its field 'text' is not a text"),
        ('{"id":"x","text":"t","access":["staff"]}', "its field 'access' is not a text"),
        ('{"id":"' + "x" * 301 + '","text":"t"}', "its document_id is longer than 300 characters"),
        (r'{"id":"a\u0000b","text":"t"}', "its document_id has control characters"),
    ],
)
def test_a_bad_row_is_named_with_its_line_and_the_others_are_taken(line: str, reason: str) -> None:
    good = '{"id":"ok","text":"' + "a text " * 1_000 + '"}\n'
    reading = read("rows.jsonl", (good + line + '\n\n{"id":"too","text":"t"}').encode())
    assert [document.document_id for document in reading.documents] == ["ok", "too"]
    [skipped] = reading.skipped
    assert skipped.document_id == "rows.jsonl line 2"
    assert skipped.reason.startswith(reason)


def test_a_line_that_is_not_utf8_costs_only_itself() -> None:
    reading = read("rows.jsonl", b'{"id":"a","text":"caf\xe9"}\n{"id":"b","text":"t"}')
    assert [document.document_id for document in reading.documents] == ["b"]
    assert reading.skipped[0].document_id == "rows.jsonl line 1"


def test_of_rows_with_one_id_the_last_that_is_good_is_taken_and_the_others_are_named() -> None:
    rows = ['{"id":"a","text":"1"}', '{"id":"b","text":"2"}', '{"id":"a","text":"3"}', '{"id":"a"}']
    reading = read("rows.jsonl", "\n".join(rows).encode())
    assert [(document.document_id, document.text) for document in reading.documents] == [("b", "2"), ("a", "3")]
    replaced = Skipped("a", "line 1 is replaced by line 3 of the file, which has the same id")
    assert reading.skipped == [replaced, Skipped("rows.jsonl line 4", "it has no 'text' field")]


def test_json_may_be_an_array_one_object_or_lines() -> None:
    rows = [{"id": "a", "text": "1"}, {"id": "b"}, {"id": "c", "text": "3"}]
    for text in (json.dumps(rows, indent=2), "\n".join(map(json.dumps, rows))):
        for name in ("rows.json", "rows.jsonl"):
            reading = read(name, text.encode())
            assert [document.document_id for document in reading.documents] == ["a", "c"]
            assert reading.skipped[0].document_id.endswith(" 2")
    assert only("one.json", json.dumps(rows[0], indent=2)).text == "1"
    assert only("rows.jsonl", json.dumps(rows[0]).encode("utf-16")).text == "1"


def test_an_array_that_ends_too_early_is_half_written() -> None:
    assert "half-written" in refusal("rows.json", json.dumps([{"id": "a", "text": "1"}] * 3)[:-5])


def test_too_many_rows_are_refused_before_they_are_kept() -> None:
    row = b'{"id":"a","text":"t"}\n'
    assert refusal("rows.jsonl", row * 200_001) == "it has more than 200,000 rows: split it"


def test_a_long_text_comes_in_parts_that_end_before_a_heading() -> None:
    chapter = "## Chapter\n" + "Some words of a book. " * 20_000
    parts = read("book.md", ("# The book\n" + f"{chapter}\n" * 5).encode()).documents
    assert [part.document_id for part in parts] == ["book", "book#part-2", "book#part-3"]
    assert [part.title for part in parts] == ["The book", "The book (part 2)", "The book (part 3)"]
    assert all(part.text.startswith("## Chapter") and len(part.text) <= 1_000_000 for part in parts[1:])
    assert "".join(part.text for part in parts).count("## Chapter") == 5


def test_a_text_without_any_place_to_cut_is_cut_at_the_limit() -> None:
    assert [len(part.text) for part in read("a.txt", b"x" * 2_500_000).documents] == [1_000_000, 1_000_000, 500_000]


def test_another_kind_of_file_is_refused_by_name() -> None:
    assert refusal("prices.xlsx", "a,b").endswith("use .md, .txt, .html, .pdf, .jsonl or .json")
