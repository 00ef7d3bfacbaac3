"""loadtest/peers: what is tried, what counts, and the table that comes of it, without any peer."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from parley_testkit.requirements import project_root

PEERS = project_root() / "loadtest" / "peers"
sys.path.append(str(PEERS))
catalogue: Any = importlib.import_module("peer_catalogue")
install: Any = importlib.import_module("peer_install")
results: Any = importlib.import_module("peer_results")
table: Any = importlib.import_module("peer_table")
work: Any = importlib.import_module("peer_work")
race: Any = importlib.import_module("peer_race")

LINE = '{"turns": 40, "seconds": 0.5, "turns_per_s": 80.0, "p50_ms": 4.0, "p95_ms": 6.0, "cpu_ms": {"peer": 5.0, \
"database": 1.5}, "recovered": true}'
SATURATED = {"turns_per_s": 800.0, "overhead_ms": {"p50": 20.0, "p95": 40.0}, "cpu_ms_per_turn": {"total": 2.0}}
ROW = catalogue.ROWS[0]


def tried(turns_per_s: float, concurrency: int, **more: Any) -> Any:
    figures = msgspec.structs.replace(results.figures_of(LINE), turns_per_s=turns_per_s, **more)
    return results.Tried(catalogue.Attempt("sync", 1, concurrency), figures)


def test_the_last_line_of_a_script_is_its_figures() -> None:
    found = results.figures_of(f"some warning\n{LINE}\n")
    assert (found.turns_per_s, found.recovered) == (80.0, True)


@pytest.mark.parametrize("said", ["", "Traceback", '{"turns": 1}'])
def test_a_script_without_figures_has_not_done_its_work(said: str) -> None:
    with pytest.raises(ValueError):
        results.figures_of(said)


def test_every_row_is_tried_one_at_a_time_first() -> None:
    for row in catalogue.ROWS:
        attempts = catalogue.attempts(row)
        assert attempts[0].concurrency == 1
        assert {attempt.mode for attempt in attempts if attempt.concurrency == 1} == set(row.modes)
        assert all(attempt.processes <= attempt.concurrency for attempt in attempts)


def test_every_row_names_a_script_that_is_there_and_what_it_leaves_out() -> None:
    for row in catalogue.ROWS:
        assert (PEERS / row.script).is_file()
        assert row.leaves_out and row.counted_when
        assert not row.family or install.version(row.family)


def test_some_rows_can_be_chosen_by_a_word() -> None:
    assert [row.family for row in catalogue.chosen("autogen")] == ["autogen"]
    assert catalogue.chosen("") == list(catalogue.ROWS)


def test_requirements_are_pinned_and_name_no_address() -> None:
    for file in (PEERS / "requirements").iterdir():
        assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line) for line in file.read_text().splitlines())


def test_the_fastest_configuration_counts_with_its_median_run() -> None:
    runs = [tried(100, 1), tried(200, 16), tried(280, 16), tried(240, 16), tried(230, 32)]
    assert results.best_of(runs).figures.turns_per_s == 240


def test_a_row_takes_its_times_from_one_conversation_at_a_time() -> None:
    found = results.result_of(ROW, "1.2", [tried(100, 1, p50_ms=8.0), tried(200, 16, p50_ms=60.0)])
    assert (found.turns_per_s, found.p50_ms, found.cpu_ms_per_turn["total"]) == (200, 8.0, 6.5)
    assert set(catalogue.ALL_LEAVE_OUT) < set(found.leaves_out)


def test_a_peer_that_forgets_its_conversations_has_no_figures() -> None:
    found = results.result_of(ROW, "1.2", [tried(100, 1), tried(200, 16, recovered=False)])
    assert "did not find the state" in found.skipped and not found.turns_per_s


def test_parleys_row_counts_the_load_and_the_servers_as_the_peers_rows_do() -> None:
    costs = {"total": 2.0, "everything": 3.5, "gateway": 0.5}
    alone = {"answer_ms": {"p50": 3.0, "p95": 5.0}, "overhead_ms": {"p50": 2.0, "p95": 4.0}}
    found = results.parley_of(SATURATED | {"cpu_ms_per_turn": costs}, alone)
    assert found.cpu_ms_per_turn == {"total": 3.5, "services": 2.0, "gateway": 0.5}
    assert (found.p50_ms, found.p95_ms) == (3.0, 5.0)


def test_parleys_row_falls_back_to_its_overheads() -> None:
    found = results.parley_of(SATURATED)
    assert (found.turns_per_s, found.p50_ms, found.cpu_ms_per_turn["total"]) == (800.0, 20.0, 2.0)


def test_the_table_has_a_line_for_each_row_and_a_sentence_for_each_that_is_missing() -> None:
    rows = [results.parley_of(SATURATED), results.result_of(ROW, "1.2", [tried(100, 1)])]
    rows.append(results.skipped_of(catalogue.ROWS[-1], "Elixir is not installed."))
    shown = table.markdown(rows).splitlines()
    assert len({line.count("|") for line in shown if line.startswith("|")}) == 1
    assert "| 8.0 |" in shown[3] and "1.2" in shown[3]
    assert shown[-1] == "- Elixir is not installed."
    assert table.lines(rows)[-1] == "Elixir is not installed."
    assert table.ratios(rows) == {ROW.name: 8.0}


def test_without_parleys_row_nothing_is_compared() -> None:
    assert table.ratios([results.result_of(ROW, "1.2", [tried(100, 1)])]) == {}


def test_the_work_is_checked_by_its_words() -> None:
    name = work.conversations("run", 8)[1]
    context = work.handed(name, work.TURNS_EACH)
    assert len(context.encode()) == work.CONTEXT_BYTES and len(work.reply(context).split()) == 30
    assert work.is_whole(name, work.Kept(context, 2 * work.TURNS_EACH))
    assert not work.is_whole(name, work.Kept(work.handed(name, 1), 2 * work.TURNS_EACH))
    assert not work.is_whole(name, None)
    with pytest.raises(ValueError):
        work.reply("")


def test_figures_are_a_turns() -> None:
    found = race.figures([0.001, 0.002, 0.003, 0.010], 0.02, {"peer": 0.008})
    assert (found["turns_per_s"], found["p50_ms"], found["p95_ms"], found["cpu_ms"]) == (
        200.0,
        2.0,
        10.0,
        {"peer": 2.0},
    )


def test_a_peer_that_cant_be_installed_is_skipped_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(install, "VENVS", tmp_path / "venvs")
    monkeypatch.setattr(install.sys, "executable", shutil.which("false"))
    with pytest.raises(install.NotInstalled, match=r"langgraph can't be installed here; peers-langgraph\.log says"):
        install.command("langgraph", tmp_path)
    monkeypatch.setattr(install.shutil, "which", lambda _: None)
    with pytest.raises(install.NotInstalled, match="Elixir is not installed"):
        install.command("", tmp_path)
