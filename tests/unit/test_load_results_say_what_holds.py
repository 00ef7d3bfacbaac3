"""RESULTS.md: each promise beside what was measured, and nothing said of what was not."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from parley_testkit.requirements import project_root

sys.path.append(str(project_root() / "loadtest"))

from generator import options, reconnecting, results, rows

FOUND: dict[str, Any] = {
    "conversations": 5000,
    "seconds": 600.0,
    "warmup": 0.0,
    "turns_per_s": 250.1,
    "lost": 0,
    "duplicated": 0,
    "errors": 0,
    "refused": 0,
    "overhead_ms": {"p50": 6.5, "p95": 61.0, "p99": 99.0},
    "answer_ms": {"p50": 4.2, "p95": 7.9, "p99": 12.0},
    "loop_lag_ms_p99": {"gateway": 9.0, "rag": 12.5},
    "cpu_ms_per_turn": {"total": 2.75, "everything": 6.0, "gateway": 0.7, "rag": 1.5},
    "caches": {"rag answers": {"asked": 100, "hit_share": 0.7}},
    "kinds": {"grounded": 900, "refused": 100},
    "rss_mb": {"conversation": 140.0, "gateway": 210.0},
    "rss_mb_before": {"conversation": 100.0, "gateway": 80.0},
    "rss_mb_connected": {"conversation": 100.0, "gateway": 205.0},
    "burst": {
        "factor": 10,
        "before_per_s": 100,
        "sent_per_s": 990,
        "answered_per_s": 510,
        "refused": 900,
        "recovery_s": 2.0,
    },
    "states": {"count": 5000, "kb_each": 1.5},
    "rss_drift_percent": {"gateway": 1.5, "generator": 30.0, "rag": 6.0},
}


def measured(**runs: dict[str, Any]) -> dict[tuple[str, str], tuple[str, bool | None]]:
    found = rows.checks({name.replace("_", "-"): FOUND | run for name, run in runs.items()})
    return {(check.row[0], check.what): (check.measured, check.holds) for check in found}


def test_each_bound_is_held_against_what_was_measured() -> None:
    found = measured(steady={}, saturation={"turns_per_s": 480.0}, single={}, burst={}, soak={})
    assert found["1", "overhead p50, ms"] == ("6.5", True)
    assert found["1", "overhead p95, ms"] == ("61", False)
    assert found["1", "loop lag p99, worst (rag), ms"] == ("12.5", True)
    assert found["2", "turns/s"] == ("480", False)
    assert found["2", "answered by caches"] == ("rag answers 70 %", None)
    assert found["2", "p95, ms"] == ("7.9", True)
    assert found["4", "back to normal, s"] == ("2", True)
    assert found["5", "gateway, KB a socket"] == ("25.0", None)
    assert found["5", "conversation service, KB each of 5000 in memory"] == ("8", True)
    assert found["5", "growth over 10 min, worst (rag), %"] == ("6", False)
    assert found["5", "growth over 10 min of each, %"] == ("rag 6, gateway 1.5", None)


def test_int8_stands_beside_what_is_held_to_the_bound() -> None:
    found = measured(saturation={}, saturation_int8={"turns_per_s": 300.0})
    assert found["2", "turns/s"] == ("250.1", False) and found["2", "turns/s in int8"] == ("300", None)
    assert found["2", "CPU of all services but rag, of rag, ms a turn"] == ("2.75, 1.50", None)


def test_goodput_is_the_worst_against_the_best() -> None:
    found = measured(goodput_1={"turns_per_s": 500.0}, goodput_5={"turns_per_s": 440.0})
    assert found["4", "worst of best, %"] == ("88", False)


def test_a_burst_that_never_ends_is_said_to_be_one() -> None:
    burst = FOUND["burst"] | {"recovery_s": None}
    assert measured(burst={"burst": burst})["4", "back to normal, s"] == ("not", False)


def test_what_was_not_run_is_not_in_the_table() -> None:
    assert rows.checks({}) == []


@pytest.mark.parametrize("quick", [False, True])
def test_every_run_is_one_that_the_load_test_understands(quick: bool) -> None:
    done = {"saturation": {"turns_per_s": 400.0}}
    asked = {run.name: options.parse(rows.arguments(run, done, quick=quick)) for run in rows.runs()}
    assert len(asked) == len(rows.runs())
    few = asked["goodput-10"].conversations
    assert asked["goodput-10"].every == pytest.approx(few / 4000)


def test_the_page_names_the_machine_the_settings_and_what_does_not_hold() -> None:
    checks = rows.checks({"steady": FOUND})
    text = results.markdown(
        checks, {"memory": "24 GiB"}, {"steady": "`load.py --seconds 600`, commit 1f"}, "None.", quick=True
    )
    assert "- memory: 24 GiB" in text and "- steady: `load.py --seconds 600`, commit 1f" in text
    assert "| overhead p95, ms | 61 | ≤ 50 | **no** |" in text
    assert "Scaled down" in text


def test_a_mass_reconnect_has_the_names_of_all_profiles() -> None:
    heard = {"p50": 3.0, "p99": 7.0, "max": 8.0}
    told = {"clients": 60, "lost": 1, "reset": 2, "gateway_cpu_s": 1.2, "gateway_rss_mb": 150.0}
    found = reconnecting.figures(
        options.parse(["--profile", "reconnect"]), told | {"heard_s": heard, "welcomed_s": heard}
    )
    assert (found["accepted"], found["answered"], found["lost"], found["errors"]) == (60, 59, 1, 2)
    assert found["overhead_ms"] == {"p50": 3000.0, "p95": None, "p99": 7000.0}
    assert found["cpu_ms_per_turn"] == {"total": 20.0}
