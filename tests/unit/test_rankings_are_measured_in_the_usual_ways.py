from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_rag.measures import auroc, mean, most_recall, ndcg, percentile, recall, reciprocal_rank

FOUND = ["a", "b", "c", "d"]
SCORES = st.lists(st.integers(0, 20).map(float), min_size=1, max_size=30)


def test_recall_counts_the_gold_among_the_first() -> None:
    assert recall(FOUND, {"b"}, 1) == 0
    assert recall(FOUND, {"b", "z"}, 5) == 0.5
    assert most_recall({"a", "b", "c", "d"}, 1) == 0.25


def test_gain_is_less_the_later_gold_stands() -> None:
    assert ndcg(FOUND, {"a"}, 10) == 1
    assert ndcg(FOUND, {"b"}, 10) == pytest.approx(1 / math.log2(3))
    assert ndcg(FOUND, {"a", "c"}, 10) == pytest.approx((1 + 0.5) / (1 + 1 / math.log2(3)))
    assert ndcg(FOUND, {"d"}, 3) == 0


def test_only_the_first_gold_has_a_rank() -> None:
    assert reciprocal_rank(FOUND, {"c", "d"}, 10) == pytest.approx(1 / 3)
    assert reciprocal_rank(FOUND, {"d"}, 3) == 0


def test_percentiles_are_values_that_were_seen() -> None:
    assert (percentile([3, 1, 2], 0.5), percentile([3, 1, 2], 0.99), percentile([], 0.5)) == (2, 3, 0)
    assert mean([]) == 0


@given(SCORES, SCORES)
def test_auroc_is_the_share_of_pairs_in_the_right_order(yes: list[float], no: list[float]) -> None:
    right = sum((one > other) + (one == other) / 2 for one in yes for other in no)
    assert auroc(yes, no) == pytest.approx(right / len(yes) / len(no))
    assert math.isnan(auroc(yes, []))
