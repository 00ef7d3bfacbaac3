from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from parley_proto.rag import Passage
from parley_rag.domain import Found, Hit, best_passages, ranked, relevance, score
from parley_rag.questions import Probe

ALONE = Probe("how long does a refund take", "long refund take", 3)
WITH_HISTORY = Probe("refunds\nhow long", "refunds long", 2, bonus=0.1)
UNIT = st.floats(min_value=0, max_value=1)


def hit(document: str, cosine: float, bm25: float = 0.0, section: int = 0, number: int = 0, heading: float = -1) -> Hit:
    passage = f"text of {document} {number}"
    return Hit(document, number, section, "Title", "Section", "general", passage, cosine, "a.md", 7, 20, heading, bm25)


def found(*hits: Hit, probe: Probe = ALONE) -> Found:
    return Found(probe, hits)


def shown(*finds: Found, limit: int = 5, floor: float = 0.4) -> list[Passage]:
    return best_passages(finds, mode="hybrid", limit=limit, floor=floor)


def documents(*finds: Found, mode: str = "hybrid") -> list[str]:
    return [one.hit.document for one in ranked(finds, mode)]  # type: ignore[arg-type]


def test_of_two_that_mean_the_same_the_one_with_the_words_comes_first() -> None:
    assert documents(found(hit("a", 0.6), hit("b", 0.6, bm25=4))) == ["b", "a"]


def test_words_settle_less_the_surer_the_meaning_is() -> None:
    gain = [score(hit("a", cosine, bm25=6), 3, "hybrid") - cosine for cosine in (0.3, 0.6, 0.9)]
    assert gain[0] > gain[1] > gain[2] > 0


def test_many_shared_words_never_beat_a_meaning_that_is_all_but_certain() -> None:
    assert documents(found(hit("words", 0.3, bm25=400), hit("meaning", 0.95))) == ["meaning", "words"]


def test_a_full_text_score_counts_by_the_length_of_the_question() -> None:
    assert score(hit("a", 0.4, bm25=6), 2, "hybrid") > score(hit("a", 0.4, bm25=6), 8, "hybrid")


def test_a_heading_that_is_the_question_counts_almost_like_its_section() -> None:
    assert documents(found(hit("body", 0.7), hit("heading", 0.3, heading=0.9))) == ["heading", "body"]
    assert documents(found(hit("body", 0.7), hit("heading", 0.3, heading=0.72))) == ["body", "heading"]


def test_each_mode_looks_only_at_its_own() -> None:
    near, worded = hit("near", 0.8), hit("worded", 0.5, bm25=9, heading=0.99)
    assert documents(found(worded, near), mode="vector") == ["near", "worded"]
    assert documents(found(near, worded), mode="text") == ["worded", "near"]


def test_a_section_stands_where_its_best_window_stands_and_shows_it() -> None:
    passages = shown(found(hit("a", 0.7, number=4), hit("a", 0.9, number=3), hit("b", 0.8)))
    assert [one.passage_id for one in passages] == ["a#3", "b#0"]
    assert passages[0].text == "text of a 3"
    assert (passages[0].start, passages[0].end, passages[0].source) == (7, 20, "a.md")


def test_two_sections_of_a_document_are_two_passages() -> None:
    passages = shown(found(hit("a", 0.9, section=0, number=0), hit("a", 0.8, section=1, number=5)))
    assert [one.passage_id for one in passages] == ["a#0", "a#5"]


def test_below_the_floor_there_is_no_answer_however_well_words_match() -> None:
    assert shown(found(hit("a", 0.39, bm25=90, heading=0.9))) == []
    assert shown() == shown(found()) == []


def test_far_below_the_floor_is_left_out_beside_a_good_passage() -> None:
    passages = shown(found(hit("a", 0.8), hit("b", 0.35), hit("c", 0.1, bm25=50)))
    assert sorted(one.document for one in passages) == ["a", "b"]


def test_no_more_than_the_limit() -> None:
    many = [hit(str(number), 0.9 - number / 100) for number in range(9)]
    assert [one.document for one in shown(found(*many), limit=3)] == ["0", "1", "2"]


def test_what_a_follow_up_finds_with_its_history_counts_for_more() -> None:
    own, said_before = found(hit("own", 0.7)), found(hit("before", 0.65), probe=WITH_HISTORY)
    assert documents(own, said_before) == ["before", "own"]
    assert documents(found(hit("own", 0.8)), said_before) == ["own", "before"]


def test_what_both_find_counts_once_by_its_better_score() -> None:
    assert documents(found(hit("a", 0.7)), found(hit("a", 0.9), probe=WITH_HISTORY)) == ["a"]


@given(UNIT, UNIT)
def test_the_nearer_a_passage_the_likelier_it_answers(one: float, other: float) -> None:
    assert 0 < relevance(one) < 1
    assert (relevance(one) < relevance(other)) == (one < other) or abs(one - other) < 1e-9


@given(UNIT, st.floats(min_value=-1, max_value=1), st.floats(min_value=0, max_value=500), st.integers(1, 50))
def test_a_hybrid_score_stays_a_share_and_is_never_below_the_meaning(
    cosine: float, heading: float, bm25: float, terms: int
) -> None:
    assert cosine <= score(hit("a", cosine, bm25, heading=heading), terms, "hybrid") <= 1
