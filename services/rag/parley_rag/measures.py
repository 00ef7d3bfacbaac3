"""How good rankings are, in the usual measures. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np


def recall(found: Sequence[str], gold: Collection[str], depth: int) -> float:
    """The share of `gold` among the first `depth` of `found`; with more gold than `depth` it can't reach 1."""
    return len(set(found[:depth]) & set(gold)) / len(gold)


def most_recall(gold: Collection[str], depth: int) -> float:
    """The recall of a perfect ranking."""
    return min(depth, len(gold)) / len(gold)


def ndcg(found: Sequence[str], gold: Collection[str], depth: int) -> float:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002) with gains of 0 and 1."""
    gained = sum(_discount(rank) for rank, one in enumerate(found[:depth]) if one in gold)
    return gained / sum(_discount(rank) for rank in range(min(depth, len(gold))))


def reciprocal_rank(found: Sequence[str], gold: Collection[str], depth: int) -> float:
    """1 for gold in the first place, 1/2 in the second, 0 for none down to `depth`."""
    return next((1.0 / rank for rank, one in enumerate(found[:depth], start=1) if one in gold), 0.0)


def auroc(yes: Sequence[float], no: Sequence[float]) -> float:
    """The chance that one of `yes` scores higher than one of `no`, ties half (Mann and Whitney 1947); nan for none."""
    if not yes or not no:
        return math.nan
    lower = np.sort(np.asarray(no))
    below = np.searchsorted(lower, yes, "left") + np.searchsorted(lower, yes, "right")
    return float(below.sum() / 2 / len(yes) / len(no))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of `values` do not exceed (nearest rank); 0 for none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def mean(values: Sequence[float]) -> float:
    """0 for none."""
    return math.fsum(values) / len(values) if values else 0.0


def _discount(rank: int) -> float:
    return 1.0 / math.log2(rank + 2)
