"""What a message is about: two linear heads over the embedding of the newest message. Pure.

One head tells the six labels apart, the other the some 400 fine intents of its training data, summed by label: the
first generalises better, the second knows more; their mean beats both (training/README.md has the figures).
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from parley_proto.errors import PermanentError
from parley_proto.specialist import RouteHint

HEAD = "router_head.npz"
NONE = "none"

Floats = npt.NDArray[np.float32]


class About(msgspec.Struct, frozen=True):
    """Where a head comes from. `unsure` is the confidence below which no specialty is named."""

    labels: list[str]
    model: str
    date: str
    temperature: float
    unsure: float
    figures: dict[str, Any]


class Router:
    """Names a specialty for a vector, or none when unsure. A call takes some 50 µs; nothing is remembered."""

    def __init__(self, about: About, weights: Floats, bias: Floats, label_of: npt.NDArray[np.intp]) -> None:
        """`weights` is [rows, 384]: one row a label first, then one a fine intent, `label_of` each of those."""
        self.about = about
        self._weights = weights
        self._bias = bias
        self._labels = len(about.labels)
        self._of_label = np.equal(np.arange(self._labels)[:, None], label_of[None, :]).astype(np.float32)

    @classmethod
    def load(cls, path: Path | None = None) -> Router:
        """The head that ships with the service, or the one at `path`."""
        source = path or Path(str(importlib.resources.files("parley_conversation"))) / HEAD
        with np.load(source, allow_pickle=False) as file:
            about = msgspec.json.decode(file["about"].tobytes(), type=About)
            weights = file["weights"].astype(np.float32) * file["scale"][:, None].astype(np.float32)
            return cls(about, weights, file["bias"].astype(np.float32), file["label_of"].astype(np.intp))

    def route(self, vector: bytes) -> RouteHint:
        """The specialty of the message behind `vector` (384 little-endian float32), with a confidence of 0 to 1.

        `specialty` is empty when unsure and for messages that belong to nobody (greetings, gibberish, small talk).
        PermanentError for a vector of another size.
        """
        shares = self.shares(vector)
        best = int(shares.argmax())
        label, confidence = self.about.labels[best], float(shares[best])
        if label == NONE or confidence < self.about.unsure:
            return RouteHint("", round(confidence, 3))
        return RouteHint(label, round(confidence, 3))

    def shares(self, vector: bytes) -> Floats:
        """The probability of each of `about.labels`."""
        if len(vector) != self._weights.shape[1] * 4:
            raise PermanentError(
                f"A vector of {len(vector)} bytes can't be routed: the router was trained on {self.about.model}.",
                code="bad_vector",
            )
        scores = self._weights @ np.frombuffer(vector, "<f4") + self._bias
        coarse = _softmax(scores[: self._labels])
        fine = self._of_label @ _softmax(scores[self._labels :])
        return _tempered(np.asarray((coarse + fine) / 2, np.float32), self.about.temperature)


def _softmax(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max())
    return np.asarray(raised / raised.sum(), np.float32)


def _tempered(shares: Floats, temperature: float) -> Floats:
    """Temperature scaling (Guo et al. 2017): the order stays, the confidence becomes what it says."""
    raised = np.power(np.maximum(shares, 1e-9), 1 / temperature)
    return np.asarray(raised / raised.sum(), np.float32)
