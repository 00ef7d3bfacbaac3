"""One run as one HTML page that needs nothing else. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from generator.gauges import Sample
from generator.histogram import Histogram
from generator.report import table
from generator.svg import Points, chart
from generator.tally import Tick, timed

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 920px; margin: 2rem auto; padding: 0 1rem }
figure { margin: 2rem 0 } figcaption { font-weight: 600 }
svg { width: 100% } svg line { stroke: currentColor; opacity: .15 } svg text { fill: currentColor; font-size: 11px }
figure p { display: flex; flex-wrap: wrap; gap: 0 1rem; margin: 0; font-size: 13px }
figure i { display: inline-block; width: 12px; height: 3px; margin-right: 5px; vertical-align: middle }
pre { white-space: pre-wrap; font-size: 13px }
"""
_SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)


def page(found: Mapping[str, Any], ticks: Sequence[Tick], samples: Sequence[Sample], about: Mapping[str, str]) -> str:
    """`about` says what was measured where: machine, commit, settings."""
    title = f"Parley under load: {found['profile']}, {found['conversations']} conversations"
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in about.items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1><table>{rows}</table>"
        f"<pre>{escape(chr(10).join(table(found)))}</pre>{''.join(_figures(ticks, samples))}</html>\n"
    )


def _figures(ticks: Sequence[Tick], samples: Sequence[Sample]) -> list[str]:
    talking = [tick for tick in ticks if tick.second >= 0]
    counts = {name: _count(talking, name) for name in ("sent", "answered", "refused", "errors", "waiting")}
    spent = {name: _latency(talking, "overhead", share) for name, share in _named().items()}
    whole = {name: _latency(talking, "answer", share) for name, share in _named().items()}
    curves = {
        "overhead": _curve(timed(talking, "overhead")),
        "to the first word": _curve(timed(talking, "first_token")),
        "to the end": _curve(timed(talking, "answer")),
    }
    return [
        chart("Messages", "a second", counts),
        chart("Own overhead, without the provider", "ms", spent),
        chart("From message to end of answer", "ms", whole),
        chart("Percentiles: 100 on the axis is all", "ms", curves, x_unit="%"),
        chart("Processor", "% of one core", _busy(samples)),
        chart("Memory", "MB", _by_service(samples, lambda sample: {n: u.rss_mb for n, u in sample.use.items()})),
        chart("Waiting in the log", "messages", _by_service(samples, lambda sample: sample.pending)),
        chart("Waiting inside a service", "messages", _by_service(samples, lambda sample: sample.inside)),
        chart("Being worked on", "messages", _by_service(samples, lambda sample: sample.in_flight)),
        chart("Event loops, p99 of their lag", "ms", _by_service(samples, lambda sample: sample.lag_ms)),
    ]


def _named() -> dict[str, float]:
    return {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def _count(ticks: Sequence[Tick], name: str) -> Points:
    return [(tick.second, getattr(tick, name)) for tick in ticks]


def _latency(ticks: Sequence[Tick], name: str, share: float) -> Points:
    return [(tick.second, timed([tick], name).percentile(share)) for tick in ticks if tick.times.get(name)]


def _curve(histogram: Histogram) -> Points:
    return [(100 * share, histogram.percentile(share)) for share in _SHARES] if histogram.total else []


def _busy(samples: Sequence[Sample]) -> dict[str, Points]:
    found: dict[str, list[tuple[float, float]]] = {}
    for before, after in pairwise(samples):
        seconds = max(after.at - before.at, 1e-3)
        for name, use in after.use.items():
            if name in before.use:
                found.setdefault(name, []).append((after.at, 100 * (use.cpu_s - before.use[name].cpu_s) / seconds))
    return {name: [(x, max(0.0, y)) for x, y in points if x >= 0] for name, points in sorted(found.items())}


def _by_service(samples: Sequence[Sample], values: Callable[[Sample], Mapping[str, float]]) -> dict[str, Points]:
    found: dict[str, list[tuple[float, float]]] = {}
    for sample in samples:
        if sample.at >= 0:
            for name, value in values(sample).items():
                found.setdefault(name, []).append((sample.at, value))
    return dict(sorted(found.items()))
