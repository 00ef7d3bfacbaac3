"""Rows that say the same again weigh more; they are not tested against themselves, nor make strangers of others."""

from __future__ import annotations

import numpy as np
import pytest

from parley_routing.fitting import Examples, merged
from parley_routing.rows import digest


def examples(texts: list[str], labels: list[str]) -> Examples:
    vectors = np.eye(len(texts), 384, dtype=np.float32)
    return Examples(texts, labels, labels, vectors, np.ones(len(texts), np.float32))


def test_equal_texts_of_one_label_are_one_example_of_their_weight() -> None:
    found = merged(examples(["Where is it?", "where is it", "Refund me", "Where is it?"], ["a", "a", "b", "b"]))
    assert found.texts == ["Where is it?", "Refund me", "Where is it?"]
    assert found.labels == ["a", "b", "b"]
    assert found.weights.tolist() == [2.0, 1.0, 1.0]
    assert found.vectors.shape == (3, 384)


@pytest.mark.parametrize("other", ["where IS my order 77?!", "Where is my order 12", " where  is my order 3. "])
def test_variants_in_punctuation_and_numbers_fall_into_one_fold(other: str) -> None:
    assert digest("Where is my order 12?") == digest(other)


def test_other_words_and_lone_signs_are_told_apart() -> None:
    assert digest("Where is my order?") != digest("Where was my order?")
    assert digest("?!") != digest("...")
