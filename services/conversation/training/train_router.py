"""Train the router's head: python train_router.py --data FOLDER [--out FILE] [--cache FILE]

FOLDER holds banking77.jsonl, clinc150.jsonl, bitext.jsonl, hint3.jsonl, multidogo_dialogues.jsonl and
specialty_map.json; our own seed_examples.jsonl lies beside this file. Needs scikit-learn and parley-rag (the vectors
must be those of the running service). The texts stay where they are: only weights and figures are written.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from parley_conversation.routing import HEAD, About, Router
from parley_embedding.minilm import MODEL, load

LABELS = ["billing", "technical", "account", "returns", "escalation", "none"]
SETS = ["banking77", "clinc150", "bitext", "hint3", "multidogo"]
SEED = "seed"
HERE = Path(__file__).parent

# Found by leave-one-set-out over C, set weights and the share of our own examples (README.md beside this file).
COARSE_C = 0.1
FINE_C = 3.0
SEED_SHARE = 0.4
HELD_OUT = 0.2
# Below this precision a hint does more harm than a question back.
WANTED_PRECISION = 0.85
DETAILS_SHARE = 0.06
_GREETINGS = {"openinggreeting", "closinggreeting", "thankyou"}
_DETAILS = {"contentonly", "confirmation", "rejection"}

Array = npt.NDArray[Any]


class Examples(NamedTuple):
    """Aligned: texts, label numbers, fine intents, vectors."""

    texts: list[str]
    labels: Array
    intents: Array
    vectors: Array

    def where(self, mask: Array) -> Examples:
        texts = [text for text, kept in zip(self.texts, mask, strict=True) if kept]
        return Examples(texts, self.labels[mask], self.intents[mask], self.vectors[mask])


class Fitted(NamedTuple):
    """Both heads as one matrix: LABELS first, then the fine intents, `label_of` each."""

    weights: Array
    bias: Array
    label_of: Array

    def shares(self, vectors: Array) -> Array:
        scores = vectors @ self.weights.T + self.bias
        fine = np.eye(len(LABELS))[self.label_of]
        return (softmax(scores[:, : len(LABELS)]) + softmax(scores[:, len(LABELS) :]) @ fine) / 2


def main() -> None:
    arguments = parse_arguments()
    sets = read_sets(arguments.data, arguments.cache)
    figures, shares, truth = evaluate(sets)
    temperature = best_temperature(shares, truth)
    unsure = threshold(tempered(shares, temperature), truth)
    figures["unsure"] = unsure_figures(figures.pop("raw"), temperature, unsure)
    head = fit([sets[name] for name in SETS], sets[SEED])
    about = About(LABELS, MODEL, str(datetime.date.today()), temperature, unsure, figures)
    write(arguments.out, head, about)
    shipped = Router.load(arguments.out)
    print(json.dumps(figures, indent=1))
    print(f"temperature {temperature}, unsure below {unsure}, {arguments.out.stat().st_size / 1000:.0f} KB")
    print(f"own examples with the shipped head: {own_accuracy(shipped, sets[SEED]):.3f}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the router's head over MiniLM embeddings.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the labelled files")
    parser.add_argument("--out", type=Path, default=HERE.parent / "parley_conversation" / HEAD)
    parser.add_argument("--cache", type=Path, default=Path(".parley/router"), help="folder for the model and vectors")
    return parser.parse_args()


def read_sets(data: Path, cache: Path) -> dict[str, Examples]:
    """Every set with its vectors; encoding 43,000 texts takes some minutes the first time."""
    rows = {name: read_rows(data / f"{name}.jsonl") for name in SETS if name != "multidogo"}
    mapping = json.loads((data / "specialty_map.json").read_text("utf-8"))["multidogo"]
    rows["multidogo"] = read_turns(data / "multidogo_dialogues.jsonl", mapping)
    rows[SEED] = read_rows(HERE / "seed_examples.jsonl")
    return {name: examples(name, found, embed([text for text, _, _ in found], cache)) for name, found in rows.items()}


def read_rows(path: Path) -> list[tuple[str, str, str]]:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
    return [
        (row["text"], row["specialty"], f"{row.get('bot', '')}:{row.get('label', row['specialty'])}") for row in rows
    ]


def read_turns(path: Path, mapping: dict[str, str]) -> list[tuple[str, str, str]]:
    """The first turns of each dialogue, every text once.

    Greetings, a yes, a no, names and numbers belong to nobody; of the many that only give details a sample is enough.
    """
    found: dict[str, tuple[str, str, str]] = {}
    for line in path.read_text("utf-8").splitlines():
        dialogue = json.loads(line)
        for turn in dialogue["turns"]:
            text, intent = turn["text"], turn["intent"]
            specialty = mapping.get(intent) or ("none" if is_small(text, intent) else "")
            if specialty and turn["n"] <= 14:
                found.setdefault(text.lower().strip(), (text, specialty, f"{dialogue['domain']}:{intent}"))
    return list(found.values())


def is_small(text: str, intent: str) -> bool:
    if intent in _DETAILS:
        return digest_byte(text) < 256 * DETAILS_SHARE
    return intent == "outofdomain" or (intent in _GREETINGS and len(text.split()) <= 4)


def digest_byte(text: str) -> int:
    """A number below 256 that is the same for equal texts."""
    return hashlib.sha256(text.lower().encode()).digest()[0]


def embed(texts: Sequence[str], cache: Path) -> Array:
    """Vectors, a row each, from the file in `cache` or from the model."""
    cache.mkdir(parents=True, exist_ok=True)
    file = cache / f"{hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]}.npy"
    if not file.exists():
        model = load(cache, "fp32", 2)
        parts = [model.encode(texts[at : at + 256]) for at in range(0, len(texts), 256)]
        np.save(file, np.concatenate(parts))
    return np.asarray(np.load(file))


def examples(name: str, rows: Sequence[tuple[str, str, str]], vectors: Array) -> Examples:
    texts = [text for text, _, _ in rows]
    labels = np.array([LABELS.index(specialty) for _, specialty, _ in rows])
    intents = np.array([f"{name}:{intent}:{specialty}" for _, specialty, intent in rows])
    return Examples(texts, labels, intents, vectors)


def fit(sets: Sequence[Examples], seed: Examples) -> Fitted:
    """Both heads on `sets` and our own examples, weighted so that neither a large set nor a large label dominates."""
    weights = np.concatenate([weights_of(one) for one in sets])
    own = weights_of(seed)
    weights = np.concatenate([weights / weights.sum() * (1 - SEED_SHARE), own / own.sum() * SEED_SHARE])
    weights *= len(weights)
    every = [*sets, seed]
    vectors = np.concatenate([one.vectors for one in every])
    labels = np.concatenate([one.labels for one in every])
    names, intents = np.unique(np.concatenate([one.intents for one in every]), return_inverse=True)
    label_of = np.array([LABELS.index(name.rpartition(":")[2]) for name in names])
    # The fine head stops early on purpose: that is part of its regularisation.
    warnings.simplefilter("ignore", ConvergenceWarning)
    coarse = LogisticRegression(C=COARSE_C, max_iter=300).fit(vectors, labels, weights)
    fine = LogisticRegression(C=FINE_C, max_iter=40, tol=1e-3).fit(vectors, intents, weights)
    matrix = np.concatenate([coarse.coef_, fine.coef_]).astype(np.float32)
    return Fitted(matrix, np.concatenate([coarse.intercept_, fine.intercept_]).astype(np.float32), label_of)


def weights_of(one: Examples) -> Array:
    """Inverse square roots of the sizes of set and label."""
    counts = np.bincount(one.labels, minlength=len(LABELS))
    weights = 1 / np.sqrt(counts[one.labels])
    return np.asarray(weights / weights.mean() / np.sqrt(len(one.labels)))


def evaluate(sets: dict[str, Examples]) -> tuple[dict[str, Any], Array, Array]:
    """Figures a set, held out and left out; and all those predictions with the truth, each set weighing the same."""
    training = {name: held_in(sets[name]) for name in SETS}
    together = fit([sets[name].where(training[name]) for name in SETS], sets[SEED])
    raw: dict[str, tuple[Array, Array]] = {}
    for name in SETS:
        held = sets[name].where(~training[name])
        raw[f"{name} held out"] = (together.shares(held.vectors), held.labels)
        without = fit([sets[other] for other in SETS if other != name], sets[SEED])
        raw[f"{name} left out"] = (without.shares(sets[name].vectors), sets[name].labels)
        print(
            name, *(f"{part} {accuracy(*raw[f'{name} {part}']):.3f}" for part in ("held out", "left out")), flush=True
        )
    accuracies = {part: round(accuracy(*found), 3) for part, found in raw.items()}
    chosen = [sample(*found) for found in raw.values()]
    figures = {"accuracy": accuracies, "raw": raw}
    return figures, np.concatenate([one for one, _ in chosen]), np.concatenate([one for _, one in chosen])


def held_in(one: Examples) -> Array:
    """By the text, so that equal texts fall on the same side."""
    return np.array([digest_byte(text[::-1]) >= 256 * HELD_OUT for text in one.texts])


def sample(shares: Array, truth: Array, size: int = 1_000) -> tuple[Array, Array]:
    chosen = np.random.default_rng(0).choice(len(truth), size)
    return shares[chosen], truth[chosen]


def best_temperature(shares: Array, truth: Array) -> float:
    """The temperature with the least surprise, over sets that were seen in training and sets that were not."""
    candidates = np.arange(0.5, 3.01, 0.05)
    rows = np.arange(len(truth))
    losses = [-np.log(tempered(shares, one)[rows, truth]).mean() for one in candidates]
    return round(float(candidates[int(np.argmin(losses))]), 2)


def threshold(shares: Array, truth: Array) -> float:
    """The lowest confidence from which the specialties that are named are right often enough."""
    best, confidence = shares.argmax(1), shares.max(1)
    named = best != LABELS.index("none")
    for limit in np.arange(0.3, 0.95, 0.01):
        kept = named & (confidence >= limit)
        if (best[kept] == truth[kept]).mean() >= WANTED_PRECISION:
            return round(float(limit), 2)
    return 0.95


def unsure_figures(raw: dict[str, tuple[Array, Array]], temperature: float, unsure: float) -> dict[str, Any]:
    """A set: the share of messages without a hint, and how often a hint is right."""
    found: dict[str, Any] = {}
    for part, (shares, truth) in raw.items():
        scaled = tempered(shares, temperature)
        best, confidence = scaled.argmax(1), scaled.max(1)
        hinted = (best != LABELS.index("none")) & (confidence >= unsure)
        found[part] = {
            "unsure": round(float((confidence < unsure).mean()), 3),
            "hinted": round(float(hinted.mean()), 3),
            "hint_right": round(float((best[hinted] == truth[hinted]).mean()), 3),
        }
    return found


def write(path: Path, head: Fitted, about: About) -> None:
    """Rows as int8 with a scale each: a third of the size, and no answer changes."""
    scale = np.abs(head.weights).max(1) / 127
    rows = np.round(head.weights / scale[:, None]).astype(np.int8)
    encoded = json.dumps({name: getattr(about, name) for name in About.__struct_fields__}).encode()
    np.savez_compressed(
        path,
        about=np.frombuffer(encoded, np.uint8),
        weights=rows,
        scale=scale.astype(np.float32),
        bias=head.bias,
        label_of=head.label_of.astype(np.uint8),
    )


def own_accuracy(router: Router, seed: Examples) -> float:
    shares = [router.shares(vector.astype("<f4").tobytes()) for vector in seed.vectors]
    return accuracy(np.stack(shares), seed.labels)


def accuracy(shares: Array, truth: Array) -> float:
    return float((shares.argmax(1) == truth).mean())


def softmax(scores: Array) -> Array:
    raised = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


def tempered(shares: Array, temperature: float) -> Array:
    raised = np.power(np.maximum(shares, 1e-9), 1 / temperature)
    return np.asarray(raised / raised.sum(1, keepdims=True))


if __name__ == "__main__":
    main()
