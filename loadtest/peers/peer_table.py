"""The peers' table: lines for a terminal, and Markdown for RESULTS.md. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from peer_results import PARLEY, Result

HEAD = ("", "turns/s", "Parley ×", "p50 / p95 ms, one at a time", "CPU ms a turn", "best with", "a reply counts when")


def lines(results: Sequence[Result]) -> list[str]:
    """Columns of equal width, then why rows are missing."""
    rows = [HEAD, *_rows(results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*table, *(result.skipped for result in results if result.skipped)]


def markdown(results: Sequence[Result]) -> str:
    """The table, what each row leaves out, and why rows are missing."""
    table = [HEAD, ("---",) * len(HEAD), *_rows(results)]
    found = [f"| {' | '.join(row)} |" for row in table]
    found += ["", "What each leaves out against a turn of Parley's, and Parley against the strictest of them:", ""]
    found += [f"- {result.name}: {'; '.join(result.leaves_out)}." for result in results if not result.skipped]
    return "\n".join([*found, *(f"- {result.skipped}" for result in results if result.skipped)])


def ratios(results: Sequence[Result]) -> dict[str, float]:
    """How many times a peer's turns/s Parley has; empty without Parley's own row."""
    ours = next((one.turns_per_s for one in results if one.name == PARLEY and not one.skipped), 0.0)
    there = [one for one in results if one.turns_per_s and one.name != PARLEY]
    return {one.name: round(ours / one.turns_per_s, 2) for one in there} if ours else {}


def _rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    times = ratios(results)
    return [_row(result, times.get(result.name)) for result in results if not result.skipped]


def _row(result: Result, times: float | None) -> tuple[str, ...]:
    return (
        " ".join(part for part in (result.name, result.version) if part),
        short(result.turns_per_s),
        f"{times:.1f}" if times else "",
        f"{short(result.p50_ms)} / {short(result.p95_ms)}",
        short(result.cpu_ms_per_turn["total"]),
        _configuration(result),
        result.counted_when,
    )


def _configuration(result: Result) -> str:
    if not result.best:
        return ""
    processes = f"{result.best.processes} processes, " if result.best.processes > 1 else ""
    return f"{processes}{result.best.concurrency} at once"


def short(value: float) -> str:
    """Three digits that matter, thousands with a comma."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
