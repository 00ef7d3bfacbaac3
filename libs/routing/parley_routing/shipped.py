"""Train the head that ships: python -m parley_routing.shipped --data FOLDER --out FILE [--cache FOLDER]

FOLDER holds banking77.jsonl, clinc150.jsonl, bitext.jsonl, hint3.jsonl, multidogo_dialogues.jsonl and
specialty_map.json. The texts stay where they are: weights, the most telling words and figures are written.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

from parley_proto.errors import ParleyError
from parley_routing.six_way import leave_each_out, own_examples, sets_of, shipped
from parley_routing.vectors import MODEL, embed

FILES = ("banking77.jsonl", "clinc150.jsonl", "bitext.jsonl", "hint3.jsonl", "multidogo_dialogues.jsonl")


def main() -> int:
    arguments = parse_arguments()
    try:
        return run(arguments.data, arguments.out, arguments.cache)
    except ParleyError as error:
        print(error.message, file=sys.stderr)
        return 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the router's head that ships.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the labelled files")
    parser.add_argument("--out", type=Path, required=True, help="such as router_head.npz")
    parser.add_argument("--cache", type=Path, default=Path(".parley/router"), help="folder for the model and vectors")
    return parser.parse_args()


def run(data: Path, out: Path, cache: Path) -> int:
    """Leave each set out, train on all, write; the figures go to standard output."""
    own = own_examples(lambda texts: embed(texts, cache, say))
    sets = sets_of([data / name for name in FILES], lambda texts: embed(texts, cache, say))
    left = []
    for one in leave_each_out(sets, own):
        left.append(one)
        print(f"{one.name} left out: {one.accuracy:.3f}", flush=True)
    head = shipped(sets, own, left, MODEL, str(datetime.date.today()))
    size = head.save(out)
    about = head.about
    print(f"on average {sum(one.accuracy for one in left) / len(left):.3f}; {size / 1e6:.2f} MB")
    print(f"temperature {about.temperature}, familiar from {about.least_familiar}, sure from {about.sure}")
    return 0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
