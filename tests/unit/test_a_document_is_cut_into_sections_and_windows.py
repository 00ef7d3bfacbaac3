from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_proto.rag import Document
from parley_rag.chunking import Sizes, chunks, sections, spans_of, widened, windows

SMALL = Sizes(window=12, overlap=4, passage=20)
TEXT = st.text(alphabet="ab .!?\n#-", max_size=400)


def sentences(count: int, words: int = 4) -> str:
    return " ".join(f"{'word ' * (words - 1)}n{number}." for number in range(count))


def test_sections_begin_at_headings_of_the_second_level() -> None:
    text = "# Title\nBefore.\n\n## One\nFirst.\n### Deeper\nStill first.\n\n## Two ##\nSecond.\n## Empty\n"
    assert [(one.title, one.text) for one in sections(text)] == [
        ("", "Before."),
        ("One", "First.\n### Deeper\nStill first."),
        ("Two", "Second."),
    ]


def test_a_heading_inside_a_code_fence_is_code() -> None:
    found = sections("## Real\n```\n## not a heading\n# nor this\n```\nafter")
    assert [one.title for one in found] == ["Real"]
    assert "## not a heading" in found[0].text and "# nor this" in found[0].text


def test_windows_share_whole_sentences_and_end_with_the_section() -> None:
    spans = spans_of(sentences(8), SMALL.window)
    found = windows(spans, SMALL)
    assert found == [(0, 2), (2, 4), (4, 6), (6, 7)]


def test_a_sentence_longer_than_a_window_is_cut() -> None:
    spans = spans_of("word " * 30, 12)
    assert [span.words for span in spans] == [12, 12, 6]


def test_a_passage_grows_to_both_sides_of_its_window() -> None:
    text = sentences(9)
    spans = spans_of(text, SMALL.window)
    start, end = widened(spans, 4, 4, 12)
    assert text[start:end].split() == text.split()[12:24]


def test_a_chunk_is_found_by_title_section_and_keywords_and_shows_only_its_text() -> None:
    document = Document(
        "a", "Refunds", "---\ntitle: Refunds\nkeywords: money back, reversal\n---\n\n## Times\nFive days."
    )
    [chunk] = chunks(document, SMALL)
    assert (chunk.section, chunk.passage) == ("Times", "Five days.")
    assert chunk.indexed == "Refunds\nTimes\nFive days.\nmoney back, reversal"


def test_numbers_run_through_the_document() -> None:
    document = Document("a", "T", f"{sentences(7)}\n## Two\n{sentences(7)}")
    found = chunks(document, SMALL)
    assert [chunk.number for chunk in found] == list(range(len(found)))
    assert sorted({chunk.section_number for chunk in found}) == [0, 1]


@pytest.mark.parametrize("text", ["", "   \n\n ", "## Only a heading", "---\ntitle: T\n---\n"])
def test_a_document_without_words_has_no_chunk(text: str) -> None:
    assert chunks(Document("a", "T", text), SMALL) == []


@given(TEXT)
def test_every_word_is_in_a_window_and_no_window_is_too_long(text: str) -> None:
    for section in sections(text):
        spans = spans_of(section.text, SMALL.window)
        covered: set[int] = set()
        for first, last in windows(spans, SMALL):
            covered |= set(range(first, last + 1))
            assert sum(span.words for span in spans[first : last + 1]) <= SMALL.window
        assert covered == set(range(len(spans)))
        assert sum(span.words for span in spans) == len(section.text.split())
