"""Faults under load: each row strikes a mesh of three nodes while customers talk, heals, drains, and is checked.

`python tests/faults/mesh/fault_runner.py --help`; `make faults` runs every row and writes tests/faults/RESULTS.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import msgspec
from fault_rows import ROWS, Row, in_the_midst
from fault_timing import Waits, percentile, waits
from fault_world import UNLIMITED, World

from parley_proto.envelope import now_ms
from parley_testkit.history.load import Load
from parley_testkit.history.reading import read
from parley_testkit.history.verdict import Verdict, judge
from parley_testkit.mesh import RunningMesh

RESULTS = Path(__file__).parents[1] / "RESULTS.md"
_STRIKE_S = 240.0


class Result(msgspec.Struct, frozen=True):
    """What one row showed."""

    row: str
    seed: int
    strikes: int
    verdict: Verdict
    waits: Waits
    seconds: float

    def count(self, kind: str) -> int:
        return Counter(one.kind for one in self.verdict.violations)[kind]


async def run(mesh: RunningMesh, row: Row, seed: int, customers: int, turns: int) -> Result:
    """Strike `mesh` with one row under load; it is well again afterwards."""
    world = World(mesh, Random(f"{seed}/{row.name}"))
    load = Load(mesh, customers, turns, seed, drain_s=180.0)
    struck: list[int] = []

    async def strike_often(_load: Load) -> None:
        for _ in range(row.strikes):
            if not await in_the_midst(world, max(1, customers // 10), load):
                break
            struck.append(now_ms())
            async with asyncio.timeout(_STRIKE_S):
                await row.strike(world)
                await world.well()

    began = time.monotonic()
    records = read(await load.run(strike_often))
    found = waits(records, struck)
    return Result(row.name, seed, len(struck), judge(records), found, time.monotonic() - began)


def table(results: list[Result]) -> str:
    """Markdown: a line a row."""
    head = (
        "| fault | seed | strikes | accepted | answered | told why not | effects so far | lost | duplicated | "
        "reordered | duplicate effects | other | first accept s p50/p99 | first answer s p50/p99 | "
        "last waiting one s p50/p99 |"
    )
    rule = "|---" + "|---:" * 14 + "|"
    return "\n".join([head, rule, *(_line(result) for result in results)])


def _line(result: Result) -> str:
    verdict, named = result.verdict, ("lost", "duplicate", "order", "effects")
    counts = [result.count(kind) for kind in named]
    other = len(verdict.violations) - sum(counts)
    figures = [result.seed, result.strikes, verdict.accepted, verdict.answered, sum(verdict.told.values())]
    times = [_times(found) for found in (result.waits.accept, result.waits.answer, result.waits.recover)]
    cells = [result.row, *figures, verdict.effects, *counts, other, *times]
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _times(found: list[float]) -> str:
    return f"{percentile(found, 0.5):.1f} / {percentile(found, 0.99):.1f}" if found else "-"


def main() -> int:
    args = _arguments()
    rows = [row for row in ROWS if not args.row or any(wanted in row.name for wanted in args.row)]
    seed = args.seed or int.from_bytes(os.urandom(3))
    print(f"seed {seed}, {len(rows)} rows", file=sys.stderr)
    results: list[Result] = []
    with RunningMesh(nodes=args.nodes, replicas=args.replicas, environ=UNLIMITED) as mesh:
        for row in rows:
            result = asyncio.run(run(mesh, row, seed, args.customers, args.turns))
            results.append(result)
            print(_line(result), flush=True)
            for violation in result.verdict.violations[:20]:
                print(f"  {violation.kind}: {violation.reason} ({violation.conversation} {violation.message})")
            if args.out:
                Path(args.out).write_text(_report(results, args, seed))
    return 1 if any(not result.verdict.clean for result in results) else 0


def _report(results: list[Result], args: argparse.Namespace, seed: int) -> str:
    began = time.strftime("%Y-%m-%d", time.gmtime())
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return (
        "# Faults\n\n"
        f"Made by `make faults` on {began}: {machine}; {args.nodes} nodes of NATS on one machine, two instances of "
        f"each service, {args.customers} customers at once who make {args.turns} moves and end in a side effect. "
        f"Seed {seed}; `python tests/faults/mesh/fault_runner.py --seed {seed} --row NAME` repeats a row.\n\n"
        f"{table(results)}\n\n"
        "Times are from a strike to the first message accepted and the first answered among those sent after it, and "
        "to the last answer among those that were waiting when it struck; load generator, servers and services share "
        "the machine. *told why not* are messages whose answer was an honest no. *other* counts phantoms, owners "
        "out of order and answers that are not in the log.\n"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Strike a mesh with faults under load, and check its history.")
    parser.add_argument("--row", action="append", default=[], metavar="NAME", help="only rows with this in their name")
    parser.add_argument("--seed", type=int, default=0, help="of customers and faults (random)")
    parser.add_argument("--customers", type=int, default=100, help="at once (100)")
    parser.add_argument("--turns", type=int, default=9, help="moves of each before its side effect (9)")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--replicas", default="", metavar="NAME=N,…")
    parser.add_argument("--out", default="", metavar="FILE", help=f"write the table there, such as {RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
