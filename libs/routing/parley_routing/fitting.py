"""Training: kernel ridge regression on landmarks and words, its thresholds from messages that it has not seen. Pure.

Leaving one out needs no second training: in ridge regression the score of a message by a head that never saw it follows
from the score by the head that did (Hastie, Tibshirani and Friedman 2009, 7.10).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from parley_routing.grams import Floats, Grams, choose
from parley_routing.head import Weights, closeness, softmax, unpacked
from parley_routing.rows import digest

Places = npt.NDArray[np.intp]
Features = Callable[[npt.NDArray[np.intp]], Floats]

_TOGETHER = 2_000
_CALIBRATED_ON = 3_000
# Of the messages that would be understood, one in five hundred may be given up to keep strangers out.
GIVEN_UP = 0.002
# Who is named without a question back is the right one nine times in ten.
WANTED_PRECISION = 0.9


class Recipe(msgspec.Struct, frozen=True):
    """What training takes. `ridge` is large where a head must serve businesses that it has not seen."""

    landmarks: int = 4_000
    words: int = 1_500
    pieces: int = 2_500
    ridge: float = 0.1
    seed: int = 0


class Examples(NamedTuple):
    """Aligned: texts, labels, intents (shown as evidence), vectors [rows, dimensions], weights [rows]."""

    texts: list[str]
    labels: list[str]
    intents: list[str]
    vectors: Floats
    weights: Floats

    def take(self, places: Sequence[int] | Places) -> Examples:
        pick = [int(place) for place in places]
        return Examples(
            [self.texts[at] for at in pick],
            [self.labels[at] for at in pick],
            [self.intents[at] for at in pick],
            self.vectors[pick],
            self.weights[pick],
        )


class Scored(NamedTuple):
    """Scores [messages, labels] by a head that did not see them, and the place of the true label of each."""

    scores: Floats
    truth: Places


class Calibration(NamedTuple):
    """See About."""

    temperature: float
    least_familiar: float
    sure: float


def merged(examples: Examples) -> Examples:
    """Equal texts of one label as one example of their weight: a copy of what is left out would be no surprise."""
    first: dict[tuple[int, str], int] = {}
    weights = examples.weights.copy()
    for at, (text, label) in enumerate(zip(examples.texts, examples.labels, strict=True)):
        kept = first.setdefault((digest(text), label), at)
        if kept != at:
            weights[kept] += examples.weights[at]
    return examples._replace(weights=weights).take(list(first.values()))


def solve(examples: Examples, labels: Sequence[str], recipe: Recipe) -> tuple[Grams, Weights, Scored]:
    """The weights of a head, and a sample of `examples` scored as if each had been left out."""
    examples = merged(examples)
    chance = np.random.default_rng(recipe.seed)
    grams = choose(examples.texts, recipe.words, recipe.pieces)
    picked = _drawn(chance, examples.weights, recipe.landmarks)
    packed, scale = _packed(examples.vectors[picked])
    landmarks = unpacked(packed, scale)
    basis = _basis(landmarks)
    truth = places_of(examples.labels, labels)

    def features(places: Places) -> Floats:
        near = closeness(examples.vectors[places], landmarks) @ basis
        return np.hstack([near, grams.matrix([examples.texts[at] for at in places])])

    left, right = _normal(features, truth, examples.weights, len(labels))
    left[np.diag_indices_from(left)] += recipe.ridge
    sample = chance.permutation(len(truth))[:_CALIBRATED_ON]
    seen = features(sample)
    solved = np.linalg.solve(left, np.hstack([right, seen.T]))
    rows, spread = solved[:, : len(labels)], solved[:, len(labels) :]
    scored = Scored(_left_out(seen, rows, spread, truth[sample], examples.weights[sample]), truth[sample])
    rows = np.vstack([basis @ rows[: len(landmarks)], rows[len(landmarks) :]])
    weights = Weights(packed, scale, [examples.intents[at] for at in picked], rows.astype(np.float16))
    return grams, weights, scored


def _drawn(chance: np.random.Generator, weights: Floats, most: int) -> Places:
    """Landmarks, drawn by weight: what counts for more is represented by more."""
    share = weights.astype(np.float64) / weights.sum(dtype=np.float64)
    return np.asarray(np.sort(chance.choice(len(weights), min(most, len(weights)), replace=False, p=share)))


def _packed(vectors: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    scale = np.asarray(np.maximum(np.abs(vectors).max(1), 1e-9) / 127, np.float32)
    return np.round(vectors / scale[:, None]).astype(np.int8), scale


def _basis(landmarks: Floats) -> Floats:
    """What makes closenesses to landmarks that resemble each other independent (Nystroem; Williams and Seeger 2001)."""
    among = closeness(landmarks, landmarks).astype(np.float64)
    among[np.diag_indices_from(among)] += 1e-3
    return np.asarray(np.linalg.inv(np.linalg.cholesky(among)).T, np.float32)


def _normal(features: Features, truth: Places, weights: Floats, labels: int) -> tuple[Floats, Floats]:
    """Both sides of the normal equations, a block of rows at a time."""
    left: Floats | None = None
    right: Floats | None = None
    for at in range(0, len(truth), _TOGETHER):
        places = np.arange(at, min(at + _TOGETHER, len(truth)))
        root = np.sqrt(weights[places])[:, None]
        block = features(places) * root
        wanted = _one_hot(truth[places], labels) * root
        left = block.T @ block if left is None else left + block.T @ block
        right = block.T @ wanted if right is None else right + block.T @ wanted
    if left is None or right is None:
        raise ValueError("no examples")
    return left, right


def _left_out(seen: Floats, rows: Floats, spread: Floats, truth: Places, weights: Floats) -> Floats:
    leverage = np.minimum((seen * spread.T).sum(1) * weights, 0.999)[:, None]
    return np.asarray((seen @ rows - leverage * _one_hot(truth, rows.shape[1])) / (1 - leverage), np.float32)


def _one_hot(truth: Places, labels: int) -> Floats:
    return np.asarray(truth[:, None] == np.arange(labels), np.float32)


def places_of(names: Sequence[str], labels: Sequence[str]) -> Places:
    place = {label: at for at, label in enumerate(labels)}
    return np.array([place[name] for name in names], np.intp)


def calibrate(scored: Scored, labels: Sequence[str], outside: str) -> Calibration:
    """Temperature and both thresholds by the same rules for every head."""
    temperature = _temperature(scored)
    best, familiarity, confidence = judged(scored.scores, labels, outside, temperature)
    inside = np.array([label != outside for label in labels])[scored.truth]
    right = inside & (scored.scores.argmax(1) == scored.truth)
    least = float(np.quantile(familiarity[right], GIVEN_UP)) if right.any() else 0.0
    named = familiarity >= least
    sure = _lowest_sure(confidence[named], (best == scored.truth)[named])
    return Calibration(round(temperature, 4), round(least, 4), sure)


def judged(scores: Floats, labels: Sequence[str], outside: str, temperature: float) -> tuple[Places, Floats, Floats]:
    """For each message the best label that is not `outside`, its familiarity and its confidence, as a head has them."""
    inside = np.array([at for at, label in enumerate(labels) if label != outside])
    best = inside[scores[:, inside].argmax(1)]
    rows = np.arange(len(scores))
    stranger = scores[:, labels.index(outside)] if outside in labels else np.float32(0)
    return best, scores[rows, best] - stranger, softmax(scores / temperature)[rows, best]


def _temperature(scored: Scored) -> float:
    """The temperature with the least surprise (Guo et al. 2017)."""
    candidates = np.geomspace(0.02, 1, 60)
    rows = np.arange(len(scored.truth))
    losses = [-np.log(np.maximum(softmax(scored.scores / one)[rows, scored.truth], 1e-9)).mean() for one in candidates]
    return float(candidates[int(np.argmin(losses))])


def _lowest_sure(confidence: Floats, right: npt.NDArray[np.bool_]) -> float:
    for limit in np.arange(0.3, 0.95, 0.01):
        kept = confidence >= limit
        if kept.any() and right[kept].mean() >= WANTED_PRECISION:
            return round(float(limit), 2)
    return 0.95
