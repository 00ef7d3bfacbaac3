"""Parley beside its peers, on the same work, one after the other on this machine.

.venv/bin/python loadtest/peers/run.py --parley-json loadtest/out/latest.json
Each peer (peer_catalogue.py) runs in its own environment, which is made on demand; where that fails its row says so.
Every configuration is tried for a few seconds, the fastest three times, and its median counts. PostgreSQL is started
here, with the settings that Parley's own has. Parley's row comes from --parley-json and --parley-single-json (what
loadtest/load.py wrote at saturation and alone), or else from running it. Prints a table; the last line is one JSON
object, also written to loadtest/out/peers.json, and loadtest/out/peers.md has the table in Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import peer_catalogue
import peer_install
import peer_results
import peer_table
from peer_catalogue import Attempt, Row
from peer_results import Result, Tried

from parley_testkit.postgres import Postgres

HERE = Path(__file__).parent
LOAD = HERE.parent / "load.py"
RUN_S = 180.0
FIRST_TURNS = 200
MOST_TURNS = 100_000
PARLEY_S = 30


class Failed(Exception):
    """One sentence: why a run has no figures."""


class Database(msgspec.Struct, frozen=True):
    url: str
    pid: int


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD,…", help="rows that have one of these words in their name")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each configuration runs, about")
    parser.add_argument("--repeat", type=int, default=3, help="how often the fastest configuration runs")
    parser.add_argument("--parley-json", default="", metavar="FILE")
    parser.add_argument("--parley-single-json", default="", metavar="FILE")
    parser.add_argument("--install-elixir", action="store_true", help="with apt-get, where it is missing")
    parser.add_argument("--out", type=Path, default=HERE.parent / "out", metavar="FOLDER")
    return parser.parse_args()


async def main() -> int:
    asked = options()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.install_elixir:
        peer_install.install_elixir(asked.out)
    results = [parley(asked)]
    async with Postgres() as server:
        database = Database(server.url(), int((server.cluster.folder / "postmaster.pid").read_text().split()[0]))
        for row in peer_catalogue.chosen(asked.only):
            results.append(await asyncio.to_thread(measured, row, database, asked))
            print("\n".join(peer_table.lines(results[-1:])[-1:]), file=sys.stderr)
    written(results, asked.out)
    return 0


def written(results: list[Result], out: Path) -> None:
    found = {"cores": os.cpu_count(), "rows": results, "times_parley": peer_table.ratios(results)}
    line = msgspec.json.encode(found)
    (out / "peers.json").write_bytes(line)
    (out / "peers.md").write_text(peer_table.markdown(results) + "\n")
    print("\n".join(peer_table.lines(results)))
    print(line.decode())


def measured(row: Row, database: Database, asked: argparse.Namespace) -> Result:
    """A row's line of the table, or why there is none."""
    try:
        command = peer_install.command(row.family, asked.out)
        tried = tries(row, [*command, str(HERE / row.script)], database, asked)
        return peer_results.result_of(row, peer_install.version(row.family), tried)
    except (peer_install.NotInstalled, Failed) as why:
        return peer_results.skipped_of(row, str(why))


def tries(row: Row, command: list[str], database: Database, asked: argparse.Namespace) -> list[Tried]:
    """Every configuration once, each for as many turns as it should take, and the fastest again.

    A configuration may fail, as some do under load; Failed where none is left to compare.
    """
    found: list[Tried] = []
    turns, why = FIRST_TURNS, Failed(f"{row.name} was not tried.")
    for attempt in peer_catalogue.attempts(row):
        try:
            found.append(tried(row, command, attempt, turns, database))
        except Failed as error:
            why = error
            print(f"{attempt}: {why}", file=sys.stderr)
        rate = max((one.figures.turns_per_s for one in found), default=0.0)
        turns = min(MOST_TURNS, max(FIRST_TURNS, int(rate * asked.seconds)))
    if not any(one.attempt.concurrency == 1 for one in found):
        raise why
    best = peer_results.best_of(found).attempt
    return found + [tried(row, command, best, turns, database) for _ in range(asked.repeat - 1)]


def tried(row: Row, command: list[str], attempt: Attempt, turns: int, database: Database) -> Tried:
    """One run of a peer's script, in a folder of its own. Failed where it did not do the work."""
    with tempfile.TemporaryDirectory(prefix="parley-peer-") as folder:
        arguments = ["--turns", str(turns), "--folder", folder, "--mode", attempt.mode]
        arguments += ["--concurrency", str(attempt.concurrency), "--processes", str(attempt.processes)]
        if row.database:
            arguments += ["--database-url", database.url, "--database-pid", str(database.pid)]
        said = output([*command, *arguments], row.name)
    try:
        found = peer_results.figures_of(said)
    except ValueError as error:
        raise Failed(f"{row.name} printed no figures: {error}") from error
    print(f"{row.name}: {attempt} {found.turns_per_s:.0f} turns/s", file=sys.stderr)
    return Tried(attempt, found)


def output(command: list[str], name: str) -> str:
    """What a command prints; Failed in one sentence where it fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"{name} was not done after {RUN_S:.0f} s.") from None
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise Failed(f"{name} failed: {reason}")
    return done.stdout


def parley(asked: argparse.Namespace) -> Result:
    """Parley's own row: as it was measured before, or measured now."""
    try:
        saturated = loaded(asked.parley_json, "saturation")
        both = asked.parley_single_json or not asked.parley_json
        return peer_results.parley_of(saturated, loaded(asked.parley_single_json, "single") if both else None)
    except (Failed, KeyError, OSError, msgspec.DecodeError) as why:
        return Result(peer_results.PARLEY, skipped=f"Parley's own row is missing: {why}")


def loaded(file: str, profile: str) -> dict[str, Any]:
    """A result of loadtest/load.py."""
    if file:
        return dict(msgspec.json.decode(Path(file).read_bytes(), type=dict[str, Any]))
    if not LOAD.is_file():
        raise Failed("there is no loadtest/load.py to measure it; --parley-json takes a file.")
    command = [sys.executable, str(LOAD), "--profile", profile, "--work", "handoff", "--seconds", str(PARLEY_S)]
    said = output(command, "loadtest/load.py")
    return dict(msgspec.json.decode(said.strip().splitlines()[-1], type=dict[str, Any]))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
