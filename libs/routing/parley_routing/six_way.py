"""The router between our specialties: trained on sets of several businesses and our own examples, judged on a business
that it has not seen."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from parley_proto.errors import PermanentError
from parley_routing.evaluation import train
from parley_routing.fitting import Examples, Recipe, Scored, calibrate, places_of
from parley_routing.grams import Floats
from parley_routing.head import Head
from parley_routing.rows import Fields, Row, digest, read

LABELS = ("billing", "technical", "account", "returns", "escalation", "none")
OUTSIDE = "none"
# Found by leaving each set out (README.md): a stranger's words need a smoother head than one's own.
RECIPE = Recipe(landmarks=2_000, words=1_500, pieces=0, ridge=3.0)
OWN_SHARE = 0.6
# More of one business teaches little about another, and costs time.
MOST_ROWS = 4_000
_OWN = "seed_examples.jsonl"

Embed = Callable[[Sequence[str]], Floats]


class Left(NamedTuple):
    """A set that was left out, and what the head trained without it made of its messages."""

    name: str
    scored: Scored
    accuracy: float


def own_examples(embed: Embed) -> Examples:
    """Our own examples: general words of many trades."""
    with importlib.resources.as_file(importlib.resources.files("parley_routing") / _OWN) as path:
        return examples(read(path, Fields("text", "specialty")).rows, embed)


def examples(rows: Sequence[Row], embed: Embed) -> Examples:
    """At most MOST_ROWS of `rows`, always the same ones; those without one of our labels are left out."""
    known = [row for row in rows if row.label in LABELS]
    if len(known) > MOST_ROWS:
        known = sorted(known, key=lambda row: digest(row.text))[:MOST_ROWS]
    texts = [row.text for row in known]
    vectors = embed(texts) if texts else np.zeros((0, 1), np.float32)
    labels = [row.label for row in known]
    return Examples(texts, labels, [row.intent for row in known], vectors, _weights(labels))


def _weights(labels: Sequence[str]) -> Floats:
    """Inverse square roots of the sizes of set and label: neither a large set nor a large label dominates."""
    counts = {label: labels.count(label) for label in set(labels)}
    weights = np.array([counts[label] ** -0.5 for label in labels], np.float32)
    return np.asarray(weights / weights.mean() / np.sqrt(len(labels)), np.float32) if len(labels) else weights


def together(sets: Sequence[Examples], own: Examples) -> Examples:
    """All of them as one, our own with OWN_SHARE of the weight."""
    others = np.concatenate([one.weights for one in sets]) if sets else np.zeros(0, np.float32)
    weights = np.concatenate(
        [others / max(others.sum(), 1e-9) * (1 - OWN_SHARE), own.weights / own.weights.sum() * OWN_SHARE]
    )
    every = [*sets, own]
    return Examples(
        [text for one in every for text in one.texts],
        [label for one in every for label in one.labels],
        [intent for one in every for intent in one.intents],
        np.concatenate([one.vectors for one in every]),
        np.asarray(weights * len(weights), np.float32),
    )


def leave_each_out(sets: Mapping[str, Examples], own: Examples, recipe: Recipe = RECIPE) -> Iterator[Left]:
    """Each set judged by a head that was trained on the others and our own examples."""
    for name, one in sets.items():
        others = [examples for other, examples in sets.items() if other != name]
        head, _ = train(together(others, own), LABELS, OUTSIDE, recipe)
        scored = Scored(head.scores(one.vectors, one.texts), places_of(one.labels, LABELS))
        yield Left(name, scored, round(float((scored.scores.argmax(1) == scored.truth).mean()), 4))


def shipped(sets: Mapping[str, Examples], own: Examples, left: Sequence[Left], model: str, date: str) -> Head:
    """The head of all sets, its thresholds from the sets that were left out: the stranger is the case that matters."""
    head, _ = train(together(list(sets.values()), own), LABELS, OUTSIDE, RECIPE)
    chosen = calibrate(_pooled(left), LABELS, OUTSIDE)
    about = msgspec.structs.replace(
        head.about,
        model=model,
        date=date,
        temperature=chosen.temperature,
        least_familiar=chosen.least_familiar,
        sure=chosen.sure,
        figures={"left out": {one.name: one.accuracy for one in left}},
    )
    return Head(about, head.grams, head.weights)


def _pooled(left: Sequence[Left], size: int = 1_000) -> Scored:
    """As many of each set."""
    chance = np.random.default_rng(0)
    picked = [chance.choice(len(one.scored.truth), size) for one in left]
    return Scored(
        np.concatenate([one.scored.scores[places] for one, places in zip(left, picked, strict=True)]),
        np.concatenate([one.scored.truth[places] for one, places in zip(left, picked, strict=True)]),
    )


def sets_of(paths: Sequence[Path], embed: Embed) -> dict[str, Examples]:
    """Each file's messages with our specialties as labels, by the file's name; PermanentError for one without any."""
    found: dict[str, Examples] = {}
    for path in paths:
        name = path.stem if path.stem not in found else str(path)
        found[name] = examples(read(path, Fields("", "specialty")).rows, embed)
        if not found[name].texts:
            raise PermanentError(f"{path} has no message that belongs to {', '.join(LABELS)}.", code="bad_file")
    return found
