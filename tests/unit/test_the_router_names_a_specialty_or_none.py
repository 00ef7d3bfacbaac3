from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from parley_conversation.routing import MODEL, Router
from parley_proto.errors import PermanentError, SettingsError
from parley_routing.evaluation import cross_validate, labels_of, of_head, train
from parley_routing.fitting import Examples, Recipe
from parley_routing.head import Head

DIMENSIONS = 8
TOPICS = {"billing": "invoice", "technical": "router", "none": "hello"}
SMALL = Recipe(landmarks=60, words=20, pieces=20)


def vector(topic: int, number: int = 0, other: int | None = None) -> np.ndarray:
    """Near the axis of its topic, or between two of them."""
    noise = np.random.default_rng(100 * topic + number).normal(0, 0.05, DIMENSIONS)
    found = np.eye(DIMENSIONS)[topic] + noise + (np.eye(DIMENSIONS)[other] if other is not None else 0)
    return (found / np.linalg.norm(found)).astype("<f4")


def spelt(number: int) -> str:
    """A word for each number: digits are all the same to the router."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number)) * 2


def messages(count: int = 40) -> Examples:
    rows = [
        (label, f"{word} please {spelt(number)}", vector(at, number))
        for at, (label, word) in enumerate(TOPICS.items())
        for number in range(count)
    ]
    labels = [label for label, _, _ in rows]
    vectors = np.stack([found for _, _, found in rows])
    return Examples([text for _, text, _ in rows], labels, labels, vectors, np.ones(len(rows), np.float32))


@pytest.fixture(scope="module")
def head() -> Head:
    examples = messages()
    made, _ = train(examples, labels_of(examples), "none", SMALL)
    about = msgspec.structs.replace(made.about, model=MODEL, sure=0.8, least_familiar=0.2)
    return Head(about, made.grams, made.weights)


def test_a_clear_message_has_a_specialty_a_confidence_and_a_reason(head: Head) -> None:
    hint = Router(head).route(vector(0, 99).tobytes(), "my invoice please")
    assert hint.specialty == "billing" and 0.8 < hint.confidence <= 1 and not hint.ask_back
    assert '"invoice"' in hint.evidence and "like billing" in hint.evidence


def test_words_of_grammar_are_no_reason(head: Head) -> None:
    assert '"please"' not in Router(head).route(vector(0, 99).tobytes(), "my invoice please").evidence


def test_between_two_specialties_both_are_named(head: Head) -> None:
    hint = Router(head).route(vector(0, 99, other=1).tobytes())
    assert hint.ask_back and set(hint.alternatives) == {"billing", "technical"} and hint.specialty in hint.alternatives


def test_what_belongs_to_nobody_has_no_specialty(head: Head) -> None:
    for stranger in (vector(2, 99), vector(6, 1)):
        hint = Router(head).route(stranger.tobytes())
        assert (hint.specialty, hint.ask_back, hint.alternatives) == ("", False, [])


@pytest.mark.parametrize("size", [0, 4, 11, 13, 4096])
def test_a_vector_of_another_size_is_refused(head: Head, size: int) -> None:
    with pytest.raises(PermanentError, match=f"A vector of {size} bytes can't be routed") as caught:
        Router(head).route(b"\x00" * size)
    assert caught.value.code == "bad_vector"


@pytest.mark.parametrize("name", ["none", "oos", "nobody at all"])
def test_a_file_may_call_what_is_out_of_scope_by_another_name(head: Head, name: str) -> None:
    examples = messages()
    renamed = examples._replace(labels=[name if label == "none" else label for label in examples.labels])
    report = of_head(head, renamed, name)
    assert (report.outside, report.labels) == (40, 3)
    assert report.outside_recall == report.accuracy == 1.0


def test_a_head_that_knows_no_strangers_may_still_turn_them_away(head: Head) -> None:
    examples = messages()
    inside = examples.take([at for at, label in enumerate(examples.labels) if label != "none"])
    without, _ = train(inside, labels_of(inside), "", SMALL)
    report = of_head(without, examples, "none")
    assert (without.about.outside, report.outside, report.in_scope) == ("", 40, 1.0)
    assert report.outside_recall is not None and report.outside_recall > 0.9


def test_no_text_is_judged_by_a_head_that_saw_it_and_no_fold_is_empty() -> None:
    spoken: list[str] = []
    few = messages(2)
    twice = Examples(
        few.texts * 2, few.labels * 2, few.intents * 2, np.concatenate([few.vectors] * 2), np.ones(12, np.float32)
    )
    report = cross_validate(twice, "none", SMALL, 5, spoken.append)
    assert report.messages == 12 and len(spoken) == 5
    # Labels that have nothing to do with the texts: only who saw the very text could know.
    guessed = twice._replace(labels=[f"label {at % 6 // 2}" for at in (0, 3, 1, 5, 2, 4)] * 2)
    assert cross_validate(guessed, "", SMALL, 2, spoken.append).accuracy < 0.9


def test_a_head_that_was_saved_decides_the_same(head: Head, tmp_path: Path) -> None:
    head.save(tmp_path / "head.npz")
    loaded = Router.load(tmp_path / "head.npz")
    for number in range(20):
        message = vector(number % 3, number, other=(number + 1) % 3 if number % 2 else None).tobytes()
        assert loaded.route(message, "router hello") == Router(head).route(message, "router hello")


def test_a_head_that_is_missing_damaged_or_of_another_model_is_named(head: Head, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="PARLEY_CONVERSATION_ROUTER is wrong: There is no router head at"):
        Router.load(tmp_path / "none.npz")
    (tmp_path / "half.npz").write_bytes(b"PK\x03\x04half")
    with pytest.raises(SettingsError, match=r"ROUTER is wrong: .* is not a router head that can be read"):
        Router.load(tmp_path / "half.npz")
    other = Head(msgspec.structs.replace(head.about, model="another"), head.grams, head.weights)
    other.save(tmp_path / "other.npz")
    with pytest.raises(SettingsError, match=r"was trained on another and rag embeds with all-MiniLM-L6-v2"):
        Router.load(tmp_path / "other.npz")


def test_the_head_that_ships_says_where_it_comes_from() -> None:
    about = Router.load().about
    assert about.labels == ["billing", "technical", "account", "returns", "escalation", "none"]
    assert about.model == MODEL and about.date >= "2026-01-01" and about.outside == "none"
    left_out = about.figures["left out"].values()
    assert len(left_out) == 5 and sum(left_out) / 5 > 0.7
