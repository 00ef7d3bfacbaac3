from __future__ import annotations

import numpy as np
import pytest

from parley_conversation.routing import About, Router
from parley_proto.errors import PermanentError
from parley_proto.specialist import RouteHint

LABELS = ["billing", "technical", "none"]


def router(unsure: float = 0.5, temperature: float = 1.0) -> Router:
    """Dimension 0 speaks for billing, 1 for technical, 2 for none; three fine intents, two of them billing's."""
    coarse = np.eye(3, dtype=np.float32) * 8
    fine = np.array([[8, 0, 0], [8, 0, 0], [0, 8, 0]], np.float32)
    about = About(LABELS, "paper", "2026-01-01", temperature, unsure, {})
    return Router(about, np.concatenate([coarse, fine]), np.zeros(6, np.float32), np.array([0, 0, 1]))


def vector(*numbers: float) -> bytes:
    return np.array(numbers, "<f4").tobytes()


def test_a_clear_message_has_a_specialty_and_a_confidence() -> None:
    hint = router().route(vector(1, 0, 0))
    assert hint.specialty == "billing" and 0.9 < hint.confidence <= 1


def test_between_two_specialties_none_is_named() -> None:
    hint = router(unsure=0.7).route(vector(0.5, 0.5, 0))
    assert hint.specialty == "" and hint.confidence < 0.7


def test_what_belongs_to_nobody_has_no_specialty_however_sure() -> None:
    sure = About(LABELS, "paper", "2026-01-01", 1.0, 0.1, {})
    only_none = Router(sure, np.zeros((4, 3), np.float32), np.array([0, 0, 9, 0], np.float32), np.array([2]))
    assert only_none.route(vector(0, 0, 1)) == RouteHint("", 1.0)


def test_shares_are_probabilities_and_fine_intents_count_for_their_label() -> None:
    shares = router().shares(vector(0.2, 0.1, 0.3))
    assert shares.sum() == pytest.approx(1, abs=1e-5) and (shares >= 0).all()
    without_words = router().shares(vector(0, 0, 0))
    assert without_words == pytest.approx([(1 / 3 + 2 / 3) / 2, (1 / 3 + 1 / 3) / 2, 1 / 6], abs=1e-5)


def test_the_temperature_changes_the_confidence_and_never_the_order() -> None:
    doubtful, sharp = (router(temperature=one).shares(vector(0.3, 0.2, 0.1)) for one in (3.0, 0.5))
    assert doubtful.max() < sharp.max() and list(doubtful.argsort()) == list(sharp.argsort())


@pytest.mark.parametrize("size", [0, 4, 11, 13, 4096])
def test_a_vector_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(PermanentError, match=f"A vector of {size} bytes can't be routed") as caught:
        router().route(b"\x00" * size)
    assert caught.value.code == "bad_vector"


def test_the_head_that_ships_says_where_it_comes_from() -> None:
    about = Router.load().about
    assert about.labels == ["billing", "technical", "account", "returns", "escalation", "none"]
    assert about.model == "all-MiniLM-L6-v2" and 0.3 < about.unsure < 0.9 and about.date >= "2026-01-01"
    assert about.figures["accuracy"]["hint3 left out"] > 0.65
