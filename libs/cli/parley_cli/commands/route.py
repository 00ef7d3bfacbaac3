"""`parley route`: train the router on messages of one's own, and measure it. Needs no running mesh."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.supervise.home import Home
from parley_cli.table import print_table
from parley_routing import evaluation, six_way
from parley_routing.evaluation import Report
from parley_routing.fitting import Examples, Recipe
from parley_routing.head import Head
from parley_routing.rows import OUTSIDE, Fields, digest, read
from parley_routing.vectors import MODEL, embed

_REFUSED_SHOWN = 20
_LEAST_A_LABEL = 2


def train(args: argparse.Namespace) -> int:
    """Cross-validate, train on everything, write the head; exit code 1 when rows were refused."""
    _check_place(Path(args.out))
    examples, outside, refused = _examples(Path(args.file), args)
    labels = evaluation.labels_of(examples)
    _check_labels(examples, args.file)
    report = evaluation.cross_validate(examples, outside, Recipe(), _folds(args), _say)
    head, _ = evaluation.train(examples, labels, outside, Recipe())
    today = datetime.date.today().isoformat()
    about = msgspec.structs.replace(head.about, model=MODEL, date=today, figures={"cross-validated": _plain(report)})
    try:
        size = Head(about, head.grams, head.weights).save(Path(args.out))
    except OSError as error:
        raise CommandError(f"{args.out} can't be written: {error.strerror}.") from error
    _print({args.file: report}, args.json)
    limits = f"familiar from {about.least_familiar}, sure from {about.sure}"
    _say(f"{args.out}: {size / 1e6:.2f} MB, {len(labels)} labels, {limits}.")
    return 1 if refused else 0


def evaluate(args: argparse.Namespace) -> int:
    """The figures of each file; exit code 1 when rows were refused."""
    if args.leave_one_out:
        return _leave_one_out(args)
    head = Head.load(Path(args.head)) if args.head else None
    reports: dict[str, Report] = {}
    refused = 0
    for file in args.files:
        examples, outside, bad = _examples(Path(file), args)
        refused += bad
        if head is None:
            _check_labels(examples, file)
            reports[file] = evaluation.cross_validate(examples, outside, Recipe(), _folds(args), _say)
        else:
            reports[file] = evaluation.of_head(head, examples, outside)
    _print(reports, args.json)
    return 1 if refused else 0


def _leave_one_out(args: argparse.Namespace) -> int:
    if len(args.files) < _LEAST_A_LABEL:
        raise CommandError("--leave-one-out needs two files or more.", EXIT_USAGE)
    cache = _cache(args)
    own = six_way.own_examples(lambda texts: embed(texts, cache, _say))
    sets = six_way.sets_of([Path(file) for file in args.files], lambda texts: embed(texts, cache, _say))
    left = {one.name: one.accuracy for one in six_way.leave_each_out(sets, own)}
    average = round(sum(left.values()) / len(left), 4)
    if args.json:
        print(msgspec.json.encode({"left_out": left, "average": average}).decode())
    else:
        print_table(
            ["left out", "accuracy"], [[name, f"{value:.3f}"] for name, value in (left | {"average": average}).items()]
        )
    return 0


def _examples(file: Path, args: argparse.Namespace) -> tuple[Examples, str, int]:
    """The messages of a file with their vectors, the label of what is out of scope, and how many rows were refused."""
    found = read(file, Fields(args.text_field, args.labels))
    _say(f"{file}: {len(found.rows):,} messages, text from {found.fields.text!r}, label from {found.fields.label!r}.")
    for reason in found.refused[:_REFUSED_SHOWN]:
        _say(reason)
    if len(found.refused) > _REFUSED_SHOWN:
        _say(f"… and {len(found.refused) - _REFUSED_SHOWN:,} more.")
    labels = [row.label for row in found.rows]
    known = set(labels)
    outside = args.oos_label or next((name for name in OUTSIDE if name in known), "")
    texts = [row.text for row in found.rows]
    if outside and outside not in known:
        raise CommandError(f"{file} has no message with the label {outside!r} (--oos-label).", EXIT_USAGE)
    vectors = embed(texts, _cache(args), _say)
    weights = np.ones(len(texts), np.float32)
    return Examples(texts, labels, [row.intent for row in found.rows], vectors, weights), outside, len(found.refused)


def _check_place(out: Path) -> None:
    """CommandError before the work, not after it."""
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise CommandError(f"{out} can't be written: name a file in a folder that is there.", EXIT_USAGE)


def _check_labels(examples: Examples, file: str) -> None:
    """CommandError where there is nothing to tell apart."""
    texts: dict[str, set[int]] = {}
    for text, label in zip(examples.texts, examples.labels, strict=True):
        texts.setdefault(label, set()).add(digest(text))
    counts = {label: len(different) for label, different in texts.items()}
    if len(counts) < _LEAST_A_LABEL:
        raise CommandError(f"{file} has only the label {next(iter(counts))!r}: a router needs two or more.")
    lone = sorted(label for label, count in counts.items() if count < _LEAST_A_LABEL)
    if lone:
        raise CommandError(f"{file} has a single example of {lone[0]!r}: give each label two different ones or more.")


def _folds(args: argparse.Namespace) -> int:
    if not 2 <= args.folds <= 20:
        raise CommandError(f"--folds must be from 2 to 20, not {args.folds}.", EXIT_USAGE)
    return int(args.folds)


def _cache(args: argparse.Namespace) -> Path:
    """Model and vectors stay there, so that a second run is quick."""
    folder: Path = Home.at(args.data).root / "router"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{folder} can't be made: {error.strerror}; choose another with --data.") from error
    return folder


def _print(reports: dict[str, Report], as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode({file: _plain(report) for file, report in reports.items()}).decode())
        return
    for file, report in reports.items():
        rows = [
            [name.replace("_", " "), _shown(value)] for name, value in _plain(report).items() if name != "confusions"
        ]
        print_table([Path(file).name, "figure"], rows)
        worst = [[one.truth, one.taken_for, str(one.times)] for one in report.confusions]
        if worst:
            print_table(["label", "taken for", "times"], worst)


def _plain(report: Report) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(report)
    return plain


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(f"{one:.3f}" for one in value)
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
