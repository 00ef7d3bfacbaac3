from __future__ import annotations

from parley_rag.domain import Hit, fused, passages


def hit(document: str, cosine: float, section: int = 0, number: int = 0) -> Hit:
    return Hit(document, number, section, "Title", "Section", "general", f"text of {document} {number}", cosine)


def test_what_both_rankings_like_comes_before_what_one_likes() -> None:
    assert fused([[("a", 0), ("b", 0)], [("c", 0), ("b", 0)]], [1.0, 1.0])[0] == ("b", 0)


def test_the_weight_decides_between_two_first_places() -> None:
    assert fused([[("a", 0)], [("b", 0)]], [1.0, 1.5]) == [("b", 0), ("a", 0)]


def test_a_section_stands_where_its_best_window_stands_and_shows_it() -> None:
    found = passages([hit("a", 0.9, number=3), hit("b", 0.8), hit("a", 0.7, number=4)], [], limit=5, floor=0.4)
    assert [(one.passage_id, one.score) for one in found] == [("a#3", 0.9), ("b#0", 0.8)]
    assert found[0].text == "text of a 3"


def test_two_sections_of_a_document_are_two_passages() -> None:
    found = passages([hit("a", 0.9, section=0, number=0), hit("a", 0.8, section=1, number=5)], [], limit=5, floor=0.4)
    assert [one.passage_id for one in found] == ["a#0", "a#5"]


def test_below_the_floor_there_is_no_answer_however_well_words_match() -> None:
    assert passages([hit("a", 0.39)], [hit("a", 0.39)], limit=5, floor=0.4) == []
    assert passages([], [], limit=5, floor=0.4) == []


def test_far_below_the_floor_is_left_out_beside_a_good_passage() -> None:
    found = passages([hit("a", 0.8), hit("b", 0.35)], [hit("c", 0.1)], limit=5, floor=0.4)
    assert [one.document for one in found] == ["a", "b"]


def test_no_more_than_the_limit() -> None:
    many = [hit(str(number), 0.9 - number / 100) for number in range(9)]
    assert [one.document for one in passages(many, [], limit=3, floor=0.4)] == ["0", "1", "2"]
