"""How good a head is: cross-validation, a head on a file, and a head on data of a business that it has never seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from parley_routing.fitting import Calibration, Examples, Places, Recipe, Scored, calibrate, judged, solve
from parley_routing.grams import Floats
from parley_routing.head import About, Head
from parley_routing.rows import digest

Progress = Callable[[str], None]
Mask = npt.NDArray[np.bool_]

_BINS = 15
_WORST = 10


class Confusion(msgspec.Struct, frozen=True):
    """How often a label was taken for another."""

    truth: str
    taken_for: str
    times: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of 1; None where the data hold no message of that kind.

    `accuracy` counts every message, out of scope being a label; `in_scope` names the best label of each message in
    scope, `in_scope_kept` counts those as wrong that the threshold turned away. `named` and `named_right`: messages
    that get one label without a question back, and how many of those rightly; `asked_right`: the right label is one of
    the two asked about.
    """

    messages: int
    labels: int
    outside: int
    accuracy: float
    in_scope: float | None
    in_scope_kept: float | None
    outside_recall: float | None
    auroc: float | None
    calibration_error: float
    named: float
    named_right: float | None
    ask_back: float
    asked_right: float | None
    least_familiar: list[float]
    sure: list[float]
    confusions: list[Confusion]


class Judged(NamedTuple):
    """What became of each message: the place of the truth, of the best label in scope, and of the runner-up."""

    truth: Places
    best: Places
    second: Places
    familiarity: Floats
    named: Mask
    asked: Mask
    confidence: Floats
    right: Mask


def cross_validate(examples: Examples, outside: str, recipe: Recipe, folds: int, say: Progress) -> Report:
    """Each fold judged by a head that has not seen it, thresholds included; equal texts share a fold."""
    labels = labels_of(examples)
    fold = _folds(examples.texts, folds)
    parts: list[Judged] = []
    found: list[Calibration] = []
    for number in range(folds):
        held = np.flatnonzero(fold == number)
        if not len(held):
            continue
        head, _ = train(examples.take(np.flatnonzero(fold != number)), labels, outside, recipe)
        parts.append(judge(head, examples.take(held), outside))
        found.append(calibration_of(head))
        say(f"fold {number + 1} of {folds}: {parts[-1].right.mean():.3f} right")
    return report(_joined(parts), labels, outside, found)


def _folds(texts: Sequence[str], folds: int) -> Places:
    """The fold of each text: different texts are dealt out by their digest, so that no fold stays empty by chance."""
    dealt = {key: at % folds for at, key in enumerate(sorted({digest(text) for text in texts}))}
    return np.array([dealt[digest(text)] for text in texts], np.intp)


def of_head(head: Head, examples: Examples, outside: str) -> Report:
    """What `head` makes of the messages; `outside` is their label for what is out of scope, whatever the head calls it.

    Labels that the head does not know count as wrong.
    """
    strangers = head.about.outside or outside
    renamed = examples._replace(labels=[strangers if label == outside else label for label in examples.labels])
    labels = [*head.about.labels, *sorted(set(renamed.labels) - set(head.about.labels))]
    return report(judge(head, renamed, strangers), labels, strangers, [calibration_of(head)])


def train(examples: Examples, labels: Sequence[str], outside: str, recipe: Recipe) -> tuple[Head, Scored]:
    """A head with its thresholds, and the scores they were chosen on."""
    grams, weights, scored = solve(examples, labels, recipe)
    chosen = calibrate(scored, labels, outside)
    about = About(
        labels=list(labels),
        outside=outside if outside in labels else "",
        model="",
        date="",
        examples=len(examples.texts),
        temperature=chosen.temperature,
        least_familiar=chosen.least_familiar,
        sure=chosen.sure,
    )
    return Head(about, grams, weights), scored


def labels_of(*sets: Examples) -> list[str]:
    return sorted({label for one in sets for label in one.labels})


