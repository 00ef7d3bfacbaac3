"""A trained head: from an embedding and a text to labels, how sure, and why. Needs numpy only; remembers nothing.

A kernel machine: the score of a label is a weighted sum of how close the message is to some 2,000 landmarks (training
messages, as vectors) and of its words. Far from everything that was trained on, every score falls to nought: that is
how a message that belongs to nobody shows (ADR of the figures: services/conversation/training/README.md).
"""

from __future__ import annotations

import io
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from parley_proto.errors import PermanentError, SettingsError
from parley_routing.grams import Floats, Grams

# Closeness is exp(-|x - y|^2) for vectors of length 1, so 2 (cosine - 1) in the exponent.
_SHARPNESS = 2.0
_SHOWN = 3
_NEAR = 0.3
FORMAT = 2


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Where a head comes from and how it decides.

    `outside` is the label of messages that belong to nobody ("" where training had none). Below `least_familiar` (in
    scores) nobody is named; up to `sure` (a confidence) the best two are, above it one.
    """

    format: int = FORMAT
    labels: list[str]
    outside: str
    model: str
    date: str
    examples: int
    temperature: float
    least_familiar: float
    sure: float
    figures: dict[str, Any] = {}


class Share(NamedTuple):
    """A label and its probability."""

    label: str
    share: float


class Decision(msgspec.Struct, frozen=True):
    """`label` is "" when out of scope. `ask_back`: it may as well be the second of `alternatives`; better ask."""

    label: str
    confidence: float
    familiarity: float
    ask_back: bool
    alternatives: list[Share]
    evidence: list[str]


class Weights(NamedTuple):
    """Landmarks as int8 [landmarks, dimensions] with a scale each and the intent of each; rows of [landmarks + grams,
    labels] as float16."""

    landmarks: npt.NDArray[np.int8]
    scale: Floats
    intents: list[str]
    rows: npt.NDArray[np.float16]


class Head:
    """Names a label for a message. A call takes a third of a millisecond; safe to call from several threads."""

    def __init__(self, about: About, grams: Grams, weights: Weights) -> None:
        self.about = about
        self.grams = grams
        self.weights = weights
        self._landmarks = unpacked(weights.landmarks, weights.scale)
        self._near, self._words = np.split(weights.rows.astype(np.float32), [len(self._landmarks)])
        self._outside = about.labels.index(about.outside) if about.outside in about.labels else None

    @cached_property
    def _inside(self) -> npt.NDArray[np.intp]:
        return np.array([place for place in range(len(self.about.labels)) if place != self._outside], np.intp)

    @property
    def dimensions(self) -> int:
        return int(self._landmarks.shape[1])

    def decide(self, vector: bytes, text: str = "") -> Decision:
        """What the message is about; `vector` holds little-endian float32. PermanentError for one of another size."""
        near = self._closeness(vector)
        places, values = self.grams.row(text)
        scores = near @ self._near + values @ self._words[places]
        shares = softmax(np.asarray(scores / self.about.temperature, np.float32))
        order = self._inside[np.argsort(-scores[self._inside], kind="stable")]
        familiarity = self._familiarity(scores)
        best, confidence = int(order[0]), float(shares[order[0]])
        named = familiarity >= self.about.least_familiar
        return Decision(
            label=self.about.labels[best] if named else "",
            confidence=round(confidence, 3),
            familiarity=round(familiarity, 3),
            ask_back=named and confidence < self.about.sure,
            alternatives=[Share(self.about.labels[at], round(float(shares[at]), 3)) for at in order[:_SHOWN]],
            evidence=[*self._said(places, values, best), *self._resembled(near)],
        )

    def scores(self, vectors: Floats, texts: list[str]) -> Floats:
        """Many at once, [texts, labels]: for measuring."""
        return np.asarray(closeness(vectors, self._landmarks) @ self._near + self.grams.matrix(texts) @ self._words)

    def _closeness(self, vector: bytes) -> Floats:
        if len(vector) != self.dimensions * 4:
            raise PermanentError(
                f"A vector of {len(vector)} bytes can't be routed: the router was trained on {self.about.model}.",
                code="bad_vector",
            )
        return closeness(np.frombuffer(vector, "<f4"), self._landmarks)

    def _familiarity(self, scores: Floats) -> float:
        outside = 0.0 if self._outside is None else float(scores[self._outside])
        return float(scores[self._inside].max()) - outside

    def _said(self, places: npt.NDArray[np.intp], values: Floats, best: int) -> list[str]:
        """The words that speak for the label more than for the others, strongest first."""
        words = self.grams.is_telling[places]
        rows = self._words[places[words]]
        pull = values[words] * (rows[:, best] - rows.mean(1))
        strongest = np.argsort(-pull)[:_SHOWN]
        return [f'"{self.grams.names[places[words][at]]}"' for at in strongest if pull[at] > 0]

    def _resembled(self, near: Floats) -> list[str]:
        nearest = int(near.argmax()) if len(near) else 0
        if not len(near) or near[nearest] < _NEAR:
            return []
        return [f"like {self.weights.intents[nearest]}"]

    def save(self, path: Path) -> int:
        """Write the head; its size in bytes. OSError where `path` can't be written."""
        header = msgspec.json.encode([self.about, self.grams, self.weights.intents])
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            header=np.frombuffer(header, np.uint8),
            landmarks=self.weights.landmarks,
            scale=self.weights.scale,
            rows=self.weights.rows,
        )
        return path.write_bytes(buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Head:
        """The head in the file `path`; SettingsError where it is missing, damaged or of another format."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in ("header", "landmarks", "scale", "rows")}
            about, grams, intents = msgspec.json.decode(arrays["header"].tobytes(), type=tuple[About, Grams, list[str]])
            head = cls(about, grams, Weights(arrays["landmarks"], arrays["scale"], intents, arrays["rows"]))
        except FileNotFoundError as error:
            raise SettingsError(f"There is no router head at {path}: train one with `parley route train`.") from error
        except Exception as error:
            # numpy and zipfile raise what they like on a damaged file.
            raise SettingsError(f"{path} is not a router head that can be read: train it anew.") from error
        head._check(path)
        return head

    def _check(self, path: Path) -> None:
        shape = (len(self._landmarks) + len(self.grams.names), len(self.about.labels))
        named = len(self.weights.intents) == len(self._landmarks)
        if self.about.format != FORMAT or self.weights.rows.shape != shape or not named:
            raise SettingsError(f"{path} is a router head of another version: train it anew.")


def unpacked(landmarks: npt.NDArray[np.int8], scale: Floats) -> Floats:
    return np.asarray(landmarks.astype(np.float32) * scale[:, None], np.float32)


def closeness(vectors: Floats, landmarks: Floats) -> Floats:
    """1 where a vector lies on a landmark, 0.02 at right angles to it: the radial basis kernel."""
    return np.asarray(np.exp(_SHARPNESS * (vectors @ landmarks.T - 1)), np.float32)


def softmax(scores: Floats) -> Floats:
    """Scores as shares of 1, along the last axis."""
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True), np.float32)
