"""A load test's figures: what a turn costs, how a burst passes, what /metrics says, and one page without a network."""

from __future__ import annotations

import sys

import pytest

from parley_testkit.requirements import project_root

sys.path.append(str(project_root() / "loadtest"))

from generator import options, page, prometheus, report
from generator.audit import Record
from generator.gauges import Sample
from generator.histogram import Histogram
from generator.processes import Meter, Row, Use
from generator.schedule import Burst
from generator.svg import chart
from generator.tally import Rest, Tick

from parley_mesh.bus import Stored
from parley_proto import subjects
from parley_proto.conversation import MessageShown, RunEnded, Shown
from parley_proto.envelope import encode

COUNTED = ["profile", "seconds", "conversations", "turns_per_s", "accepted", "answered", "lost", "duplicated"]
MEASURED = ["refused", "errors", "overhead_ms", "first_token_ms", "cpu_ms_per_turn", "rss_mb", "loop_lag_ms_p99"]
KEYS = [*COUNTED, *MEASURED]


def second(at: int, answered: int = 10, ms: float = 20.0, refused: int = 0, waiting: int = 0) -> Tick:
    histogram = Histogram()
    for _ in range(answered):
        histogram.record(ms)
    times = {name: dict(histogram.counts) for name in ("answer", "overhead", "first_token")}
    return Tick(at, 10, answered, answered, refused=refused, waiting=waiting, times=times)


def sample(at: float, **cpu_s: float) -> Sample:
    return Sample(at, {name.replace("_", "-"): Use(spent, 50 + at, 1) for name, spent in cpu_s.items()})


def test_a_turn_costs_what_was_spent_while_it_was_answered() -> None:
    samples = [sample(10, gateway=1.0, rag=5.0, nats=2.0), sample(20, gateway=1.2, rag=5.5, nats=2.1)]
    costs = report.costs(samples, [second(at) for at in range(30)])
    assert costs == {"total": 2.0, "everything": 8.0, "gateway": 2.0, "nats": 1.0, "rag": 5.0}


def test_the_object_has_its_keys_in_order_and_counts_the_warm_up_only_once() -> None:
    asked = options.parse(["--seconds", "30"])
    ticks = [second(at, ms=500 if at < asked.warmup else 20) for at in range(32)]
    rests = [Rest(lost=1, unsettled=2, lost_ids=["c/m"]), Rest()]
    found = report.figures(
        asked, ticks, rests, [sample(at, gateway=at / 10) for at in range(31)], {"loop_lag_ms_p99": {}}
    )
    assert list(found)[: len(KEYS)] == KEYS
    assert (found["turns_per_s"], found["accepted"], found["lost"], found["errors"]) == (10.0, 320, 1, 2)
    assert found["overhead_ms"]["p99"] == pytest.approx(20, rel=0.02)
    assert found["cpu_ms_per_turn"]["gateway"] == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([second(at) for at in range(40, 50)], 0.0),
        ([second(at, ms=900 if at < 44 else 25) for at in range(40, 60)], 4.0),
        ([second(at, refused=at < 43) for at in range(40, 60)], 3.0),
        ([second(at, answered=0, waiting=5) for at in range(40, 60)], None),
    ],
)
def test_a_burst_is_over_when_its_traces_are(after: list[Tick], expected: float | None) -> None:
    ticks = [*(second(at) for at in range(10)), *(second(at, ms=2000) for at in range(10, 40)), *after]
    assert report.recovery_s(ticks, Burst(10, 40, 10)) == expected


def test_processes_count_for_the_service_that_has_started_them() -> None:
    rows = [Row(1, 0, 9, 0), Row(10, 1, 1, 10**6), Row(11, 10, 2, 10**6), Row(12, 11, 4, 10**6), Row(20, 1, 8, 10**6)]
    meter = Meter({10: "rag", 12: "nats"})
    assert meter.read(rows) == {"rag": Use(3, 2, 2), "nats": Use(4, 1, 1)}
    left = [row for row in rows if row.pid != 11] + [Row(13, 10, 0.5, 10**6)]
    assert meter.read(left)["rag"] == Use(3.5, 2, 2), "what an ended process had used is forgotten"
    assert meter.read(left)["rag"] == Use(3.5, 2, 2)