def calibration_of(head: Head) -> Calibration:
    return Calibration(head.about.temperature, head.about.least_familiar, head.about.sure)


def judge(head: Head, examples: Examples, outside: str) -> Judged:
    """Many messages at once, decided as `Head.decide` does; of those labelled `outside`, who is not named is right."""
    about = head.about
    labels = [*about.labels, *sorted(set(examples.labels) - set(about.labels))]
    truth = np.array([labels.index(label) for label in examples.labels], np.intp)
    scores = head.scores(examples.vectors, examples.texts)
    best, familiarity, confidence = judged(scores, about.labels, about.outside, about.temperature)
    named = familiarity >= about.least_familiar
    rest = scores.copy()
    rest[np.arange(len(best)), best] = -np.inf
    if about.outside in about.labels:
        rest[:, about.labels.index(about.outside)] = -np.inf
    stranger = truth == (labels.index(outside) if outside in labels else -1)
    right = np.where(named, best == truth, stranger)
    asked = named & (confidence < about.sure)
    return Judged(truth, best, rest.argmax(1), familiarity, named, asked, confidence, right)


def _joined(parts: Sequence[Judged]) -> Judged:
    return Judged(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def report(one: Judged, labels: Sequence[str], outside: str, found: Sequence[Calibration]) -> Report:
    """Figures from what became of each message."""
    stranger = one.truth == (labels.index(outside) if outside in labels else -1)
    inside, best_right, alone = ~stranger, one.best == one.truth, one.named & ~one.asked
    return Report(
        messages=len(one.truth),
        labels=len(labels),
        outside=int(stranger.sum()),
        accuracy=_rounded(one.right.mean()),
        in_scope=_share(best_right, inside),
        in_scope_kept=_share(best_right & one.named, inside),
        outside_recall=_share(~one.named, stranger),
        auroc=auroc(one.familiarity, inside),
        calibration_error=calibration_error(one.confidence, best_right),
        named=_rounded(alone.mean()),
        named_right=_share(best_right, alone),
        ask_back=_rounded(one.asked.mean()),
        asked_right=_share(best_right | (one.second == one.truth), one.asked),
        least_familiar=[one.least_familiar for one in found],
        sure=[one.sure for one in found],
        confusions=_confusions(one, labels, outside),
    )


def _share(what: Mask, among: Mask) -> float | None:
    return _rounded(what[among].mean()) if among.any() else None


def _rounded(value: float) -> float:
    return round(float(value), 4)


def auroc(familiarity: Floats, inside: Mask) -> float | None:
    """How often a message in scope is more familiar than one out of scope (Mann and Whitney 1947; ties half)."""
    strangers, known = np.sort(familiarity[~inside]), familiarity[inside]
    if not len(strangers) or not len(known):
        return None
    below = np.searchsorted(strangers, known, "left") + np.searchsorted(strangers, known, "right")
    return _rounded(below.mean() / 2 / len(strangers))


def calibration_error(confidence: Floats, right: Mask) -> float:
    """The expected calibration error in 15 bins (Guo et al. 2017)."""
    bins = np.minimum((confidence * _BINS).astype(np.intp), _BINS - 1)
    parts = [(bins == number) for number in range(_BINS)]
    return _rounded(sum(abs(confidence[at].mean() - right[at].mean()) * at.mean() for at in parts if at.any()))


def _confusions(one: Judged, labels: Sequence[str], outside: str) -> list[Confusion]:
    nobody = outside if outside in labels else "(nobody)"
    taken = [labels[at] if named else nobody for at, named in zip(one.best, one.named, strict=True)]
    pairs = Counter(zip((labels[at] for at in one.truth), taken, strict=True))
    wrong = [(times, truth, name) for (truth, name), times in pairs.items() if truth != name]
    return [Confusion(truth, name, times) for times, truth, name in sorted(wrong, reverse=True)[:_WORST]]
