"""Faults under load: each row strikes a mesh of three nodes while customers talk, heals, drains, and is checked.

`python tests/faults/mesh/fault_runner.py --help`; `make faults` runs every row and writes tests/faults/RESULTS.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import groupby
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

from fault_counts import work_of
from fault_outside import can_mount, own_disk
from fault_report import HEAD, MODEL_HEAD, Result, line_of, lines_under, merged, model_line, report
from fault_row import Row, Stage
from fault_rows import LONG_ROWS, ROWS, in_the_midst
from fault_timing import waits
from fault_world import UNLIMITED, World

from parley_proto.envelope import now_ms
from parley_proto.errors import ParleyError
from parley_testkit.history.load import Load
from parley_testkit.history.reading import read
from parley_testkit.history.verdict import judge
from parley_testkit.mesh import RunningMesh

RESULTS = Path(__file__).parents[1] / "RESULTS.md"
MODEL_CHECK = Path(__file__).parents[2] / "model"
_DRAIN_S = 180.0


class Size(NamedTuple):
    """How many customers talk at once, how often each says something, and how long they think before it on average."""

    customers: int
    turns: int
    think_s: float

    def __str__(self) -> str:
        return f"{self.customers} x {self.turns}, {self.think_s:g} s"


async def run(world: World, row: Row, seed: int, size: Size) -> Result:
    """Strike a mesh with one row under load; it is well again afterwards, or the result says what is wrong with it."""
    world.random = Random(f"{seed}/{row.name}")
    # A strike takes about twice as long as what comes between two.
    between = max(1, size.customers * size.turns // (3 * row.strikes))
    load = Load(world.mesh, size.customers, size.turns, seed, think_s=size.think_s, drain_s=_DRAIN_S)
    struck, trouble = list[int](), list[str]()

    async def strike_often(_load: Load) -> None:
        try:
            for _ in range(row.strikes):
                await in_the_midst(world, between, load)
                struck.append(now_ms())
                async with asyncio.timeout(row.patience_s):
                    await row.strike(world)
                    await world.well()
        except (AssertionError, OSError, TimeoutError, ParleyError) as error:
            # What was said until then is judged all the same.
            trouble.append(f"{type(error).__name__}: {error}")

    history = read(await load.run(strike_often))
    work = await work_of(world.mesh.operator(), history)
    verdict, found = judge(history), waits(history, struck)
    return Result(
        row.name, _today(), seed, str(size), len(struck), verdict, found, work, row.within, "; ".join(trouble)
    )


@asynccontextmanager
async def staged(stage: Stage | None, nodes: int, replicas: str) -> AsyncIterator[World]:
    """A mesh in a world that `stage` has prepared."""
    mesh = RunningMesh(nodes=nodes, replicas=replicas, environ=UNLIMITED)
    world = World(mesh, Random())
    async with AsyncExitStack() as stack:
        stack.push(mesh.__exit__)
        if stage:
            await stack.enter_async_context(stage(world))
        # Before its surroundings go.
        stack.callback(mesh.run, "down", timeout=120.0)
        await asyncio.to_thread(mesh.start)
        yield world


async def run_all(rows: Sequence[Row], args: argparse.Namespace, seed: int, tell: Callable[[Result], None]) -> bool:
    """Run rows that need the same mesh on one mesh, and tell each result; whether all were good."""
    good = True
    for stage, some in groupby(sorted(rows, key=_stage_name), key=lambda row: row.stage):
        async with staged(stage, args.nodes, args.replicas) as world:
            for row in some:
                result = await run(world, row, seed, Size(args.customers, args.turns, args.think))
                tell(result)
                good = good and result.good
    return good


def check_model(steps: int, seed: int) -> tuple[str, bool]:
    """The line of the results about `steps` steps of the model check, and whether it passed."""
    environ = os.environ | {"PARLEY_MODEL_STEPS": str(steps), "PARLEY_MODEL_SEED": str(seed)}
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-n", "0", str(MODEL_CHECK)], env=environ, check=False)
    passed = not done.returncode
    return model_line(_today(), seed, steps, time.monotonic() - began, passed=passed), passed


class Results:
    """The file with the results: what it says of rows that are not run again stays."""

    def __init__(self, path: Path | None, absent: Sequence[str]) -> None:
        self._path = path
        self._absent = absent

    def add(self, line: str, *, of_model: bool = False) -> None:
        """Replace the row with the same name in the file as it is now: another portion may be running as well."""
        if self._path is None:
            return
        old = self._path.read_text("utf-8") if self._path.exists() else ""
        rows, models = lines_under(HEAD, old), lines_under(MODEL_HEAD, old)
        if of_model:
            models = merged(models, [line], [])
        else:
            rows = merged(rows, [line], [row.name for row in [*ROWS, *LONG_ROWS]])
        self._path.write_text(report(_machine(), rows, models, self._absent), "utf-8")


def main() -> int:
    args = _arguments()
    seed = args.seed or int.from_bytes(os.urandom(3))
    rows, absent = _chosen(args)
    results = Results(Path(args.out) if args.out else None, absent)
    print(f"seed {seed}, {len(rows)} rows\n{HEAD}", flush=True)
    good = asyncio.run(run_all(rows, args, seed, lambda result: _tell(result, results)))
    if args.model:
        print(f"model check: seed {seed}, {args.model} steps", flush=True)
        line, passed = check_model(args.model, seed)
        print(f"{MODEL_HEAD}\n{line}", flush=True)
        results.add(line, of_model=True)
        good = good and passed
    return 0 if good else 1


def _tell(result: Result, results: Results) -> None:
    line = line_of(result)
    print(line, flush=True)
    if result.trouble:
        print(f"  trouble: {result.trouble}")
    for violation in result.verdict.violations[:20]:
        print(f"  {violation.kind}: {violation.reason} ({violation.conversation} {violation.message})")
    results.add(line)


def _chosen(args: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """The rows to run, and sentences about those that this machine can't have."""
    known = [*ROWS, *(LONG_ROWS if args.long else [])]
    rows = [row for row in known if not args.row or any(wanted in row.name for wanted in args.row)]
    with TemporaryDirectory() as folder:
        mounts = can_mount(Path(folder))
    if mounts:
        return rows, []
    absent = [
        f"Not covered: *{row.name}*, because nothing can be mounted here." for row in ROWS if row.stage is own_disk
    ]
    return [row for row in rows if row.stage is not own_disk], absent


def _stage_name(row: Row) -> str:
    return row.stage.__name__ if row.stage else ""


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Strike a mesh with faults under load, and check its history.")
    parser.add_argument("--row", action="append", default=[], metavar="NAME", help="only rows with this in their name")
    parser.add_argument("--seed", type=int, default=0, help="of customers, faults and the model check (random)")
    parser.add_argument("--customers", type=int, default=20, help="at once (20)")
    parser.add_argument("--turns", type=int, default=36, help="moves of each before the last side effect (36)")
    parser.add_argument("--think", type=float, default=2.0, metavar="SECONDS", help="before a move, on average (2)")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--replicas", default="", metavar="NAME=N,…")
    parser.add_argument("--long", action="store_true", help="also PostgreSQL away for 600 s")
    parser.add_argument(
        "--model", type=int, default=0, metavar="STEPS", help="then the model check, with so many steps"
    )
    parser.add_argument("--out", default="", metavar="FILE", help=f"keep the results there, such as {RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
