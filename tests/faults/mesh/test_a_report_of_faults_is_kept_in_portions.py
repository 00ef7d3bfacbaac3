from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from fault_counts import Work, effects_of
from fault_report import HEAD, MODEL_HEAD, Result, line_of, lines_under, merged, model_line, name_of
from fault_row import NODE, SERVICE, Budget, Row
from fault_rows import ROWS
from fault_runner import Results
from fault_timing import Waits, kept

from parley_testkit.history.reading import Numbered
from parley_testkit.history.records import Answer, Effect, Invoke, Ok
from parley_testkit.history.rules import Violation
from parley_testkit.history.verdict import judge

HISTORY: list[Numbered] = [
    (1, Effect(key="refund of an earlier row", at=5)),
    (2, Invoke(conversation="c", message="m", at=10)),
    (3, Ok(conversation="c", message="m", seq=1, at=11)),
    (4, Effect(key="e-mail", at=12)),
    (5, Answer(conversation="c", messages=["m"], answer="a", seq=2, at=13)),
]


def result(row: str = "SIGKILL of one billing", waits: Waits | None = None, budget: Budget = SERVICE) -> Result:
    found = waits or Waits([0.2], [1.0], [3.0])
    return Result(row, "2026-11-28", 7, "20 x 36, 2 s", 1, judge(HISTORY), found, Work(1042, 800, 400), budget)


def cell(line: str, head: str, name: str) -> str:
    names = [one.strip() for one in head.split("|")]
    return line.split("|")[names.index(name)].strip()


def test_a_line_tells_the_work_of_its_row_and_whether_it_was_in_time() -> None:
    line = line_of(result())
    assert line.count("|") == HEAD.count("|")
    told = [cell(line, HEAD, name) for name in ("seed", "size", "turns", "tool calls", "effects", "within")]
    assert told == ["7", "20 x 36, 2 s", "1042", "800", "400", "yes"]
    assert cell(line_of(result(waits=Waits([0.2], [5.1], []))), HEAD, "within") == "no"


@pytest.mark.parametrize(
    ("accept", "answer", "budget", "strikes", "good"),
    [
        ([1.0, 5.0], [2.0, 5.0], SERVICE, 2, True),
        ([1.0, 5.1], [2.0, 5.2], SERVICE, 2, False),
        ([1.0, 5.1], [2.0, 5.2], NODE, 2, True),
        ([11.0, 12.0, 12.0], [11.0, 12.0, 12.0], NODE, 3, False),
        ([1.0, 1.0], [2.0], SERVICE, 2, False),
        ([1.0], [2.0], SERVICE, 2, False),
        ([], [], SERVICE, 0, False),
    ],
)
def test_a_budget_is_kept_after_every_strike(
    accept: list[float], answer: list[float], budget: Budget, strikes: int, good: bool
) -> None:
    assert kept(Waits(accept, answer, []), budget, strikes) is good


def test_a_violation_or_trouble_is_no_good_however_fast() -> None:
    assert result().good
    broken = msgspec.structs.replace(judge(HISTORY), violations=[Violation("lost", "c", "m", [2], "never answered")])
    assert not msgspec.structs.replace(result(), verdict=broken).good
    troubled = msgspec.structs.replace(result(), trouble="The mesh is not ready.")
    assert not troubled.good and cell(line_of(troubled), HEAD, "within") == "no"


def test_effects_are_those_of_this_row() -> None:
    assert effects_of(HISTORY) == 1


def test_a_row_replaces_itself_and_leaves_the_others(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    first, second = ROWS[0].name, ROWS[1].name
    Results(file, []).add(line_of(result(second)))
    Results(file, []).add(line_of(result(first)))
    again = Results(file, ["Not covered: *clocks*."])
    again.add(line_of(msgspec.structs.replace(result(second), seed=9)))
    again.add(model_line("2026-11-28", 7, 10_000, 61.4, passed=True), of_model=True)
    text = file.read_text("utf-8")
    lines = lines_under(HEAD, text)
    assert [name_of(line) for line in lines] == [first, second]
    assert [cell(line, HEAD, "seed") for line in lines] == ["7", "9"]
    (model,) = lines_under(MODEL_HEAD, text)
    assert [cell(model, MODEL_HEAD, name) for name in ("seed", "steps", "passed")] == ["7", "10000", "yes"]
    assert "Not covered: *clocks*." in text


def test_a_table_with_other_columns_is_not_taken_over() -> None:
    assert lines_under(HEAD, "| fault | seed |\n|---|---:|\n| SIGKILL | 7 |\n") == []
    assert merged([], [], []) == []


def test_every_row_has_a_name_of_its_own_and_a_pipe_in_none() -> None:
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names)) and not any("|" in name for name in names)
    assert all(isinstance(row, Row) and row.strikes for row in ROWS)
