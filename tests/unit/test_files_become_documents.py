from __future__ import annotations

import json

import pytest

from parley_proto.documents import parse, split_front_matter
from parley_proto.errors import PermanentError
from parley_proto.rag import Document

ARTICLE = """---
title: Refund times
specialty: returns
updated: 2026-03-01
keywords: money back, refund
---

## By card
Five working days.
"""


def test_an_article_has_its_title_and_specialty_from_the_front_matter() -> None:
    [document] = parse("returns/refund-times.md", ARTICLE)
    assert document == Document("returns/refund-times", "Refund times", ARTICLE, "returns")


def test_front_matter_is_split_from_the_text() -> None:
    front, body = split_front_matter(ARTICLE)
    assert (front.updated, front.keywords) == ("2026-03-01", "money back, refund")
    assert body.strip() == "## By card\nFive working days."


def test_a_file_without_front_matter_is_named_by_its_heading_or_its_name() -> None:
    assert parse("a/b-c.md", "# A heading\nText")[0].title == "A heading"
    [document] = parse("a/b-c.txt", "Text only")
    assert (document.document_id, document.title, document.specialty) == ("a/b-c", "b c", "general")


def test_a_rule_at_the_top_is_not_front_matter() -> None:
    text = "---\nJust a line\n---\nand more"
    assert split_front_matter(text)[1] == text


def test_windows_line_ends_and_a_byte_order_mark_are_read() -> None:
    [document] = parse("a.md", "\ufeff" + ARTICLE.replace("\n", "\r\n"))
    assert (document.title, "\r" in document.text) == ("Refund times", False)


@pytest.mark.parametrize("field", ["document_id", "passage_id", "doc_id", "id"])
def test_a_row_names_itself_in_one_of_four_ways(field: str) -> None:
    row = json.dumps({field: "x:1", "title": "T", "text": "Text", "specialty": "billing"})
    assert parse("rows.jsonl", f"{row}\n\n") == [Document("x:1", "T", "Text", "billing")]


def test_a_row_needs_no_title_and_no_specialty() -> None:
    assert parse("rows.jsonl", '{"id":"x","content":"Text","specialty":null}') == [Document("x", "", "Text", "general")]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "line 2 is not a JSON object"),
        ("[1]", "line 2 is not a JSON object"),
        ("[" * 5000, "line 2 is not a JSON object"),
        ('{"text":"t"}', "line 2 has no 'document_id' field"),
        ('{"id":"x"}', "line 2 has no 'text' field"),
        ('{"id":7,"text":"t"}', "line 2 is not a document"),
        ('{"id":"x","text":["t"]}', "line 2 is not a document"),
    ],
)
def test_a_bad_row_is_named_with_its_line(line: str, what: str) -> None:
    with pytest.raises(PermanentError, match=f"rows.jsonl {what}") as caught:
        parse("rows.jsonl", '{"id":"ok","text":"t"}\n' + line)
    assert caught.value.code == "unreadable_document"


def test_another_kind_of_file_is_refused_by_name() -> None:
    with pytest.raises(PermanentError, match=r"prices\.xlsx .* use one of \.md"):
        parse("prices.xlsx", "")
