"""A document that says who may read it in a way that is not understood is refused: else everybody could."""

from __future__ import annotations

import pytest

from parley_rag.reading import Defaults, read

TEXT = "The alarm code is kept in the safe."


def access_of(name: str, content: str) -> str:
    reading = read(name, content.encode(), Defaults())
    assert not reading.skipped, reading.skipped
    return reading.documents[0].access


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.md", f"---\ntitle: Alarm\naccess: staff\n---\n\n{TEXT}"),
        ("a.md", f"---\ntitle: Alarm\nAccess: staff\n---\n\n{TEXT}"),
        ("a.html", f"<html><head><meta name='Access' content='staff'></head><body><p>{TEXT}</p></body></html>"),
        ("a.jsonl", f'{{"id": "1", "text": "{TEXT}", "access": "staff"}}'),
    ],
)
def test_what_is_understood_is_kept(name: str, content: str) -> None:
    assert access_of(name, content) == "staff"


@pytest.mark.parametrize(
    "content",
    [
        f"---\ntitle: Alarm\naccess: staff\n\n{TEXT}",
        f"---\ntitle: Alarm\naccess: staff\n...\n\n{TEXT}",
        f"---\n'access': staff\n---\n\n{TEXT}",
        f"---\naccess:staff\n---\n\n{TEXT}",
        f"+++\naccess = 'staff'\n+++\n\n{TEXT}",
        f"<!-- note -->\n---\naccess: staff\n---\n\n{TEXT}",
        f"---\naccess: staff\naccess: public\n---\n\n{TEXT}",
    ],
)
def test_what_is_not_understood_is_refused(content: str) -> None:
    reading = read("a.md", content.encode(), Defaults())
    assert not reading.documents
    assert any(word in reading.skipped[0].reason for word in ("who may read", "front matter", "access"))


@pytest.mark.parametrize("field", ['"Access": "staff"', '"metadata": {"access": "staff"}', '"ACCESS ": "staff"'])
def test_a_row_that_says_it_elsewhere_is_refused_and_its_neighbours_go_in(field: str) -> None:
    rows = f'{{"id": "1", "text": "{TEXT}", {field}}}\n{{"id": "2", "text": "Open at nine."}}\n'
    reading = read("a.jsonl", rows.encode(), Defaults())
    assert [document.document_id for document in reading.documents] == ["2"]
    assert "who may read it" in reading.skipped[0].reason


def test_ordinary_words_about_access_are_no_such_line() -> None:
    assert access_of("a.md", f"# Doors\n\nAccess: ring twice and wait for the guard to open.\n\n{TEXT}") == "public"
