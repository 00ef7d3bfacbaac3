"""What /metrics of a service says, as far as a load test asks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

LAG = "parley_loop_lag_seconds_bucket"
# Counters that stand for caches, and how their label says that something was not there.
CACHES = {
    "rag answers": ("parley_rag_query_cache_total", '"miss"'),
    "rag vectors": ("parley_rag_embedding_texts_total", '"encoded"'),
    "llm": ("parley_llm_cache_total", '"miss"'),
}
# Gauges of what waits inside a service, beside what waits in the log.
QUEUES = {
    "rag, searches": "parley_rag_searches_waiting",
    "rag, texts": "parley_rag_embedding_waiting_texts",
    "llm-gateway": "parley_llm_queued",
    "gateway, unanswered": "parley_gateway_unanswered",
}
STATES, STATE_BYTES = "parley_conversations_in_memory", "parley_conversation_bytes"
Metrics = dict[str, float]


def read(text: str) -> Metrics:
    """Each series with its labels as it stands, `name{label="value"}`; comments are left out."""
    found: Metrics = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def since(now: Metrics, before: Mapping[str, float], prefix: str) -> Metrics:
    """How much each series of a counter has grown; one that began anew counts from zero."""
    grown = {}
    for name, value in now.items():
        if name.startswith(prefix):
            grown[name] = value - before.get(name, 0.0) if value >= before.get(name, 0.0) else value
    return grown


def lag_ms(grown: Mapping[str, float], share: float = 0.99) -> float:
    """The percentile of a histogram's growth, straight between the edges of its bucket; 0 where nothing was seen."""
    edges = sorted((_edge(name), count) for name, count in grown.items())
    if not edges or edges[-1][1] <= 0:
        return 0.0
    wanted, below, edge_below = share * edges[-1][1], 0.0, 0.0
    for edge, count in edges:
        if count >= wanted:
            if edge == float("inf"):
                return edge_below * 1000
            return 1000 * (edge_below + (edge - edge_below) * (wanted - below) / max(count - below, 1e-9))
        below, edge_below = count, edge
    return edge_below * 1000


def level(many: Iterable[Mapping[str, float]], name: str) -> float:
    """The sum of a gauge over its labels and all instances."""
    return sum(value for one in many for key, value in one.items() if key.partition("{")[0] == name)


def queues(many: Sequence[Mapping[str, float]]) -> dict[str, int]:
    return {shown: int(level(many, name)) for shown, name in QUEUES.items()}


def hit_rates(grown: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """For each cache how often it was asked, and the share that it could answer."""
    rates = {}
    for cache, (name, miss) in CACHES.items():
        series = [(key, value) for one in grown for key, value in one.items() if key.startswith(name)]
        asked = sum(value for _, value in series)
        if asked:
            missed = sum(value for key, value in series if miss in key)
            rates[cache] = {"asked": asked, "hit_share": round(1 - missed / asked, 3)}
    return rates


def _edge(name: str) -> float:
    return float(name.split('le="', 1)[1].split('"', 1)[0])
