"""What a replay comes to: pure counting over the outcomes of its conversations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

NONE = "none"
ASKED = "asked"
_KINDS = ("grounded", "asked", "refused", "failed", "handed_off")


class Outcome(msgspec.Struct, frozen=True):
    """What became of one line. `expected` is its specialty, empty when it names none; `ms` from sending to answer.

    `finals` are the distinct messages that ended a run of its one turn: more than one is a duplicate.
    """

    accepted: bool = False
    refusal: str = ""
    answered: bool = False
    finals: int = 0
    text: str = ""
    specialty: str = ""
    kind: str = ""
    handed_off: bool = False
    expected: str = ""
    ms: float = 0.0


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of a replay.

    `kinds` counts answers by kind; `handed_off` counts besides those that came after a handoff.
    `most_common_share` is the share of the most frequent text among the answers that are no question back.
    """
    answered = [outcome for outcome in outcomes if outcome.answered]
    texts = Counter(outcome.text for outcome in answered if outcome.kind != ASKED)
    return {
        "lines": len(outcomes),
        "accepted": sum(outcome.accepted for outcome in outcomes),
        "answered": len(answered),
        "lost": sum(outcome.accepted and not outcome.answered for outcome in outcomes),
        "duplicated": sum(outcome.finals > 1 for outcome in outcomes),
        "refused_input": sum(bool(outcome.refusal) for outcome in outcomes),
        "kinds": _kinds(answered),
        "distinct_answers": len({outcome.text for outcome in answered}),
        "most_common_share": _share(max(texts.values(), default=0), texts.total()),
        "ms": _percentiles([outcome.ms for outcome in answered]),
        "routing": _routing([outcome for outcome in answered if outcome.expected]),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of `values` do not exceed (nearest rank); 0 for none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _kinds(answered: Sequence[Outcome]) -> dict[str, int]:
    counts = Counter(outcome.kind for outcome in answered if outcome.kind)
    counts["handed_off"] = sum(outcome.handed_off for outcome in answered)
    return {kind: counts[kind] for kind in (*_KINDS, *sorted(set(counts) - set(_KINDS)))}


def _routing(labelled: Sequence[Outcome]) -> dict[str, Any]:
    correct = sum(_is_correct(outcome) for outcome in labelled)
    return {
        "correct": correct,
        "of": len(labelled),
        "accuracy": _share(correct, len(labelled)),
        "unsure": sum(_is_unsure(outcome) for outcome in labelled),
    }


def _is_correct(outcome: Outcome) -> bool:
    return _is_unsure(outcome) if outcome.expected == NONE else outcome.specialty == outcome.expected


def _is_unsure(outcome: Outcome) -> bool:
    return outcome.kind == ASKED or not outcome.specialty


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {f"p{rank}": round(percentile(values, rank / 100), 1) for rank in (50, 95, 99)}


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
