"""`parley check`: judge a recorded history."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from parley_testkit.history.reading import read
from parley_testkit.history.verdict import judge, lines_of


def run(args: argparse.Namespace) -> int:
    """Print the verdict on `args.history`, as JSON with `args.json`; 1 when a promise is broken, 0 when none is.

    CommandError (exit code 2) names the line that is no record.
    """
    verdict = judge(read(Path(args.history)))
    if args.json:
        print(msgspec.json.encode(verdict).decode())
    else:
        print("\n".join(lines_of(verdict)))
    return 0 if verdict.clean else 1
