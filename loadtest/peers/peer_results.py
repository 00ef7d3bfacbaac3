"""What a peer's script says, and what a row of the table comes to. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from peer_catalogue import ALL_LEAVE_OUT, Attempt, Row

PARLEY = "Parley"


class Figures(msgspec.Struct, frozen=True):
    """A script's JSON line; `cpu_ms` is a turn's, by process tree. `recovered`: None where nothing is durable."""

    turns: int
    seconds: float
    turns_per_s: float
    p50_ms: float
    p95_ms: float
    cpu_ms: dict[str, float]
    recovered: bool | None = None


class Tried(msgspec.Struct, frozen=True):
    attempt: Attempt
    figures: Figures


class Result(msgspec.Struct, omit_defaults=True):
    """One line of the table. `skipped` says why there are no figures; times are of one conversation at a time.

    `cpu_ms_per_turn` is of everything: the peer, its database and the load itself.
    """

    name: str
    durable: bool = True
    version: str = ""
    counted_when: str = ""
    leaves_out: list[str] = []
    skipped: str = ""
    turns_per_s: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    cpu_ms_per_turn: dict[str, float] = {}
    best: Attempt | None = None
    recovered: bool | None = None
    tried: list[Tried] = []


def figures_of(output: str) -> Figures:
    """The last line of a script's output; msgspec.DecodeError or ValueError where it is none."""
    lines = output.strip().splitlines()
    if not lines:
        raise ValueError("The script said nothing.")
    return msgspec.json.decode(lines[-1], type=Figures)


def best_of(tried: Sequence[Tried]) -> Tried:
    """The fastest configuration; of one that was tried more often, the median run."""
    runs: dict[Attempt, list[Tried]] = {}
    for one in tried:
        runs.setdefault(one.attempt, []).append(one)
    return max((_median(same) for same in runs.values()), key=_speed)


def single_of(tried: Sequence[Tried]) -> Figures:
    """One conversation at a time: the configuration with the least p50."""
    alone = [one.figures for one in tried if one.attempt.concurrency == 1]
    return min(alone, key=lambda figures: figures.p50_ms)


def result_of(row: Row, version: str, tried: Sequence[Tried]) -> Result:
    """A row's line. What did not find its state again is no result: it has not done the work."""
    if row.durable and not all(one.figures.recovered for one in tried):
        return skipped_of(row, f"{row.name} did not find the state of its conversations after a new start.")
    best, alone = best_of(tried), single_of(tried)
    spent = best.figures.cpu_ms
    return msgspec.structs.replace(
        skipped_of(row, ""),
        version=version,
        turns_per_s=best.figures.turns_per_s,
        p50_ms=alone.p50_ms,
        p95_ms=alone.p95_ms,
        cpu_ms_per_turn={"total": round(sum(spent.values()), 3), **spent},
        best=best.attempt,
        recovered=best.figures.recovered,
        tried=list(tried),
    )


def skipped_of(row: Row, why: str) -> Result:
    left_out = [*row.leaves_out, *ALL_LEAVE_OUT]
    return Result(row.name, row.durable, "", row.counted_when, left_out, skipped=why)


def parley_of(saturated: Mapping[str, Any], alone: Mapping[str, Any] | None = None) -> Result:
    """Parley's own line from loadtest/load.py's JSON objects: at saturation, and of one conversation at a time.

    The CPU counts as it does for the peers, with the load, the servers and the model's stand-in, where the object has
    that (`everything`). Without `alone` its times are the overheads at saturation. KeyError where figures are missing.
    """
    spent = {name: float(value) for name, value in saturated["cpu_ms_per_turn"].items()}
    services = spent.pop("total")
    total = spent.pop("everything", services)
    times = (alone or saturated).get("answer_ms" if alone else "overhead_ms") or (alone or saturated)["overhead_ms"]
    return Result(
        PARLEY,
        counted_when="the log has the reply in the server's memory, the disk follows (one node, default settings)",
        leaves_out=["no copy on another machine, on one node", "the last writes are lost with the machine's power"],
        turns_per_s=float(saturated["turns_per_s"]),
        p50_ms=float(times["p50"]),
        p95_ms=float(times["p95"]),
        cpu_ms_per_turn={"total": total, "services": services, **spent},
    )


def _median(same: list[Tried]) -> Tried:
    middle = statistics.median_low([_speed(one) for one in same])
    return next(one for one in same if _speed(one) == middle)


def _speed(tried: Tried) -> float:
    return tried.figures.turns_per_s
