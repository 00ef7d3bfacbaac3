"""RESULTS.md: a line a row, each with its own date, seed and size, so that rows can be run in portions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from fault_counts import Work
from fault_row import Budget
from fault_timing import Waits, kept, percentile

from parley_testkit.history.verdict import Verdict

HEAD = (
    "| fault | date | seed | size | strikes | accepted | answered | told why not | turns | tool calls | effects | "
    "lost | duplicated | reordered | duplicate effects | other | first accept s p50/p99 | first answer s p50/p99 | "
    "last waiting one s p50/p99 | budget s p50/p99 | within |"
)
MODEL_HEAD = "| model check | date | seed | steps | seconds | passed |"
_NAMED = ("lost", "duplicate", "order", "effects")


class Result(msgspec.Struct, frozen=True):
    """What one row showed; `trouble` says why it could not be carried through, where it could not."""

    row: str
    date: str
    seed: int
    size: str
    strikes: int
    verdict: Verdict
    waits: Waits
    work: Work
    budget: Budget
    trouble: str = ""

    @property
    def good(self) -> bool:
        """Nothing is wrong in the history, and customers were served again in time after every strike."""
        return self.verdict.clean and not self.trouble and kept(self.waits, self.budget, self.strikes)

    def count(self, kind: str) -> int:
        return sum(one.kind == kind for one in self.verdict.violations)


def line_of(result: Result) -> str:
    """The row of the table."""
    verdict, work = result.verdict, result.work
    counts = [result.count(kind) for kind in _NAMED]
    told = [verdict.accepted, verdict.answered, sum(verdict.told.values())]
    times = [_times(found) for found in (result.waits.accept, result.waits.answer, result.waits.recover)]
    in_time = kept(result.waits, result.budget, result.strikes) and not result.trouble
    cells = [result.row, result.date, result.seed, result.size, result.strikes, *told, *work, *counts]
    cells += [len(verdict.violations) - sum(counts), *times, result.budget, "yes" if in_time else "no"]
    return _line(cells)


def model_line(date: str, seed: int, steps: int, seconds: float, *, passed: bool) -> str:
    cells = ["conversation and journal in memory, on NATS", date, seed, steps, f"{seconds:.0f}"]
    return _line([*cells, "yes" if passed else "no"])


def merged(old: Sequence[str], new: Sequence[str], order: Sequence[str]) -> list[str]:
    """Lines by the name in their first cell, new ones in the place of old ones, as in `order` and then as they come."""
    lines = {name_of(line): line for line in [*old, *new]}
    places = {name: place for place, name in enumerate(order)}
    return [lines[name] for name in sorted(lines, key=lambda name: places.get(name, len(places)))]


def lines_under(head: str, report: str) -> list[str]:
    """The rows of the table with this head; none where the report has another one."""
    _, _, below = report.partition(f"{head}\n")
    lines: list[str] = []
    for line in below.splitlines()[1:]:
        if not line.startswith("| "):
            break
        lines.append(line)
    return lines


def name_of(line: str) -> str:
    return line.split("|")[1].strip()


def report(machine: str, rows: Sequence[str], models: Sequence[str], absent: Iterable[str]) -> str:
    """The whole file; `absent` are sentences about rows that this machine can't have."""
    parts = [
        "# Faults",
        f"Made by `make faults` on {machine}: three nodes of NATS, two instances of each service, load generator and "
        "all servers on one machine. Each row has its own date, seed and size (customers x moves, mean time to think); "
        "`python tests/faults/mesh/fault_runner.py --seed SEED --row NAME` repeats one and keeps the others.",
        _table(HEAD, rows),
        "*told why not* are messages whose answer was an honest no. *turns*, *tool calls* and *effects* (changes at "
        "the third party) are of this row alone. *other* counts phantoms, owners out of order and answers that are "
        "not in the log. Times are from a strike to the first message accepted and the first answered among those "
        "sent after it, and to the last answer among those that were waiting when it struck. *within*: both of the "
        "first two keep to the row's budget.",
        _table(MODEL_HEAD, models),
        *absent,
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: str, lines: Sequence[str]) -> str:
    rule = "|---" + "|---:" * (head.count("|") - 2) + "|"
    return "\n".join([head, rule, *lines])


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _times(found: list[float]) -> str:
    return f"{percentile(found, 0.5):.1f} / {percentile(found, 0.99):.1f}" if found else "-"
