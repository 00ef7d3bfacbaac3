from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_proto.rag import Document
from parley_rag.chunking import Sizes, chunks, sections, spans_of, widened, windows

SMALL = Sizes(window=12, overlap=4, passage=20)
TEXT = st.text(alphabet="ab .!?\n#-|`", max_size=400)


def sentences(count: int, words: int = 4) -> str:
    return " ".join(f"{'word ' * (words - 1)}n{number}." for number in range(count))


def test_sections_begin_at_headings_and_are_named_by_those_above() -> None:
    text = "# Title\nBefore.\n\n## One\nFirst.\n### Deeper\nStill first.\n##### Small\n\n## Two ##\nSecond.\n## Empty\n"
    assert [(one.title, one.text) for one in sections(text)] == [
        ("", "Before."),
        ("One", "First."),
        ("One > Deeper", "Still first.\n##### Small"),
        ("Two", "Second."),
    ]


def test_only_the_first_heading_of_the_first_level_is_the_title() -> None:
    found = sections("# Manual\nIntro.\n# Sound\nLoud.\n#### Bass\nDeep.\n# Picture\nBright.")
    assert [one.title for one in found] == ["", "Sound", "Sound > Bass", "Picture"]


def test_a_heading_inside_a_code_fence_is_code() -> None:
    found = sections("## Real\n```\n## not a heading\n# nor this\n```\nafter")
    assert [one.title for one in found] == ["Real"]
    assert "## not a heading" in found[0].text and "# nor this" in found[0].text


def test_windows_share_whole_sentences_and_end_with_the_section() -> None:
    spans = spans_of(sentences(8), SMALL)
    found = windows(spans, SMALL)
    assert found == [(0, 2), (2, 4), (4, 6), (6, 7)]


def test_a_sentence_longer_than_a_window_is_cut() -> None:
    spans = spans_of("word " * 30, SMALL)
    assert [span.words for span in spans] == [12, 12, 6]


def test_a_passage_grows_to_both_sides_of_its_window() -> None:
    text = sentences(9)
    spans = spans_of(text, SMALL)
    start, end = widened(spans, 4, 4, 12)
    assert text[start:end].split() == text.split()[12:24]


def test_a_chunk_is_found_by_title_section_and_keywords_and_shows_only_its_text() -> None:
    document = Document(
        "a", "Refunds", "---\ntitle: Refunds\nkeywords: money back, reversal\n---\n\n## Times\nFive days."
    )
    [chunk] = chunks(document, SMALL)
    assert (chunk.section, chunk.passage) == ("Times", "Five days.")
    assert chunk.indexed == "Refunds\nTimes\nFive days.\nmoney back, reversal"
    assert chunk.heading == "Refunds\nTimes"
    assert document.text[chunk.start : chunk.end] == chunk.passage


def test_a_chunk_without_any_heading_stands_for_itself() -> None:
    [chunk] = chunks(Document("a", "", "Five days."), SMALL)
    assert chunk.heading == chunk.indexed == "Five days."


@pytest.mark.parametrize(
    "block",
    [
        "| size | price |\n|---|---|\n| small one | 3.50 |\n| large one | 4.50 |",
        "```sh\n# not a heading\nmake up\nmake down. Then wait.\n```",
        "~~~\n``` inside\n## nor this\n~~~",
    ],
)
def test_a_table_or_a_fence_is_shown_whole(block: str) -> None:
    document = Document("a", "T", f"{sentences(3)}\n\n{block}\n\n{sentences(3)}")
    touching = [chunk for chunk in chunks(document, SMALL) if any(line in chunk.passage for line in block.split("\n"))]
    assert touching and all(block in chunk.passage for chunk in touching)


def test_a_table_longer_than_a_passage_is_cut_between_its_rows() -> None:
    rows = [f"| {number} | a few words |" for number in range(40)]
    found = chunks(Document("a", "T", "\n".join(rows)), SMALL)
    assert len(found) > 5
    assert all(line in rows for chunk in found for line in chunk.passage.split("\n"))


def test_a_line_without_a_space_is_cut() -> None:
    found = chunks(Document("a", "T", "x" * 100_000), SMALL)
    assert max(len(chunk.passage) for chunk in found) <= 40 * SMALL.passage


@pytest.mark.parametrize(
    "text",
    [
        "word " * 200_000,
        "A sentence. " * 80_000,
        "x" * 1_000_000,
        "## " + "# " * 480_000 + "x",
        "## heading\n" * 90_000,
        "| a | b |\n" * 100_000,
        "```\n" * 250_000,
        "a.\n" * 300_000,
        "." * 1_000_000,
        "!) " * 330_000,
    ],
)
def test_a_million_characters_of_any_shape_take_seconds(text: str) -> None:
    began = time.process_time()
    chunks(Document("a", "T", text), Sizes())
    assert time.process_time() - began < 15


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
        spans = spans_of(section.text, SMALL)
        covered: set[int] = set()
        for first, last in windows(spans, SMALL):
            covered |= set(range(first, last + 1))
            assert sum(span.words for span in spans[first : last + 1]) <= SMALL.window
        assert covered == set(range(len(spans)))
        assert sum(span.words for span in spans) == len(re.findall(r"\S{1,40}", section.text))


@given(st.sampled_from(["", "---\ntitle: T\n---\n", "---\nno front matter\n"]), TEXT)
def test_offsets_lead_to_the_passage_in_the_text_as_it_is_stored(front: str, text: str) -> None:
    document = Document("a", "T", front + text)
    for chunk in chunks(document, SMALL):
        assert document.text[chunk.start : chunk.end] == chunk.passage
        assert chunk.passage == chunk.passage.strip() != ""
