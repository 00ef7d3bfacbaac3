"""What a run comes to: the figures, the table and the live line. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from generator.gauges import Sample
from generator.options import BURST_FACTOR, Options
from generator.processes import GENERATOR, PROVIDER, SUPERVISOR, Use
from generator.schedule import Burst
from generator.tally import Rest, Tick, added, timed, total

# No services of Parley: the servers below it, a third party, and those who only measure.
BESIDE = ("nats", "postgres", "backoffice", GENERATOR, PROVIDER, SUPERVISOR)
# Embedding and search have a budget of their own.
APART = ("rag",)
_NEAR_MS, _NEAR_FACTOR, _CALM_S = 50.0, 2.0, 3
_BEFORE_S = 20.0


def within(ticks: Sequence[Tick], start: float, end: float) -> list[Tick]:
    return [tick for tick in ticks if start <= tick.second < end]


def figures(
    options: Options, ticks: list[Tick], rests: Sequence[Rest], samples: Sequence[Sample], measured: Mapping[str, Any]
) -> dict[str, Any]:
    """The JSON object of a run. Accounts are of all of it, times and costs of what follows the warm-up.

    `measured` has what was found otherwise: `loop_lag_ms_p99` and more.
    """
    window = within(ticks, options.warmup, options.seconds)
    inside = [sample for sample in samples if options.warmup <= sample.at <= options.seconds + 1]
    seconds = max(1.0, options.seconds - options.warmup)
    last = samples[-1].use if samples else {}
    found = {
        "profile": options.profile,
        "seconds": options.seconds,
        "conversations": options.conversations,
        "turns_per_s": round(total(window, "answered") / seconds, 1),
        "accepted": total(ticks, "accepted"),
        "answered": total(ticks, "answered"),
        "lost": sum(rest.lost for rest in rests),
        "duplicated": total(ticks, "duplicated"),
        "refused": total(ticks, "refused"),
        "errors": total(ticks, "errors") + sum(rest.unsettled for rest in rests),
        "overhead_ms": timed(window, "overhead").percentiles(),
        "first_token_ms": timed(window, "first_token").percentiles(),
        "cpu_ms_per_turn": costs(inside, ticks),
        "rss_mb": {name: round(use.rss_mb, 1) for name, use in sorted(last.items())},
    }
    return found | dict(measured) | _more(options, ticks, window, rests)


def _more(options: Options, ticks: list[Tick], window: list[Tick], rests: Sequence[Rest]) -> dict[str, Any]:
    names = {"overhead_first": "overhead_first_ms", "overhead_end": "overhead_end_ms", "answer": "answer_ms"}
    names |= {"ack": "ack_ms", "late": "generator_late_ms"}
    codes = reduce(added, (tick.codes for tick in ticks), dict[str, int]())
    kinds = reduce(added, (tick.kinds for tick in ticks), dict[str, int]())
    more: dict[str, Any] = {shown: timed(window, name).percentiles() for name, shown in names.items()}
    return more | {
        "sent": total(ticks, "sent"),
        "failed": total(ticks, "failed"),
        "unmarked": total(ticks, "unmarked"),
        "model_calls": total(ticks, "calls"),
        "codes": codes,
        "kinds": kinds,
        "lost_ids": [name for rest in rests for name in rest.lost_ids],
        "provider": options.provider,
        "work": options.work,
        "warmup": options.warmup,
        "every_s": 0 if options.closed else options.every,
        "shares": {"fresh": options.fresh, "look_up": options.look_up},
    }


def costs(samples: Sequence[Sample], ticks: Sequence[Tick]) -> dict[str, float]:
    """Milliseconds of processor time for each turn answered between the first and the last of `samples`.

    `total` is all services but rag, `everything` the whole: servers, provider and generator as well.
    """
    if len(samples) < 2:
        return {}
    first, last = samples[0], samples[-1]
    turns = total(within(ticks, first.at, last.at), "answered")
    if not turns:
        return {}
    spent = {name: (use.cpu_s - first.use.get(name, Use()).cpu_s) * 1000 / turns for name, use in last.use.items()}
    ours = sum(ms for name, ms in spent.items() if name not in (*BESIDE, *APART))
    found = {"total": ours, "everything": sum(spent.values())} | dict(sorted(spent.items()))
    return {name: round(ms, 3) for name, ms in found.items()}


def drift_percent(samples: Sequence[Sample]) -> dict[str, float]:
    """How much more memory each service has in the last of `samples` than in the first, in percent."""
    if len(samples) < 2:
        return {}
    early, late = samples[0], samples[-1]
    return {
        name: round(100 * (use.rss_mb / early.use[name].rss_mb - 1), 1)
        for name, use in sorted(late.use.items())
        if name in early.use and early.use[name].rss_mb
    }


def recovery_s(ticks: Sequence[Tick], burst: Burst) -> float | None:
    """Seconds from the end of a burst to when its traces are gone; None where they stay.

    Gone means for three seconds in a row: nothing refused, and the p95 of the answers within 50 ms, or twice, of what
    it was before.
    """
    before = timed(within(ticks, burst.start - _BEFORE_S, burst.start), "answer").percentile(0.95)
    bound = max(before + _NEAR_MS, before * _NEAR_FACTOR)
    calm = 0
    for tick in within(ticks, burst.end, float("inf")):
        slow = timed([tick], "answer").percentile(0.95) > bound
        stuck = tick.waiting > 0 and not tick.answered
        calm = 0 if slow or stuck or tick.refused else calm + 1
        if calm == _CALM_S:
            return max(0.0, tick.second - _CALM_S + 1 - burst.end)
    return None


def burst_of(ticks: Sequence[Tick], burst: Burst) -> dict[str, Any]:
    """How the burst itself went, by what was sent and answered a second."""
    before, during = within(ticks, burst.start - _BEFORE_S, burst.start), within(ticks, burst.start, burst.end)
    seconds, calm_s = burst.end - burst.start, max(1.0, min(_BEFORE_S, burst.start))
    return {
        "factor": BURST_FACTOR,
        "before_per_s": round(total(before, "answered") / calm_s, 1),
        "sent_per_s": round(total(during, "sent") / seconds, 1),
        "answered_per_s": round(total(during, "answered") / seconds, 1),
        "refused": total(during, "refused"),
        "recovery_s": recovery_s(ticks, burst),
    }


def live_line(options: Options, tick: Tick, use: Mapping[str, float]) -> str:
    """One second, for people."""
    spent = timed([tick], "overhead").percentiles()
    busiest = sorted(use.items(), key=lambda item: -item[1])[:4]
    cpu = " ".join(f"{name} {share:.0f}%" for name, share in busiest)
    return (
        f"{tick.second:>5} s  {tick.sent:>4} sent {tick.answered:>4} answered {tick.refused:>3} refused "
        f"{tick.waiting:>4} waiting  overhead p50 {spent['p50']:.1f} p99 {spent['p99']:.1f} ms  cpu {cpu}"
    )


def table(found: Mapping[str, Any]) -> list[str]:
    """The figures, for people: a line each."""
    lines = []
    for name, value in found.items():
        if isinstance(value, dict) and value:
            shown = "  ".join(f"{key} {_short(one)}" for key, one in value.items())
            lines.append(f"{name:20} {shown}")
        elif value not in ({}, []):
            lines.append(f"{name:20} {_short(value)}")
    return lines


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_short(one)}" for key, one in value.items()) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)