def test_what_the_processes_of_a_service_share_is_counted_once() -> None:
    rows = [Row(10, 1, 0, 9 * 10**6, 5 * 10**6), Row(11, 10, 0, 6 * 10**6, 5 * 10**6), Row(20, 1, 0, 3 * 10**6)]
    found = Meter({10: "postgres", 20: "nats"}).read(rows)
    assert {name: use.rss_mb for name, use in found.items()} == {"postgres": 10, "nats": 3}


def stored(entry: Shown, at: int = 2000) -> Stored:
    return Stored(subjects.out("c_0123456789abcdef"), 1, encode(entry), {}, at)


def test_the_log_itself_says_what_was_lost_or_answered_twice() -> None:
    record = Record(since_ms=1000)
    record.take(stored(MessageShown("m0", "customer", "before the run", 1), at=999))
    for name in ("m1", "m2", "m3", "m4"):
        record.take(stored(MessageShown(name, "customer", "…", 1)))
    answer = MessageShown("r1", "assistant", "…", 1, answers=["m1", "m2"])
    for entry in (
        answer,
        answer,
        MessageShown("r2", "assistant", "…", 1, answers=["m2"]),
        RunEnded("t", "x", 1, ["m3"]),
    ):
        record.take(stored(entry))
    assert record.figures() == {"messages": 4, "lost": 1, "duplicated": 1}


METRICS = """# HELP parley_loop_lag_seconds How late
parley_loop_lag_seconds_bucket{le="0.001"} %d
parley_loop_lag_seconds_bucket{le="0.01"} %d
parley_loop_lag_seconds_bucket{le="+Inf"} %d
parley_rag_query_cache_total{outcome="hit"} %d
parley_rag_query_cache_total{outcome="miss"} 10
"""


def test_the_lag_of_a_loop_is_what_its_histogram_has_grown_by() -> None:
    before, now = prometheus.read(METRICS % (900, 900, 900, 0)), prometheus.read(METRICS % (1880, 1900, 1900, 30))
    grown = prometheus.since(now, before, prometheus.LAG)
    assert prometheus.lag_ms(grown) == pytest.approx(1 + 9 * 0.5)
    assert prometheus.lag_ms(grown, 0.5) == pytest.approx(0.51, abs=0.01)
    assert prometheus.lag_ms(prometheus.since(before, before, prometheus.LAG)) == 0


def test_what_waits_inside_a_service_is_the_sum_of_its_gauges() -> None:
    many = [prometheus.read('parley_rag_embedding_waiting_texts{model="a"} 3'), {"parley_llm_queued": 2.0}]
    assert prometheus.queues(many) == {"rag, searches": 0, "rag, texts": 3, "llm-gateway": 2, "gateway, unanswered": 0}


def test_how_often_a_cache_could_answer() -> None:
    found = prometheus.hit_rates([prometheus.read(METRICS % (0, 0, 0, 30))])
    assert found == {"rag answers": {"asked": 40, "hit_share": 0.75}}


def test_the_page_needs_no_network_and_shows_every_plot() -> None:
    asked = options.parse(["--seconds", "30"])
    ticks, samples = (
        [second(at) for at in range(30)],
        [sample(at, gateway=at / 10, rag=at / 5) for at in range(0, 30, 2)],
    )
    found = report.figures(asked, ticks, [Rest()], samples, {"loop_lag_ms_p99": {"gateway": 3.0}})
    html = page.page(found, ticks, samples, {"machine": "two <small> cores"})
    assert html.count("<svg") == 10 and html.count("<polyline") > 10
    assert "two &lt;small&gt; cores" in html
    assert "http" not in html and "<script" not in html


def test_a_chart_of_nothing_is_an_empty_one() -> None:
    assert "<polyline" not in chart("Nothing", "ms", {"none": []})
